//! What a turn's entries tell of it, one after the other: its question, its
//! answer and its end. Pure.

use broker::Sequence;
use proto::{Ending, Entry, Job, Started, event};

use super::answer::Answer;

/// A turn as far as it was heard.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) id: String,
    /// None where a turn has none, because it only brings decisions, or where it
    /// was not heard.
    pub(crate) question: Option<String>,
    pub(crate) answer: Answer,
    /// It was heard from its beginning on.
    pub(crate) whole: bool,
    pub(crate) end: Option<End>,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) ending: Ending,
    /// The sentence of a failure.
    pub(crate) error: String,
    /// The entry that says so.
    pub(crate) at: Sequence,
}

impl Turn {
    /// A turn of which nothing was heard yet.
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// The same with what its job says.
    pub(crate) fn of(job: &Job) -> Self {
        let asked = job.messages.last().map(|it| it.content.as_str()).unwrap_or_default();
        Self { question: question(asked, job.resume.is_some()), ..Self::new(&job.turn_id) }
    }

    /// Hears an entry; those of other turns say nothing here.
    pub(crate) fn hear(&mut self, at: Sequence, entry: &Entry) {
        if entry.turn_id != self.id {
            return;
        }
        for event in &entry.events {
            if let Some(kind) = &event.kind {
                self.event(at, event.index, kind);
            }
        }
    }

    fn event(&mut self, at: Sequence, index: u32, kind: &event::Kind) {
        use event::Kind as K;
        match kind {
            K::Started(Started { input, resumes, replaces: _, behind: _ }) => {
                self.whole = true;
                self.question = question(input, !resumes.is_empty());
            }
            K::Text(text) => self.answer.push(index, text),
            K::ToolCall(_) | K::ToolResult(_) => self.answer.step(index),
            K::Rewind(back) => self.answer.rewind(back.to),
            K::Completed(_) | K::Interrupted(_) | K::Failed(_) | K::Cancelled(_) => {
                let ending = kind.ending().unwrap_or_default();
                let error =
                    if let K::Failed(it) = kind { it.message.clone() } else { String::new() };
                self.end = Some(End { ending, error, at });
            }
            K::Reasoning(_)
            | K::Citation(_)
            | K::Usage(_)
            | K::Resumed(_)
            | K::HandedOver(_)
            | K::CancelRequested(_)
            | K::Deleted(_)
            | K::Gap(_) => {}
        }
    }
}

/// What was asked; nothing where there are only decisions.
fn question(asked: &str, decides: bool) -> Option<String> {
    (!decides || !asked.is_empty()).then(|| asked.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Kind as K;
    use proto::{
        CancelRequested, Cancelled, Completed, Event, Failed, Interrupted, Message, Resume,
        Resumed, Rewind, ToolCall,
    };

    fn heard(kinds: Vec<K>) -> Turn {
        let mut turn = Turn::new("a");
        for (number, kind) in (1_u32..).zip(kinds) {
            let index = if let K::Rewind(back) = &kind { back.to } else { number };
            let events = vec![Event { index, kind: Some(kind) }];
            let entry = Entry { turn_id: "a".to_owned(), events, ..Entry::default() };
            turn.hear(Sequence(u64::from(number) + 10), &entry);
        }
        turn
    }

    fn started(input: &str, resumes: &str) -> K {
        let (input, resumes) = (input.to_owned(), resumes.to_owned());
        K::Started(Started { input, resumes, ..Started::default() })
    }

    fn text(text: &str) -> K {
        K::Text(text.to_owned())
    }

    #[test]
    fn a_turn_is_its_question_its_answer_and_its_end() {
        let call = K::ToolCall(ToolCall::default());
        let kinds = vec![
            started("why?", ""),
            text("a"),
            call,
            text("b"),
            K::Rewind(Rewind { to: 3 }),
            K::Resumed(Resumed {}),
            text("c"),
            K::Completed(Completed::default()),
        ];
        let turn = heard(kinds);
        assert_eq!((turn.question.as_deref(), turn.answer.text()), (Some("why?"), "a\n\nc"));
        let end = End { ending: Ending::Completed, error: String::new(), at: Sequence(18) };
        assert_eq!((turn.whole, turn.end), (true, Some(end)));
    }

    #[test]
    fn every_end_is_known_with_its_reason() {
        let failed = Failed { message: "no".to_owned(), ..Failed::default() };
        for (kind, ending, error) in [
            (K::Completed(Completed::default()), Ending::Completed, ""),
            (K::Interrupted(Interrupted::default()), Ending::Interrupted, ""),
            (K::Failed(failed), Ending::Failed, "no"),
            (K::Cancelled(Cancelled {}), Ending::Cancelled, ""),
        ] {
            let end = End { ending, error: error.to_owned(), at: Sequence(11) };
            assert_eq!(heard(vec![kind]).end, Some(end));
        }
        let asked = heard(vec![text("a"), K::CancelRequested(CancelRequested {})]);
        assert_eq!((asked.end, asked.whole), (None, false));
    }

    #[test]
    fn what_other_turns_say_is_not_heard() {
        let mut turn = Turn::new("b");
        let events = vec![Event { index: 1, kind: Some(text("a")) }];
        turn.hear(Sequence(1), &Entry { turn_id: "a".to_owned(), events, ..Entry::default() });
        assert_eq!(turn.answer.text(), "");
    }

    #[test]
    fn decisions_are_no_question() {
        assert_eq!(heard(vec![started("", "z")]).question, None);
        assert_eq!(heard(vec![started("and?", "z")]).question.as_deref(), Some("and?"));
        assert_eq!(heard(vec![started("", "")]).question.as_deref(), Some(""));
        let message = Message { content: "why?".to_owned(), ..Message::default() };
        let asks = Job { messages: vec![message], ..Job::default() };
        assert_eq!(Turn::of(&asks).question.as_deref(), Some("why?"));
        let decides = Job { resume: Some(Resume::default()), ..Job::default() };
        assert_eq!(Turn::of(&decides).question, None);
    }
}
