//! `weir.v1.json`: commands in, the native events out, one JSON object a
//! message.

use broker::From;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use proto::Session;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Misheard, Speech};
use crate::caller::Owned;
use crate::cancel::CANCELLING;
use crate::decisions;
use crate::dialect::Dialect as _;
use crate::dialect::native::Native;
use crate::events;
use crate::extract::{interpret, parse};
use crate::problem::Refusal;
use crate::question::{self, OnDisconnect, Question};
use crate::socket::command::{Answer, Command, Wants};
use crate::stream::Told;

/// The longest name of a command, in bytes.
const REFERENCE_BYTES: usize = 128;

/// The speech of one socket.
#[derive(Debug)]
pub(in crate::socket) struct Lines {
    session: Session,
    native: Native,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cancel {
    turn_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Lines {
    pub(in crate::socket) fn new(session: &Session) -> Self {
        Self { session: session.clone(), native: Native::lines(&session.id) }
    }
}

impl Speech for Lines {
    fn open(&self) -> Option<Bytes> {
        let (user, session) = (self.session.user.as_str(), self.session.id.as_str());
        Some(message("session", &json!({"userId": user, "sessionId": session})))
    }

    fn begins(&self) -> From {
        From::Turn
    }

    fn hear(&self, session: &Owned, text: &str) -> Result<Command, Misheard> {
        let mut fields: Map<String, Value> = match parse(text.as_bytes()) {
            Ok(fields) => fields,
            Err(refusal) => return Err(Misheard { reference: None, refusal }),
        };
        let reference = match reference(&mut fields) {
            Ok(reference) => reference,
            Err(refusal) => return Err(Misheard { reference: None, refusal }),
        };
        match wants(session, fields) {
            Ok(wants) => Ok(Command { reference, wants }),
            Err(refusal) => Err(Misheard { reference, refusal }),
        }
    }

    fn answer(&mut self, reference: Option<&str>, answer: &Answer) -> Option<Bytes> {
        let (event, mut data) = match answer {
            Answer::Accepted(receipt) => {
                let data = json!({"turnId": receipt.turn_id, "position": receipt.position});
                ("accepted", data)
            }
            Answer::Cancelling(turn) => {
                ("accepted", json!({"turnId": turn.to_string(), "status": CANCELLING}))
            }
            Answer::Following => ("accepted", json!({"status": "following"})),
            Answer::Pong => ("pong", json!({})),
        };
        refer(&mut data, reference);
        Some(message(event, &data))
    }

    fn refuse(&self, reference: Option<&str>, refusal: &Refusal) -> Bytes {
        let mut problem = serde_json::from_slice(&refusal.to_json()).unwrap_or_default();
        refer(&mut problem, reference);
        message("problem", &problem)
    }

    fn tell(&mut self, told: &Told) -> Vec<Bytes> {
        let mut lines = String::new();
        match told {
            Told::Entry { at, stored, skip } => self.native.entry(*at, stored, *skip, &mut lines),
            Told::SoFar { at, stored } => self.native.so_far(*at, stored, &mut lines),
            Told::Gap(gap) => self.native.gap(gap, &mut lines),
        }
        messages(lines)
    }

    fn expired(&self) -> Bytes {
        message("auth_expired", &json!({"sessionId": self.session.id.as_str()}))
    }
}

/// The messages that stand on lines, without a copy.
fn messages(lines: String) -> Vec<Bytes> {
    let ends: Vec<_> = lines.match_indices('\n').map(|it| it.0).collect();
    let lines = Bytes::from(lines);
    let begins = std::iter::once(0).chain(ends.iter().map(|it| it + 1));
    begins.zip(&ends).map(|(begin, end)| lines.slice(begin..*end)).collect()
}

fn message(event: &str, data: &Value) -> Bytes {
    format!(r#"{{"event":"{event}","data":{data}}}"#).into()
}

/// Names the command that is answered.
fn refer(data: &mut Value, reference: Option<&str>) {
    if let Some(reference) = reference {
        data["ref"] = reference.into();
    }
}

/// The client's name for its command.
fn reference(fields: &mut Map<String, Value>) -> Result<Option<String>, Refusal> {
    match text(fields, "id")? {
        Some(id) if id.is_empty() || id.len() > REFERENCE_BYTES => {
            Err(Refusal::field("id", format!("must be 1 to {REFERENCE_BYTES} bytes")))
        }
        id => Ok(id),
    }
}

/// Takes a text out of a command's fields.
fn text(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Refusal> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Refusal::field(name, "must be a text"))
        }
    }
}

fn wants(session: &Owned, mut fields: Map<String, Value>) -> Result<Wants, Refusal> {
    for (name, own) in [("userId", session.user.as_str()), ("sessionId", session.id.as_str())] {
        if text(&mut fields, name)?.is_some_and(|it| it != own) {
            return Err(Refusal::field(name, "must be that of the socket, or be left out"));
        }
    }
    let kind = text(&mut fields, "type")?;
    match kind.as_deref() {
        Some("ask") => {
            let (headers, body) = (keyed(&mut fields)?, interpret(Value::Object(fields))?);
            let body: question::Body = body;
            stays(body.on_disconnect)?;
            let question = Question::native(session.clone(), body, question::key(&headers)?)?;
            Ok(Wants::Turn(Box::new(question)))
        }
        Some("decide") => {
            let (headers, body) = (keyed(&mut fields)?, interpret(Value::Object(fields))?);
            let body: decisions::Body = body;
            stays(body.on_disconnect)?;
            let key = question::key(&headers)?;
            Ok(Wants::Turn(Box::new(decisions::question(session.clone(), body, key)?)))
        }
        Some("cancel") => {
            let Cancel { turn_id } = interpret(Value::Object(fields))?;
            let turn = turn_id.as_deref().map(str::parse).transpose();
            Ok(Wants::Cancel(turn.map_err(|why| Refusal::field("turnId", why))?))
        }
        Some("resume") => {
            let Resume { after } = interpret(Value::Object(fields))?;
            let (from, has) = events::place(after.as_deref())?;
            Ok(Wants::Follow(from, has))
        }
        Some("ping") => {
            let Nothing {} = interpret(Value::Object(fields))?;
            Ok(Wants::Ping)
        }
        Some(_) | None => {
            Err(Refusal::field("type", "must be ask, cancel, decide, resume or ping"))
        }
    }
}

/// The idempotency key of a command, where it stands in a request.
fn keyed(fields: &mut Map<String, Value>) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    if let Some(key) = text(fields, "idempotencyKey")? {
        let key = HeaderValue::try_from(key);
        let why = "must be printable ASCII characters";
        headers.insert(
            "idempotency-key",
            key.map_err(|_control| Refusal::field("idempotencyKey", why))?,
        );
    }
    Ok(headers)
}

/// A socket that is cut is no reader that leaves.
fn stays(leaving: OnDisconnect) -> Result<(), Refusal> {
    match leaving {
        OnDisconnect::Continue => Ok(()),
        OnDisconnect::Cancel => {
            Err(Refusal::field("onDisconnect", "must be continue here; cancel is a command"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(text: &str) -> Result<Command, Misheard> {
        let session = Owned::tested("u", "s");
        Lines::new(&session).hear(&session, text)
    }

    #[test]
    fn commands_are_told_apart_and_keep_their_names() {
        let turn = "00000000-0000-7000-8000-000000000001";
        let decide = format!(
            r#"{{"type":"decide","turnId":"{turn}","decisions":[{{"callId":"c","argumentsHash":"{}","type":"accept"}}]}}"#,
            "0".repeat(64)
        );
        for (text, expected) in [
            (r#"{"type":"ask","id":"1","input":"?"}"#.to_owned(), "Turn"),
            (r#"{"type":"ask","input":"?","idempotencyKey":"k","sessionId":"s"}"#.into(), "Turn"),
            (decide, "Turn"),
            (r#"{"type":"cancel"}"#.to_owned(), "Cancel(None)"),
            (format!(r#"{{"type":"cancel","turnId":"{turn}"}}"#), "Cancel(Some("),
            (r#"{"type":"resume","after":"start"}"#.to_owned(), "Follow(Start, None)"),
            (r#"{"type":"resume"}"#.to_owned(), "Follow(Turn, None)"),
            (r#"{"type":"resume","after":"1-18.2"}"#.to_owned(), "Follow(At("),
            (r#"{"type":"ping","id":"p"}"#.to_owned(), "Ping"),
        ] {
            let command = hear(&text).unwrap();
            let wants = format!("{:?}", command.wants);
            assert!(wants.starts_with(expected), "{text}: {wants}");
            assert_eq!(command.reference.is_some(), text.contains(r#""id""#), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused_by_field_and_name() {
        let deep = format!(r#"{{"type":{}"#, "[".repeat(1000));
        for (text, field, reference) in [
            ("x", "", None),
            ("[]", "", None),
            (deep.as_str(), "", None),
            (r#"{"id":"1"}"#, "type", Some("1")),
            (r#"{"type":"shout","id":"1"}"#, "type", Some("1")),
            (r#"{"type":"ask","id":7,"input":"?"}"#, "id", None),
            (r#"{"type":"ask","id":"","input":"?"}"#, "id", None),
            (r#"{"type":"ask","id":"1"}"#, "input", Some("1")),
            (r#"{"type":"ask","input":"?","model":7}"#, "model", None),
            (r#"{"type":"ask","input":"?","x":7}"#, "x", None),
            (r#"{"type":"ask","input":"?","userId":"v"}"#, "userId", None),
            (r#"{"type":"ask","input":"?","onDisconnect":"cancel"}"#, "onDisconnect", None),
            (r#"{"type":"ask","input":"?","idempotencyKey":"\n"}"#, "idempotencyKey", None),
            (r#"{"type":"decide","turnId":"x","decisions":[]}"#, "turnId", None),
            (r#"{"type":"cancel","turnId":"x"}"#, "turnId", None),
            (r#"{"type":"resume","after":"x"}"#, "after", None),
            (r#"{"type":"ping","x":1}"#, "x", None),
        ] {
            let misheard = hear(text).unwrap_err();
            assert_eq!(misheard.reference.as_deref(), reference, "{text}");
            let refusal = format!("{:?}", misheard.refusal);
            let named = field.is_empty() || refusal.contains(&format!("field: {field:?}"));
            assert!(named, "{text}: {refusal}");
        }
    }

    #[test]
    fn lines_become_messages() {
        let told: Vec<_> = messages("a\nbc\n".to_owned());
        assert_eq!(told, ["a", "bc"]);
        assert!(messages(String::new()).is_empty());
    }
}
