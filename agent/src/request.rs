//! What a caller asks, parsed: a [`Question`] in hand is a valid one.
//!
//! Pure but for the models it looks up. Names every field that is wrong, in the
//! words of the request.

use std::fmt;
use std::sync::Arc;

use proto::review::MAX_CALL_ID_BYTES;
use proto::{AskRequest, CancelRequest, Message, Resume, Session, TurnId};

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

/// The longest name of a tool that a history mentions, in bytes.
const MAX_TOOL_NAME_BYTES: usize = 128;

const ROLES: [&str; 4] = ["user", "assistant", "system", "tool"];

/// A turn to run.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) key: Key,
    /// Messages before the question, oldest first.
    pub(crate) earlier: Vec<Message>,
    /// The question itself; none in a turn that brings decisions.
    pub(crate) input: Option<Message>,
    /// What a human decided about calls of an interrupted turn. Its form is
    /// right; whether it fits what is pending, the review says.
    pub(crate) resume: Option<Resume>,
    /// The earlier turn whose place this one takes.
    pub(crate) replaces: Option<Replaces>,
    /// Instructions behind the configured ones.
    pub(crate) system: Option<String>,
    pub(crate) model: Arc<dyn Model>,
}

/// A turn whose place another one takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replaces {
    pub(crate) turn: TurnId,
    /// Where it stood if the transcript does not have it: behind this turn, or
    /// before all when empty.
    pub(crate) behind: Option<String>,
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
    match &request.resume {
        Some(resume) => check_resume(resume, &request, &mut wrong),
        None => check_messages(&request.messages, &mut wrong),
    }
    check_sizes(&request, &mut wrong);
    let replaces = replaces(&request, key.as_ref(), &mut wrong);
    if request.resume_after > MAX_INDEX {
        wrong.add("resumeAfter", format_args!("must be at most {MAX_INDEX}"));
    }
    let model = models.named(&request.model);
    if model.is_none() {
        let allowed = models.allowed();
        wrong.add("model", format_args!("is not known; allowed: {allowed}"));
    }
    let (Some(key), Some(model), true) = (key, model, wrong.0.is_empty()) else {
        return Err(wrong);
    };
    let mut earlier = request.messages;
    let input = earlier.pop();
    let question = Question {
        key,
        earlier,
        input,
        resume: request.resume,
        replaces,
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

fn check_resume(resume: &Resume, request: &AskRequest, wrong: &mut Violations) {
    if !request.messages.is_empty() {
        wrong.add("messages", "must be empty with `resume`");
    }
    for (field, why) in resume.check() {
        wrong.add(format!("resume.{field}"), why);
    }
    let same = |turn: TurnId| request.turn_id.parse() == Ok(turn);
    if resume.turn_id.parse().is_ok_and(same) {
        wrong.add("resume.turnId", "must be another turn than the one that resumes it");
    }
}

/// The turn whose place the request wants, and what is wrong with that.
fn replaces(request: &AskRequest, key: Option<&Key>, wrong: &mut Violations) -> Option<Replaces> {
    let behind = request.behind.as_deref();
    let is_turn = |it: &str| it.is_empty() || it.parse::<TurnId>().is_ok();
    if !behind.is_none_or(is_turn) {
        wrong.add("behind", "must be empty or the UUID of a turn");
    }
    if request.replaces.is_empty() {
        if behind.is_some() {
            wrong.add("behind", "must be absent without `replaces`");
        }
        return None;
    }
    if request.resume.is_some() {
        wrong.add("replaces", "must be empty with `resume`");
    }
    match request.replaces.parse::<TurnId>() {
        Ok(turn) if key.is_some_and(|it| it.turn == turn) => {
            wrong.add("replaces", "must be another turn than the one that takes its place");
            None
        }
        Ok(turn) => {
            let name = |it: &str| it.parse::<TurnId>().map(|it| it.to_string()).unwrap_or_default();
            Some(Replaces { turn, behind: behind.map(name) })
        }
        Err(error) => {
            wrong.add("replaces", error);
            None
        }
    }
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
    let named = messages.iter().enumerate().flat_map(|(at, it)| {
        let fields = check_message(it).into_iter();
        fields.map(move |(field, why)| (format!("messages[{at}].{field}"), why))
    });
    for (field, why) in named.take(MAX_NAMED) {
        wrong.add(field, why);
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

/// What is wrong in one message: the field, and what it must be.
fn check_message(message: &Message) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut add = |field: &str, why: String| wrong.push((field.to_owned(), why));
    let role = message.role.as_str();
    if !ROLES.contains(&role) {
        add("role", "must be `user`, `assistant`, `system` or `tool`".to_owned());
    }
    if role != "assistant" && !message.tool_calls.is_empty() {
        add("toolCalls", "must be empty but in a message of role `assistant`".to_owned());
    }
    if role != "tool" && !message.tool_call_id.is_empty() {
        add("toolCallId", "must be empty but in a message of role `tool`".to_owned());
    }
    if message.tool_call_id.len() > MAX_CALL_ID_BYTES {
        add("toolCallId", format!("must be at most {MAX_CALL_ID_BYTES} bytes"));
    }
    for (nth, call) in message.tool_calls.iter().enumerate() {
        if !(1..=MAX_CALL_ID_BYTES).contains(&call.call_id.len()) {
            let why = format!("must be 1 to {MAX_CALL_ID_BYTES} bytes");
            add(&format!("toolCalls[{nth}].callId"), why);
        }
        if !(1..=MAX_TOOL_NAME_BYTES).contains(&call.name.len()) {
            let why = format!("must be 1 to {MAX_TOOL_NAME_BYTES} bytes");
            add(&format!("toolCalls[{nth}].name"), why);
        }
    }
    wrong
}

/// The bytes of a message, with the calls in it.
fn size(message: &Message) -> usize {
    let calls = message.tool_calls.iter();
    let calls = calls.map(|it| it.call_id.len() + it.name.len() + it.arguments.len());
    message.content.len() + message.tool_call_id.len() + calls.sum::<usize>()
}

fn check_sizes(request: &AskRequest, wrong: &mut Violations) {
    let messages = request.messages.iter().map(size);
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
