//! A question as clients put it, or decisions that take its place, checked and
//! made into a job.

use std::collections::BTreeMap;

use http::HeaderMap;
use proto::{Job, Message, Resume, TurnId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::caller::Owned;
use crate::problem::Refusal;

/// The longest question, in bytes.
pub(crate) const INPUT_BYTES: usize = 256 * 1024;
/// The longest instructions, in bytes.
pub(crate) const SYSTEM_BYTES: usize = 64 * 1024;
/// Messages of history.
const MESSAGES: usize = 200;
/// The longest model name, in bytes.
const MODEL_BYTES: usize = 128;
/// Metadata entries, and the longest name and value of one, in bytes.
const METADATA: (usize, usize, usize) = (16, 64, 512);
/// The longest idempotency key, in bytes.
const KEY_BYTES: usize = 255;

/// What to do when the session has an unfinished turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Admission {
    /// Refuse.
    #[default]
    Reject,
    /// Wait behind it.
    Enqueue,
    /// Stop it, and run after it.
    Interrupt,
}

/// What becomes of a turn whose reader goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnDisconnect {
    /// It goes on.
    #[default]
    Continue,
    /// It is stopped after a grace.
    Cancel,
}

/// The body of `POST /v1/sessions/{session}/turns`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Ask)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    /// Who asks; with authentication on, whom the credential names.
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    pub(crate) user_id: Option<String>,
    /// The question.
    #[schema(min_length = 1, max_length = 262_144, example = "What is Weir?")]
    input: String,
    /// What was said before, for a session that is new.
    #[serde(default)]
    #[schema(max_items = 200)]
    messages: Vec<Said>,
    /// Instructions, behind those of the operator.
    #[schema(max_length = 65_536)]
    system: Option<String>,
    /// A model that the agent offers, as `provider/name`.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_./:@+-]+$")]
    model: Option<String>,
    #[serde(default)]
    admission: Admission,
    #[serde(default)]
    pub(crate) on_disconnect: OnDisconnect,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// An earlier turn of the session: the question is asked in its place.
    #[schema(value_type = Option<uuid::Uuid>)]
    replaces: Option<String>,
}

/// One message of a history. Unknown fields are left to the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Said {
    /// `user`, `assistant` or `tool`.
    #[schema(pattern = "^(user|assistant|tool)$", example = "user")]
    pub(crate) role: String,
    pub(crate) content: String,
}

/// A question that may be submitted.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) session: Owned,
    pub(crate) turn: TurnId,
    /// Whether the client can repeat it safely.
    pub(crate) keyed: bool,
    /// Whether the session was made for this question alone.
    pub(crate) made: bool,
    pub(crate) admission: Admission,
    pub(crate) job: Job,
}

/// What makes two requests the same. Admission is left out: how to get in may
/// be chosen anew on a retry.
#[derive(Serialize)]
struct Canonical<'a> {
    session: &'a str,
    input: &'a str,
    messages: &'a [Said],
    system: &'a str,
    model: &'a str,
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<&'a Resume>,
    #[serde(skip_serializing_if = "str::is_empty")]
    replaces: &'a str,
}

impl Question {
    /// Checks a native body.
    pub(crate) fn native(
        session: Owned,
        mut body: Body,
        key: Option<&str>,
    ) -> Result<Self, Refusal> {
        check(&body)?;
        if let Some(replaces) = &mut body.replaces {
            let turn = replaces.parse::<TurnId>().map_err(|it| Refusal::field("replaces", it))?;
            *replaces = turn.to_string();
            if body.admission == Admission::Enqueue {
                let why = "must be reject or interrupt with `replaces`: what waits before the \
                           question would come between it and its place";
                return Err(Refusal::field("admission", why));
            }
        }
        let admission = body.admission;
        Ok(Self::new(session, body, key, admission))
    }

    /// A question of a compatible dialect: it waits behind an unfinished turn.
    pub(crate) fn compatible(
        session: Owned,
        input: String,
        messages: Vec<Said>,
    ) -> Result<Self, Refusal> {
        let body = Body {
            user_id: None,
            input,
            messages,
            system: None,
            model: None,
            admission: Admission::Enqueue,
            on_disconnect: OnDisconnect::Continue,
            metadata: BTreeMap::new(),
            replaces: None,
        };
        check(&body)?;
        Ok(Self::new(session, body, None, Admission::Enqueue))
    }

    /// With a client's instructions for this turn, which it gave in `field`.
    pub(crate) fn instructed(mut self, field: &str, system: String) -> Result<Self, Refusal> {
        check_length(field, &system, SYSTEM_BYTES)?;
        self.job.system = system;
        Ok(self)
    }

    /// A question, or decisions in its place, that another dialect has read and
    /// checked; `asked` is what makes two requests the same. It waits behind an
    /// unfinished turn.
    pub(crate) fn read(
        session: Owned,
        job: Job,
        key: Option<&str>,
        asked: &impl Serialize,
    ) -> Self {
        let same = (session.id.as_str(), asked);
        let fingerprint = key.map(|_| fingerprint(&same)).unwrap_or_default().into();
        Self::of(session, key, Admission::Enqueue, Job { fingerprint, ..job })
    }

    /// Decisions about the pending calls of an interrupted turn, whose form is
    /// right: they stand in a question's place.
    pub(crate) fn decisions(
        session: Owned,
        resume: Resume,
        (key, admission): (Option<&str>, Admission),
        metadata: BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        check_metadata(&metadata)?;
        let canonical = Canonical {
            session: session.id.as_str(),
            input: "",
            messages: &[],
            system: "",
            model: "",
            metadata: &metadata,
            resume: Some(&resume),
            replaces: "",
        };
        let fingerprint = key.map(|_| canonical.fingerprint()).unwrap_or_default().into();
        let metadata = metadata.into_iter().collect();
        let job = Job { resume: Some(resume), metadata, fingerprint, ..Job::default() };
        Ok(Self::of(session, key, admission, job))
    }

    fn new(session: Owned, body: Body, key: Option<&str>, admission: Admission) -> Self {
        let canonical = Canonical {
            session: session.id.as_str(),
            input: &body.input,
            messages: &body.messages,
            system: body.system.as_deref().unwrap_or_default(),
            model: body.model.as_deref().unwrap_or_default(),
            metadata: &body.metadata,
            resume: None,
            replaces: body.replaces.as_deref().unwrap_or_default(),
        };
        let fingerprint = key.map(|_| canonical.fingerprint()).unwrap_or_default().into();
        let mut messages: Vec<Message> = body.messages.into_iter().map(Into::into).collect();
        messages.push(Message {
            role: "user".to_owned(),
            content: body.input,
            ..Message::default()
        });
        let job = Job {
            messages,
            system: body.system.unwrap_or_default(),
            model: body.model.unwrap_or_default(),
            metadata: body.metadata.into_iter().collect(),
            replaces: body.replaces.unwrap_or_default(),
            fingerprint,
            ..Job::default()
        };
        Self::of(session, key, admission, job)
    }

    /// The job under its names.
    fn of(session: Owned, key: Option<&str>, admission: Admission, job: Job) -> Self {
        let turn = key.map_or_else(TurnId::new, |it| TurnId::from_key(&session.user, it));
        let job = Job {
            version: proto::FORMAT,
            user_id: session.user.to_string(),
            session_id: session.id.to_string(),
            turn_id: turn.to_string(),
            submitted: Some(proto::timestamp(process::clock::now())),
            ..job
        };
        Self { session, turn, keyed: key.is_some(), made: false, admission, job }
    }

    /// The question's own words; none for decisions.
    pub(crate) fn input(&self) -> &str {
        self.job.messages.last().map_or("", |it| &it.content)
    }
}

impl From<Said> for Message {
    fn from(said: Said) -> Self {
        Self { role: said.role, content: said.content, ..Self::default() }
    }
}

impl Canonical<'_> {
    fn fingerprint(&self) -> Vec<u8> {
        fingerprint(self)
    }
}

fn fingerprint(asked: &impl Serialize) -> Vec<u8> {
    let bytes = serde_json::to_vec(asked).expect("texts and lists of texts are always JSON");
    Sha256::digest(bytes).to_vec()
}

fn check(body: &Body) -> Result<(), Refusal> {
    check_text("input", &body.input, INPUT_BYTES)?;
    if body.messages.len() > MESSAGES {
        let count = body.messages.len();
        return Err(Refusal::field(
            "messages",
            format!("must be at most {MESSAGES} messages, not {count}"),
        ));
    }
    for (at, said) in body.messages.iter().enumerate() {
        if !["user", "assistant", "tool"].contains(&said.role.as_str()) {
            return Err(Refusal::field(
                format!("messages[{at}].role"),
                "must be user, assistant or tool",
            ));
        }
    }
    if let Some(system) = &body.system {
        check_length("system", system, SYSTEM_BYTES)?;
    }
    if let Some(model) = &body.model {
        check_model(model)?;
    }
    check_metadata(&body.metadata)
}

pub(crate) fn check_text(field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::field(field, "must not be empty"));
    }
    check_length(field, text, most)
}

pub(crate) fn check_length(field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.len() <= most {
        return Ok(());
    }
    let why = format!("must be at most {most} bytes, not {}", text.len());
    Err(Refusal::field(field, why))
}

pub(crate) fn check_model(model: &str) -> Result<(), Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@+".contains(&b);
    if !model.is_empty() && model.len() <= MODEL_BYTES && model.bytes().all(plain) {
        return Ok(());
    }
    Err(Refusal::field("model", format!("must be 1 to {MODEL_BYTES} letters, digits or -_./:@+")))
}

pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let (most, name_bytes, value_bytes) = METADATA;
    if metadata.len() > most {
        return Err(Refusal::field("metadata", format!("must have at most {most} entries")));
    }
    for (name, value) in metadata {
        if name.is_empty() || name.len() > name_bytes || value.len() > value_bytes {
            return Err(Refusal::field(
                "metadata",
                format!("names must be 1 to {name_bytes} bytes, values at most {value_bytes}"),
            ));
        }
    }
    Ok(())
}

/// The client's key that makes a repeated submit the same turn.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES => Ok(Some(key)),
        Ok(_) | Err(_) => Err(Refusal::field(
            "Idempotency-Key",
            format!("must be 1 to {KEY_BYTES} printable ASCII characters"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Result<Question, Refusal> {
        let body = crate::extract::parse(json.as_bytes())?;
        Question::native(Owned::tested("u", "s"), body, Some("k"))
    }

    #[test]
    fn a_question_becomes_a_job_whose_last_message_is_the_question() {
        let question = body(
            r#"{"userId":"u","input":"b","messages":[{"role":"assistant","content":"a"}],"model":"openai/x"}"#,
        )
        .unwrap();
        assert_eq!(question.input(), "b");
        assert_eq!(question.job.messages.len(), 2);
        assert_eq!(question.job.model, "openai/x");
        assert_eq!(question.job.fingerprint.len(), 32);
        let other = body(r#"{"userId":"u","input":"c"}"#).unwrap();
        assert_eq!(question.turn, other.turn);
        assert_ne!(question.job.fingerprint, other.job.fingerprint);
        let replaces = "0198C0DE-0000-7000-8000-00000000000A";
        let json = format!(r#"{{"userId":"u","input":"c","replaces":"{replaces}"}}"#);
        let edited = body(&json).unwrap();
        assert_eq!(edited.job.replaces, replaces.to_lowercase());
        assert_ne!(edited.job.fingerprint, other.job.fingerprint);
        let same = body(&json.to_lowercase().replace("userid", "userId")).unwrap();
        assert_eq!(edited.job.fingerprint, same.job.fingerprint);
    }

    #[test]
    fn what_is_not_a_question_is_refused_by_field() {
        let long = "x".repeat(INPUT_BYTES + 1);
        let many = vec![r#"{"role":"user","content":"x"}"#; MESSAGES + 1].join(",");
        let entries: Vec<_> = (0..17).map(|it| format!("\"{it}\":\"\"")).collect();
        for (json, field) in [
            (r#""userId":"u","input":" ""#.to_owned(), "input"),
            (format!(r#""userId":"u","input":"{long}""#), "input"),
            (format!(r#""userId":"u","input":"x","messages":[{many}]"#), "messages"),
            (
                r#""userId":"u","input":"x","messages":[{"role":"system","content":"x"}]"#
                    .to_owned(),
                "messages[0].role",
            ),
            (r#""userId":"u","input":"x","model":"a b""#.to_owned(), "model"),
            (
                format!(r#""userId":"u","input":"x","metadata":{{{}}}"#, entries.join(",")),
                "metadata",
            ),
            (r#""userId":"u","input":"x","admission":"now""#.to_owned(), "admission"),
            (r#""userId":"u","input":"x","replaces":"the last""#.to_owned(), "replaces"),
            (r#""userId":"u","input":"x","replaces":"""#.to_owned(), "replaces"),
            (
                r#""userId":"u","input":"x","replaces":"0198c0de-0000-7000-8000-00000000000a","admission":"enqueue""#
                    .to_owned(),
                "admission",
            ),
        ] {
            let refusal = format!("{:?}", body(&format!("{{{json}}}")).unwrap_err());
            assert!(refusal.contains(&format!("field: {field:?}")), "{field}: {refusal}");
        }
    }
}
