//! What a human's decisions mean for the calls that wait for them. Pure, and the
//! same for the edge, which refuses early, and the agent, which decides.
//!
//! Refuses a decision that is not about exactly the call that waits, and one on
//! a call that is decided. The decisions of one request count all or not at all.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::{Decision, PendingCall, Resume, Review, ReviewDecision, Session, TurnId};

/// The most decisions of one request.
pub const MAX_DECISIONS: usize = 64;
/// The longest id of a call, in bytes.
pub const MAX_CALL_ID_BYTES: usize = 256;
/// The longest arguments, and the longest message, of one decision, in bytes.
pub const MAX_DECISION_BYTES: usize = 64 * 1024;
/// The most arguments and messages of one request together, in bytes.
pub const MAX_DECISIONS_BYTES: usize = 256 * 1024;

/// How many wrong fields are named; a refusal must fit in trailers.
const MAX_NAMED: usize = 8;
/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 64;
/// Tells this hash from one that is made of the same bytes for another end.
const DOMAIN: &str = "urn:weir:call:1";

/// Binds a decision to one call: of this session, asked for by this turn, with
/// this name and, byte for byte, these arguments. SHA-256, in hexadecimal.
pub fn arguments_hash(session: &Session, turn: TurnId, call: &PendingCall) -> String {
    let turn = turn.to_string();
    let (user, id) = (session.user.as_str(), session.id.as_str());
    let mut hash = Sha256::new();
    for part in [DOMAIN, user, id, &turn, &call.call_id, &call.name, &call.arguments] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digits = String::with_capacity(HASH_DIGITS);
    for byte in hash.finalize() {
        let _infallible = write!(digits, "{byte:02x}");
    }
    digits
}

/// Why decisions do not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The turn is not one whose calls wait, or waited last.
    #[error("no call of this turn waits for a decision")]
    Unknown,
    /// A new question was asked instead.
    #[error("the conversation went on without a decision; ask again for what is still wanted")]
    Closed,
    /// It is too late.
    #[error("the time to decide is over; ask again for what is still wanted")]
    Expired,
    /// Somebody else was faster.
    #[error("the call `{0}` is decided already")]
    Decided(String),
    /// No such call waits.
    #[error("no call `{0}` waits for a decision")]
    NoSuchCall(String),
    /// The call that waits is not the one that was shown.
    #[error("the call `{0}` is not the one that this decision is about: its hash is another")]
    Altered(String),
    /// A call with two decisions.
    #[error("the call `{0}` is decided twice in one request")]
    Twice(String),
}

/// Decisions that count.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The calls that they are about, in the calls' order.
    pub calls: Vec<(PendingCall, Decision)>,
    /// The review with them.
    pub after: Review,
    /// Whether the same turn had brought the same before: nothing changes.
    pub repeated: bool,
}

impl Review {
    /// What becomes of the decisions that `turn` brings, `now` since the Unix
    /// epoch. A turn that brings again what it brought before gets the same, at
    /// any time.
    pub fn judge(&self, turn: TurnId, resume: &Resume, now: Duration) -> Result<Judged, Refused> {
        let name = turn.to_string();
        if self.brought(&name, resume) {
            return Ok(self.judged(&name, true));
        }
        if !self.turn_ids.iter().any(|it| same_turn(it, &resume.turn_id)) {
            return Err(Refused::Unknown);
        }
        if self.closed {
            return Err(Refused::Closed);
        }
        if self.is_expired(now) {
            return Err(Refused::Expired);
        }
        let mut seen = BTreeSet::new();
        for decision in &resume.decisions {
            if !seen.insert(&decision.call_id) {
                return Err(Refused::Twice(decision.call_id.clone()));
            }
            self.check(decision)?;
        }
        let mut after = self.clone();
        after.decided.extend(resume.decisions.iter().map(|decision| ReviewDecision {
            decision: Some(decision.clone()),
            turn_id: name.clone(),
        }));
        Ok(after.judged(&name, false))
    }

    /// The calls without a decision, in their order.
    pub fn pending(&self) -> Vec<PendingCall> {
        let undecided = |it: &&PendingCall| self.decision(&it.call_id).is_none();
        self.calls.iter().filter(undecided).cloned().collect()
    }

    /// Whether a decision could count, `now` since the Unix epoch.
    pub fn is_open(&self, now: Duration) -> bool {
        !self.closed && !self.is_expired(now) && !self.pending().is_empty()
    }

    /// Whether this turn was interrupted because of these calls.
    pub fn has_turn(&self, turn: TurnId) -> bool {
        let turn = turn.to_string();
        self.turn_ids.contains(&turn)
    }

    fn is_expired(&self, now: Duration) -> bool {
        self.expires.as_ref().is_some_and(|it| is_past(it, now))
    }

    fn decision(&self, call: &str) -> Option<&ReviewDecision> {
        self.decided.iter().find(|it| it.decision.as_ref().is_some_and(|it| it.call_id == call))
    }

    /// Whether what this turn brought before is exactly this.
    fn brought(&self, turn: &str, resume: &Resume) -> bool {
        let before: Vec<_> = self.of_turn(turn).collect();
        !before.is_empty()
            && before.len() == resume.decisions.len()
            && before.iter().all(|it| resume.decisions.contains(it))
    }

    fn of_turn(&self, turn: &str) -> impl Iterator<Item = &Decision> {
        let brought = self.decided.iter().filter(move |it| it.turn_id == turn);
        brought.filter_map(|it| it.decision.as_ref())
    }

    fn check(&self, decision: &Decision) -> Result<(), Refused> {
        let id = &decision.call_id;
        let Some(call) = self.calls.iter().find(|it| it.call_id == *id) else {
            return Err(Refused::NoSuchCall(id.clone()));
        };
        if call.arguments_hash != decision.arguments_hash {
            return Err(Refused::Altered(id.clone()));
        }
        if self.decision(id).is_some() {
            return Err(Refused::Decided(id.clone()));
        }
        Ok(())
    }

    fn judged(&self, turn: &str, repeated: bool) -> Judged {
        let decided = |call: &PendingCall| {
            let decision = self.of_turn(turn).find(|it| it.call_id == call.call_id)?;
            Some((call.clone(), decision.clone()))
        };
        let calls = self.calls.iter().filter_map(decided).collect();
        Judged { calls, after: self.clone(), repeated }
    }
}

impl Resume {
    /// Everything that is wrong with its form: the field, as the request spells
    /// it, and what it must be. Names the first few. Empty when it may be judged.
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if let Err(error) = self.turn_id.parse::<TurnId>() {
            wrong.push(("turnId".to_owned(), error.to_string()));
        }
        let count = self.decisions.len();
        if count == 0 || count > MAX_DECISIONS {
            let why = format!("must be 1 to {MAX_DECISIONS} decisions, not {count}");
            wrong.push(("decisions".to_owned(), why));
            return wrong;
        }
        let sizes = self.decisions.iter().map(|it| it.arguments.len() + it.message.len());
        let size: usize = sizes.sum();
        if size > MAX_DECISIONS_BYTES {
            let why = format!("must be at most {MAX_DECISIONS_BYTES} bytes together, not {size}");
            wrong.push(("decisions".to_owned(), why));
            return wrong;
        }
        for (at, decision) in self.decisions.iter().enumerate() {
            let named = decision.check().into_iter();
            wrong.extend(named.map(|(field, why)| (format!("decisions[{at}].{field}"), why)));
        }
        wrong.truncate(MAX_NAMED);
        wrong
    }
}

/// What a decision's type wants of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Needed,
    Allowed,
    Refused,
}

impl Decision {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.call_id.is_empty() || self.call_id.len() > MAX_CALL_ID_BYTES {
            wrong.push(("callId", format!("must be 1 to {MAX_CALL_ID_BYTES} bytes")));
        }
        let digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        if self.arguments_hash.len() != HASH_DIGITS || !self.arguments_hash.bytes().all(digit) {
            let why = "must be the hash that the pending call states, in 64 hexadecimal digits";
            wrong.push(("argumentsHash", why.to_owned()));
        }
        let (arguments, message) = match self.r#type.as_str() {
            "accept" => (Wanted::Refused, Wanted::Refused),
            "edit" => (Wanted::Needed, Wanted::Refused),
            "reject" => (Wanted::Refused, Wanted::Allowed),
            "respond" => (Wanted::Refused, Wanted::Needed),
            _ => {
                let why = "must be `accept`, `edit`, `reject` or `respond`";
                wrong.push(("type", why.to_owned()));
                return wrong;
            }
        };
        let of = &self.r#type;
        wrong.extend(field("arguments", &self.arguments, arguments, of));
        wrong.extend(field("message", &self.message, message, of));
        if arguments == Wanted::Needed && wrong.is_empty() && !is_object(&self.arguments) {
            wrong.push(("arguments", "must be the JSON text of an object".to_owned()));
        }
        wrong
    }
}

fn field(
    name: &'static str,
    text: &str,
    wanted: Wanted,
    of: &str,
) -> Option<(&'static str, String)> {
    let why = match wanted {
        Wanted::Needed if text.is_empty() => format!("must not be empty for `{of}`"),
        Wanted::Refused if !text.is_empty() => format!("must be empty for `{of}`"),
        Wanted::Needed | Wanted::Allowed | Wanted::Refused if text.len() > MAX_DECISION_BYTES => {
            format!("must be at most {MAX_DECISION_BYTES} bytes, not {}", text.len())
        }
        Wanted::Needed | Wanted::Allowed | Wanted::Refused => return None,
    };
    Some((name, why))
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

fn same_turn(one: &str, other: &str) -> bool {
    match (one.parse::<TurnId>(), other.parse::<TurnId>()) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), _) => false,
    }
}

fn is_past(time: &Timestamp, now: Duration) -> bool {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(now.subsec_nanos()).unwrap_or(i32::MAX);
    (time.seconds, time.nanos) <= (seconds, nanos)
}
