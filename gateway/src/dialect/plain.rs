//! The text frames of a plain WebSocket: the new text of the turns that were
//! asked through it, as it comes.
//!
//! Text that was sent cannot be taken back here. After a rewind nothing is sent
//! while what is said again is what the client has; only where it becomes
//! another text is the answer told anew, behind [`AGAIN`]. So nothing is lost,
//! and nothing is doubled that did not have to be.

use std::fmt::Write as _;
use std::mem::take;

use broker::Stored;
use proto::{Failed, PendingCall, Session, event};

use super::ERASED;
use super::said::Said;

/// What a client is told before an answer that is told anew: what came of it
/// before counts no more.
pub(crate) const AGAIN: &str = "\n\n[The answer begins again.]\n\n";
const CANCELLED: &str = "The turn was stopped.";

/// The encoder of one socket.
#[derive(Debug)]
pub(crate) struct Plain {
    session: Session,
    /// Turns that were asked here and have not ended, as the log spells them.
    asked: Vec<String>,
    /// The one that was interrupted last: who decides about it, wherever, asks
    /// on in its place.
    interrupted: Option<String>,
    said: Said,
    /// What the client has of a turn, once that is not what was said.
    shown: Option<String>,
}

impl Plain {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, asked: Vec::new(), interrupted: None, said: Said::default(), shown: None }
    }

    /// A turn was asked here.
    pub(crate) fn asked(&mut self, turn: String) {
        if !self.asked.contains(&turn) {
            self.asked.push(turn);
        }
    }

    /// Turns that were asked here and have not ended.
    pub(crate) fn unended(&self) -> &[String] {
        &self.asked
    }

    /// The session was erased: the end of these of its turns. A question that was
    /// accepted meanwhile may come after it.
    pub(crate) fn erased(&mut self, gone: &[String], out: &mut Vec<String>) {
        let asked = take(&mut self.asked);
        let left: Vec<_> = asked.iter().filter(|it| !gone.contains(it)).cloned().collect();
        if left.len() < asked.len() {
            out.push(error(ERASED));
        }
        *self = Self { asked: left, ..Self::new(self.session.clone()) };
    }

    /// The text frames of an entry.
    pub(crate) fn entry(&mut self, stored: &Stored, out: &mut Vec<String>) {
        let turn = &stored.entry.turn_id;
        if self.resumes(stored) {
            self.asked(turn.clone());
        }
        if !self.asked.contains(turn) {
            return;
        }
        let mut new = String::new();
        for event in &stored.entry.events {
            match &event.kind {
                Some(event::Kind::Text(text)) => self.text(event.index, text, &mut new),
                Some(event::Kind::Rewind(rewind)) => self.rewind(rewind.to),
                Some(kind) if kind.ending().is_some() => self.end(turn, kind, &mut new, out),
                Some(_) | None => {}
            }
        }
        tell(new, out);
    }

    /// Entries are missing. What the log still has of the running turn comes
    /// next, from its beginning.
    pub(crate) fn gap(&mut self) {
        self.rewind(0);
    }

    fn text(&mut self, index: u32, text: &str, new: &mut String) {
        self.said.push(index, text);
        let Some(shown) = &self.shown else {
            new.push_str(text);
            return;
        };
        let said = self.said.text();
        if shown.starts_with(said) {
            return;
        }
        match said.strip_prefix(shown.as_str()) {
            Some(rest) => new.push_str(rest),
            None => again(said, new),
        }
        self.shown = None;
    }

    fn rewind(&mut self, to: u32) {
        let before = self.said.text().to_owned();
        self.said.rewind(to);
        if self.shown.is_none() && before != self.said.text() {
            self.shown = Some(before);
        }
    }

    fn end(&mut self, turn: &str, kind: &event::Kind, new: &mut String, out: &mut Vec<String>) {
        let said = take(&mut self.said);
        // What was taken back did not come again.
        if self.shown.take().is_some_and(|it| it != said.text()) {
            again(said.text(), new);
        }
        tell(take(new), out);
        self.asked.retain(|it| it != turn);
        match kind {
            event::Kind::Failed(Failed { message, .. }) => out.push(error(message)),
            event::Kind::Cancelled(_) => out.push(error(CANCELLED)),
            event::Kind::Interrupted(it) => {
                self.interrupted = Some(turn.to_owned());
                out.push(self.waits(turn, &it.calls));
            }
            event::Kind::Text(_)
            | event::Kind::Reasoning(_)
            | event::Kind::ToolCall(_)
            | event::Kind::ToolResult(_)
            | event::Kind::Citation(_)
            | event::Kind::Usage(_)
            | event::Kind::Rewind(_)
            | event::Kind::Completed(_)
            | event::Kind::Started(_)
            | event::Kind::Resumed(_)
            | event::Kind::HandedOver(_)
            | event::Kind::CancelRequested(_)
            | event::Kind::Deleted(_)
            | event::Kind::Gap(_) => {}
        }
    }

    /// Whether an entry begins the turn that goes on with the interrupted one.
    fn resumes(&self, stored: &Stored) -> bool {
        let Some(interrupted) = &self.interrupted else { return false };
        stored.entry.events.iter().any(|it| match &it.kind {
            Some(event::Kind::Started(started)) => started.resumes == *interrupted,
            Some(_) | None => false,
        })
    }

    /// Which tools wait, and how to decide.
    fn waits(&self, turn: &str, calls: &[PendingCall]) -> String {
        let mut text = String::from("\n\nThis waits for a decision:\n");
        for call in calls {
            let PendingCall { call_id, name, summary, arguments_hash, .. } = call;
            let _infallible = writeln!(
                text,
                "- {name}: {summary} (callId {call_id}, argumentsHash {arguments_hash})"
            );
        }
        let (user, session) = (self.session.user.as_str(), self.session.id.as_str());
        let _infallible = writeln!(
            text,
            "Decide with POST /v1/sessions/{session}/decisions for user {user} and turn {turn}, \
             or with `weir decide`; what follows comes here."
        );
        text
    }
}

/// How a plain client is told that something failed.
pub(crate) fn error(why: &str) -> String {
    format!("Error: {why}")
}

fn again(said: &str, new: &mut String) {
    new.clear();
    new.push_str(AGAIN);
    new.push_str(said);
}

fn tell(new: String, out: &mut Vec<String>) {
    if !new.is_empty() {
        out.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Sequence;
    use event::Kind as K;

    fn stored(turn: &str, kinds: Vec<(u32, K)>) -> Stored {
        let events =
            kinds.into_iter().map(|(index, kind)| proto::Event { index, kind: Some(kind) });
        let entry = proto::Entry {
            turn_id: turn.to_owned(),
            events: events.collect(),
            ..proto::Entry::default()
        };
        Stored { sequence: Sequence(1), entry }
    }

    fn plain() -> Plain {
        let mut plain = Plain::new(Session::parse("u", "s").unwrap());
        plain.asked("t".to_owned());
        plain
    }

    fn say(plain: &mut Plain, turn: &str, kinds: Vec<(u32, K)>) -> Vec<String> {
        let mut out = Vec::new();
        plain.entry(&stored(turn, kinds), &mut out);
        out
    }

    fn text(index: u32, text: &str) -> (u32, K) {
        (index, K::Text(text.to_owned()))
    }

    fn rewind(index: u32, to: u32) -> (u32, K) {
        (index, K::Rewind(proto::Rewind { to }))
    }

    fn completed(index: u32) -> (u32, K) {
        (index, K::Completed(proto::Completed::default()))
    }

    #[test]
    fn the_text_of_an_entry_is_one_frame_and_other_turns_are_not_told() {
        let mut plain = plain();
        assert_eq!(say(&mut plain, "t", vec![text(1, "你"), text(2, "好")]), ["你好"]);
        assert!(say(&mut plain, "other", vec![text(1, "x")]).is_empty());
        assert!(say(&mut plain, "t", vec![completed(3)]).is_empty());
        assert!(say(&mut plain, "t", vec![text(4, "late")]).is_empty());
    }

    #[test]
    fn what_is_said_again_is_not_told_again() {
        let mut plain = plain();
        say(&mut plain, "t", vec![text(1, "one "), text(2, "two ")]);
        assert!(say(&mut plain, "t", vec![rewind(3, 0)]).is_empty());
        assert!(say(&mut plain, "t", vec![text(4, "one t")]).is_empty());
        assert_eq!(say(&mut plain, "t", vec![text(5, "wo three")]), ["three"]);
        assert_eq!(say(&mut plain, "t", vec![text(6, " four"), completed(7)]), [" four"]);
    }

    #[test]
    fn an_answer_that_becomes_another_one_is_told_anew() {
        let mut plain = plain();
        say(&mut plain, "t", vec![text(1, "one "), text(2, "two ")]);
        assert!(say(&mut plain, "t", vec![rewind(3, 1)]).is_empty());
        let told = say(&mut plain, "t", vec![text(4, "2")]);
        assert_eq!(told, [format!("{AGAIN}one 2")]);
        assert_eq!(say(&mut plain, "t", vec![text(5, " three")]), [" three"]);
    }

    #[test]
    fn what_never_came_again_is_told_at_the_end() {
        let mut plain = plain();
        say(&mut plain, "t", vec![text(1, "one "), text(2, "two ")]);
        say(&mut plain, "t", vec![rewind(3, 1)]);
        assert_eq!(say(&mut plain, "t", vec![completed(4)]), [format!("{AGAIN}one ")]);
        plain.asked("t2".to_owned());
        assert_eq!(say(&mut plain, "t2", vec![text(1, "next")]), ["next"]);
    }

    #[test]
    fn a_gap_tells_the_running_turn_without_doubling_it() {
        let mut plain = plain();
        say(&mut plain, "t", vec![text(1, "ab")]);
        plain.gap();
        assert_eq!(say(&mut plain, "t", vec![text(5, "abcd")]), ["cd"]);
    }

    #[test]
    fn failures_stops_and_erasure_are_errors() {
        let failed = K::Failed(Failed { message: "No such model.".into(), ..Failed::default() });
        let told = say(&mut plain(), "t", vec![text(1, "a"), (2, failed)]);
        assert_eq!(told, ["a", "Error: No such model."]);
        let cancelled = K::Cancelled(proto::Cancelled {});
        assert_eq!(say(&mut plain(), "t", vec![(1, cancelled)]), ["Error: The turn was stopped."]);
        let mut plain = plain();
        let erased = |plain: &mut Plain, gone: &[String]| {
            let mut out = Vec::new();
            plain.erased(gone, &mut out);
            out
        };
        let gone = ["t".to_owned()];
        assert_eq!(erased(&mut plain, &gone), ["Error: The session was deleted."]);
        assert!(erased(&mut plain, &gone).is_empty());
        plain.asked("later".to_owned());
        assert!(erased(&mut plain, &[]).is_empty());
        assert_eq!(say(&mut plain, "later", vec![text(1, "still told")]), ["still told"]);
    }

    #[test]
    fn who_decides_elsewhere_is_answered_here() {
        let mut plain = plain();
        let call = PendingCall {
            call_id: "c1".into(),
            name: "send".into(),
            summary: "sends a letter".into(),
            arguments_hash: "h".into(),
            ..PendingCall::default()
        };
        let interrupted = K::Interrupted(proto::Interrupted { calls: vec![call], expires: None });
        let told = say(&mut plain, "t", vec![(1, interrupted)]);
        assert_eq!(told.len(), 1);
        for part in ["- send: sends a letter (callId c1, argumentsHash h)", "turn t", "sessions/s/"]
        {
            assert!(told[0].contains(part), "{told:?}");
        }
        let started = |resumes: &str| {
            K::Started(proto::Started { resumes: resumes.into(), ..Default::default() })
        };
        assert!(say(&mut plain, "t3", vec![(0, started("x")), text(1, "no")]).is_empty());
        assert_eq!(say(&mut plain, "t2", vec![(0, started("t")), text(1, "sent")]), ["sent"]);
    }
}
