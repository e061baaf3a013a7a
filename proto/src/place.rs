//! Where in its session's transcript a turn stands that takes another one's
//! place. Pure, and the same for the edge, which refuses early, and the agent,
//! which decides.
//!
//! Knows no place for a turn that is gone because another one took its place.

use crate::{Message, Transcript, TranscriptTurn};

impl Transcript {
    /// Where among the turns one stands that takes the place of `replaces`: that
    /// turn and all behind it go. Of a turn that resumed another one, the place
    /// is where the question was asked that both answer. Without the turn, the
    /// place is `behind` the one with this id, before all when it is empty.
    pub fn place(&self, replaces: &str, behind: Option<&str>) -> Option<usize> {
        if let Some(at) = self.position(replaces) {
            return Some(self.asked(at));
        }
        let gone = self.replaced.iter().any(|it| it == replaces);
        match behind.filter(|_| !gone)? {
            "" => Some(0),
            before => self.position(before).map(|at| at + 1),
        }
    }

    /// Where a turn is.
    pub fn position(&self, turn: &str) -> Option<usize> {
        self.turns.iter().position(|it| it.turn_id == turn)
    }

    /// The turn in which the question was asked that the one at this place answers.
    fn asked(&self, at: usize) -> usize {
        let resumes = |at: &usize| {
            let TranscriptTurn { messages, resumes, .. } = &self.turns[*at];
            // One that said nothing has no message to tell by.
            let asked_nothing =
                messages.first().map_or(!resumes.is_empty(), |it| it.role != "user");
            self.turns[at - 1].interrupted && asked_nothing
        };
        (1..=at).rev().find(|it| !resumes(it)).unwrap_or_default()
    }
}

impl TranscriptTurn {
    /// What was said before the question that the turn asked: the history that a
    /// session's first question brought with it.
    pub fn history(&self) -> &[Message] {
        let question = self.messages.iter().rposition(|it| it.role == "user");
        &self.messages[..question.unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: &str, roles: &[&str]) -> TranscriptTurn {
        let said = |role: &&str| Message { role: (*role).to_owned(), ..Message::default() };
        let messages = roles.iter().map(said).collect();
        TranscriptTurn { turn_id: id.to_owned(), messages, ..TranscriptTurn::default() }
    }

    fn waits(turn: TranscriptTurn) -> TranscriptTurn {
        TranscriptTurn { interrupted: true, ..turn }
    }

    #[test]
    fn a_place_is_the_turns_own_or_behind_another_one() {
        let asks = ["user", "assistant"];
        let transcript = Transcript {
            turns: vec![
                turn("a", &["assistant", "user", "assistant"]),
                waits(turn("b", &asks)),
                waits(turn("c", &["tool", "assistant"])),
                turn("d", &["assistant"]),
                waits(turn("e", &asks)),
                turn("f", &asks),
                turn("g", &[]),
            ],
            replaced: vec!["x".to_owned()],
            ..Transcript::default()
        };
        for (replaces, behind, place) in [
            ("a", None, Some(0)),
            ("b", None, Some(1)),
            ("c", None, Some(1)),
            ("d", None, Some(1)),
            ("e", None, Some(4)),
            ("f", None, Some(5)),
            ("g", Some(""), Some(6)),
            ("y", None, None),
            ("y", Some(""), Some(0)),
            ("y", Some("e"), Some(5)),
            ("y", Some("g"), Some(7)),
            ("y", Some("z"), None),
            ("x", Some("g"), None),
            ("x", Some(""), None),
        ] {
            assert_eq!(transcript.place(replaces, behind), place, "{replaces} {behind:?}");
        }
    }

    #[test]
    fn a_turn_that_decided_and_said_nothing_stands_where_the_question_was_asked() {
        let decides = |id: &str| TranscriptTurn { resumes: "b".to_owned(), ..turn(id, &[]) };
        let asks = ["user", "assistant"];
        let turns = vec![turn("a", &asks), waits(turn("b", &asks)), waits(decides("c"))];
        let turns = [turns, vec![decides("d")]].concat();
        let transcript = Transcript { turns, ..Transcript::default() };
        assert_eq!(["b", "c", "d"].map(|it| transcript.place(it, None)), [Some(1); 3]);
    }

    #[test]
    fn a_turns_history_is_what_stands_before_its_question() {
        for (roles, before) in [
            (vec!["user", "assistant", "user", "assistant", "tool"], 2),
            (vec!["user", "assistant"], 0),
            (vec!["assistant"], 0),
            (vec![], 0),
        ] {
            assert_eq!(turn("a", &roles).history().len(), before, "{roles:?}");
        }
    }
}
