//! What a caller asks, parsed: a [`Question`] in hand is a valid one.
//!
//! Pure but for the models it looks up. Names every field that is wrong, in the
//! words of the request.

use std::fmt;
use std::sync::Arc;

use proto::{AskRequest, CancelRequest, Message, Session, TurnId};

use crate::registry::{Key, Place};
use model::{Model, Models};

/// The most messages in a request.
pub(crate) const MAX_MESSAGES: usize = 2_000;

/// The most text in a request, in bytes: all messages and the instructions.
pub(crate) const MAX_CONTENT_BYTES: usize = 512 * 1024;

/// The most entries of metadata, and their most bytes together.
const MAX_METADATA: (usize, usize) = (64, 16 * 1024);

/// The highest index that a caller may have: far beyond any turn, and leaving
/// room to count on.
const MAX_INDEX: u32 = u32::MAX / 2;

/// How many messages that are wrong are named; a refusal must fit in trailers.
const MAX_NAMED: usize = 8;

const ROLES: [&str; 4] = ["user", "assistant", "system", "tool"];

/// A turn to run.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) key: Key,
    /// Messages before the question, oldest first.
    pub(crate) earlier: Vec<Message>,
    /// The question itself.
    pub(crate) input: Message,
    /// Instructions in place of the configured ones.
    pub(crate) system: Option<String>,
    pub(crate) model: Arc<dyn Model>,
}

/// One field that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) description: String,
}

/// Everything that is wrong with a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Violations(pub(crate) Vec<Violation>);

impl Violations {
    fn add(&mut self, field: impl Into<String>, description: impl fmt::Display) {
        self.0.push(Violation { field: field.into(), description: description.to_string() });
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, it) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "; " };
            write!(f, "{comma}{}: {}", it.field, it.description)?;
        }
        Ok(())
    }
}

/// Reads a request to ask: the question, and what the caller has of the answer.
pub(crate) fn ask(request: AskRequest, models: &Models) -> Result<(Question, Place), Violations> {
    let mut wrong = Violations::default();
    let key =
        key(&request.user_id, &request.session_id, &request.turn_id, Absent::Made, &mut wrong);
    check_messages(&request.messages, &mut wrong);
    check_sizes(&request, &mut wrong);
    if request.resume.is_some() {
        wrong.add("resume", "no turn of this agent waits for a decision");
    }
    if request.resume_after > MAX_INDEX {
        wrong.add("resumeAfter", format_args!("must be at most {MAX_INDEX}"));
    }
    let model = models.named(&request.model);
    if model.is_none() {
        let allowed = models.allowed();
        wrong.add("model", format_args!("is not known; allowed: {allowed}"));
    }
    let mut earlier = request.messages;
    let (Some(key), Some(model), Some(input), true) =
        (key, model, earlier.pop(), wrong.0.is_empty())
    else {
        return Err(wrong);
    };
    let question = Question {
        key,
        earlier,
        input,
        system: Some(request.system).filter(|it| !it.is_empty()),
        model,
    };
    Ok((question, Place { run: request.resume_run, index: request.resume_after }))
}

/// Reads a request to cancel.
pub(crate) fn cancel(request: &CancelRequest) -> Result<Key, Violations> {
    let mut wrong = Violations::default();
    let (user, session, turn) = (&request.user_id, &request.session_id, &request.turn_id);
    key(user, session, turn, Absent::Wrong, &mut wrong).ok_or(wrong)
}

/// What the absence of a turn id means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Made,
    Wrong,
}

fn key(
    user: &str,
    session: &str,
    turn: &str,
    absent: Absent,
    wrong: &mut Violations,
) -> Option<Key> {
    let session = match (user.parse(), session.parse()) {
        (Ok(user), Ok(id)) => Some(Session { user, id }),
        (user, session) => {
            if let Err(error) = user {
                wrong.add("userId", error);
            }
            if let Err(error) = session {
                wrong.add("sessionId", error);
            }
            None
        }
    };
    if turn.is_empty() && absent == Absent::Made {
        return Some(Key { session: session?, turn: TurnId::new() });
    }
    let turn = turn.parse();
    if let Err(error) = &turn {
        wrong.add("turnId", error);
    }
    Some(Key { session: session?, turn: turn.ok()? })
}

fn check_messages(messages: &[Message], wrong: &mut Violations) {
    if messages.len() > MAX_MESSAGES {
        let count = messages.len();
        wrong.add("messages", format_args!("must be at most {MAX_MESSAGES}, not {count}"));
        return;
    }
    let Some(last) = messages.last() else {
        return wrong.add("messages", "must hold at least the question");
    };
    let unknown = |(_, it): &(usize, &Message)| !ROLES.contains(&it.role.as_str());
    for (at, _) in messages.iter().enumerate().filter(unknown).take(MAX_NAMED) {
        wrong
            .add(format!("messages[{at}].role"), "must be `user`, `assistant`, `system` or `tool`");
    }
    let at = messages.len() - 1;
    if last.role != "user" && ROLES.contains(&last.role.as_str()) {
        wrong.add(
            format!("messages[{at}].role"),
            "must be `user`: the last message is the question",
        );
    }
    if last.content.trim().is_empty() {
        wrong.add(format!("messages[{at}].content"), "must not be empty");
    }
}

fn check_sizes(request: &AskRequest, wrong: &mut Violations) {
    let messages = request.messages.iter().map(|it| it.content.len());
    let content = request.system.len() + messages.sum::<usize>();
    if content > MAX_CONTENT_BYTES {
        wrong.add(
            "messages",
            format_args!(
                "must be at most {MAX_CONTENT_BYTES} bytes together with `system`, not {content}"
            ),
        );
    }
    let metadata = request.metadata.iter().map(|(k, v)| k.len() + v.len());
    if request.metadata.len() > MAX_METADATA.0 || metadata.sum::<usize>() > MAX_METADATA.1 {
        let (entries, bytes) = MAX_METADATA;
        wrong.add(
            "metadata",
            format_args!("must be at most {entries} entries of {bytes} bytes together"),
        );
    }
}
