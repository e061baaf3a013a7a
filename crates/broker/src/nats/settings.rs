//! Every setting of every stream and of the consumer, each with what it means
//! to us, and the judgement of what a server has. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Config;
use crate::{Bucket, Error, Result};

pub(super) const JOBS: &str = "JOBS";
pub(super) const LOG: &str = "LOG";
pub(super) const WORKERS: &str = "workers";

/// How long a submit is remembered by its turn.
const REMEMBERED: Duration = Duration::from_mins(15);
/// All jobs together, unless somebody says otherwise; the server sets this
/// aside on its disk.
const JOBS_BYTES: u64 = 1 << 30;
/// What a setting means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A promise rests on it: anything else is refused.
    Is,
    /// A promise rests on it: less is refused.
    AtLeast,
    /// Brought up to date.
    Becomes,
    /// Raised, never lowered: a server that is given a smaller limit throws away
    /// what is over it. Zero and less mean no limit.
    Grows,
    /// Where it begins; the operator's from then on.
    Begins,
}
use Rule::{AtLeast, Becomes, Begins, Grows, Is};

pub(super) type Settings = Vec<(&'static str, Rule, Value)>;

/// Which stream holds a bucket.
pub(super) fn bucket_stream(bucket: Bucket) -> String {
    format!("KV_weir_{}", bucket.name())
}

/// Under which subject a bucket's keys stand.
pub(super) fn bucket_prefix(bucket: Bucket) -> String {
    format!("$KV.weir_{}.", bucket.name())
}

/// True of every stream: nothing expires, is rewritten or copied behind our
/// back, and an acknowledgement means that it is on disk, as often as asked.
fn promises(replicas: usize) -> Settings {
    vec![
        ("storage", Is, json!("file")),
        ("num_replicas", AtLeast, json!(replicas)),
        ("persist_mode", Is, json!("default")),
        ("no_ack", Is, json!(false)),
        ("sealed", Is, json!(false)),
        ("deny_purge", Is, json!(false)),
        ("mirror", Is, Value::Null),
        ("sources", Is, Value::Null),
        ("subject_transform", Is, Value::Null),
        ("max_msg_size", Is, json!(-1)),
        ("allow_msg_ttl", Is, json!(false)),
        ("allow_msg_schedules", Is, json!(false)),
        ("allow_msg_counter", Is, json!(false)),
        ("max_msgs", Begins, json!(-1)),
        ("max_consumers", Begins, json!(-1)),
    ]
}

pub(super) fn jobs(config: &Config) -> Settings {
    let mut settings = promises(config.replicas);
    settings.extend([
        ("subjects", Is, json!(["jobs.*.*"])),
        ("retention", Is, json!("workqueue")),
        ("discard", Is, json!("new")),
        ("discard_new_per_subject", Is, json!(true)),
        ("max_age", Is, json!(0)),
        ("allow_rollup_hdrs", Is, json!(false)),
        ("max_msgs_per_subject", Grows, json!(config.limits.queue_depth)),
        ("duplicate_window", Grows, nanoseconds(REMEMBERED)),
        match config.jobs_bytes {
            // A smaller limit would take accepted jobs away.
            Some(most) => ("max_bytes", Grows, json!(most)),
            None => ("max_bytes", Begins, json!(JOBS_BYTES)),
        },
        ("description", Begins, json!("Weir: turns that wait or run")),
    ]);
    settings
}

pub(super) fn log(config: &Config) -> Settings {
    let mut settings = promises(config.replicas);
    settings.extend([
        ("subjects", Is, json!(["log.*.*"])),
        ("retention", Is, json!("limits")),
        ("max_msgs_per_subject", Is, json!(-1)),
        ("allow_direct", Is, json!(true)),
        ("republish", Is, json!({"src": "log.>", "dest": "live.>"})),
        ("allow_rollup_hdrs", Is, json!(false)),
        ("max_age", Grows, nanoseconds(config.limits.retention)),
        ("deny_delete", Begins, json!(true)),
        ("discard", Begins, json!("old")),
        match config.log_bytes {
            Some(most) => ("max_bytes", Becomes, json!(most)),
            None => ("max_bytes", Begins, json!(-1)),
        },
        ("description", Begins, json!("Weir: the entries of all sessions")),
    ]);
    settings
}

pub(super) fn bucket(bucket: Bucket, replicas: usize) -> Settings {
    let mut settings = promises(replicas);
    settings.extend([
        ("subjects", Is, json!([format!("{}>", bucket_prefix(bucket))])),
        ("retention", Is, json!("limits")),
        ("max_age", Is, json!(0)),
        ("discard", Is, json!("new")),
        ("discard_new_per_subject", Is, json!(false)),
        ("max_msgs_per_subject", Begins, json!(1)),
        ("allow_rollup_hdrs", Begins, json!(true)),
        ("deny_delete", Begins, json!(true)),
        ("max_bytes", Begins, json!(-1)),
        ("description", Begins, json!(format!("Weir: {}", bucket.name()))),
    ]);
    settings
}

/// One consumer for all workers. The server never gives up on a job (it would
/// stay in the queue unseen); workers count attempts.
pub(super) fn workers(config: &Config) -> Settings {
    vec![
        ("durable_name", Is, json!(WORKERS)),
        ("ack_policy", Is, json!("explicit")),
        ("deliver_policy", Is, json!("all")),
        ("deliver_subject", Is, Value::Null),
        ("filter_subject", Is, Value::Null),
        ("filter_subjects", Is, Value::Null),
        ("headers_only", Is, json!(false)),
        ("mem_storage", Is, json!(false)),
        ("num_replicas", Is, json!(0)),
        ("priority_groups", Is, Value::Null),
        ("ack_wait", Becomes, nanoseconds(config.limits.lease)),
        ("backoff", Becomes, Value::Null),
        ("max_deliver", Becomes, json!(-1)),
        ("max_ack_pending", Becomes, json!(65_536)),
        ("inactive_threshold", Becomes, json!(0)),
        ("max_waiting", Begins, json!(16_384)),
        ("replay_policy", Begins, json!("instant")),
    ]
}

/// A time as the API spells it.
pub(super) fn nanoseconds(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_nanos()).unwrap_or(i64::MAX as u64))
}

/// The settings of something new.
pub(super) fn beginning(settings: &Settings) -> Map<String, Value> {
    let said = settings.iter().filter(|(_, _, value)| !value.is_null());
    said.map(|(name, _, value)| ((*name).to_owned(), value.clone())).collect()
}

/// What a server has, and what it should have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Better {
    /// The whole configuration as it should be.
    pub(super) config: Map<String, Value>,
    /// What changes, in words.
    pub(super) changes: Vec<String>,
}

/// Compares what is there with what must be. `None` when nothing is to change.
///
/// Errors: [`Error::Unsuitable`] names what breaks a promise; when nothing may
/// be changed, that is everything that ought to be.
pub(super) fn judge(
    what: &str,
    have: &Map<String, Value>,
    settings: &Settings,
    may_change: bool,
) -> Result<Option<Better>> {
    let mut better = Better { config: have.clone(), changes: Vec::new() };
    for (name, rule, wanted) in settings {
        let is = have.get(*name).unwrap_or(&Value::Null);
        if fits(*rule, is, wanted) {
            continue;
        }
        let said =
            |it: &Value, unset: &str| if it.is_null() { unset.to_owned() } else { it.to_string() };
        if !may_change || matches!(rule, Is | AtLeast) {
            let least = if matches!(rule, AtLeast | Grows) { "at least " } else { "" };
            return Err(Error::Unsuitable(format!(
                "{what}: {name} is {}, but must be {least}{}",
                said(is, "not set"),
                said(wanted, "unset"),
            )));
        }
        let change = format!("{name} {} becomes {}", said(is, "unset"), said(wanted, "unset"));
        better.config.insert((*name).to_owned(), wanted.clone());
        better.changes.push(change);
    }
    Ok((!better.changes.is_empty()).then_some(better))
}

fn fits(rule: Rule, is: &Value, wanted: &Value) -> bool {
    match rule {
        Begins => true,
        AtLeast => is.as_u64() >= wanted.as_u64(),
        Grows => is.as_i64().is_some_and(|it| it <= 0 || Some(it) >= wanted.as_i64()),
        Is | Becomes => plain(is) == plain(wanted),
    }
}

/// The server leaves out, or spells out, what is at its default.
fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Number(it) if it.as_i64() == Some(0) => None,
        Value::String(it) if it.is_empty() || it == "default" => None,
        Value::Array(it) if it.is_empty() => None,
        Value::Object(it) => {
            let said: Map<_, _> =
                it.iter().filter_map(|(k, v)| Some((k.clone(), plain(v)?))).collect();
            (!said.is_empty()).then_some(Value::Object(said))
        }
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Some(value.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_breaks_a_promise_is_named_with_what_it_must_be() {
        let settings =
            vec![("retention", Is, json!("limits")), ("num_replicas", AtLeast, json!(3))];
        for (is, says) in [
            (
                json!({"retention": "interest"}),
                "stream X: retention is \"interest\", but must be \"limits\"",
            ),
            (
                json!({"retention": "limits", "num_replicas": 1}),
                "stream X: num_replicas is 1, but must be at least 3",
            ),
        ] {
            let error = judge("stream X", &have(is), &settings, true).unwrap_err();
            assert_eq!(error, Error::Unsuitable(says.to_owned()));
        }
    }

    #[test]
    fn what_is_harmless_is_brought_up_to_date_and_the_rest_kept() {
        let settings = vec![
            ("ack_wait", Becomes, json!(5)),
            ("max_age", Grows, json!(5)),
            ("max_msgs_per_subject", Grows, json!(5)),
            ("max_bytes", Begins, json!(-1)),
        ];
        let is =
            json!({"ack_wait": 7, "max_age": 4, "max_msgs_per_subject": 6, "max_bytes": 9, "x": 1});
        let better = judge("stream X", &have(is.clone()), &settings, true).unwrap().unwrap();
        assert_eq!(better.changes, ["ack_wait 7 becomes 5", "max_age 4 becomes 5"]);
        let untouched = judge("stream X", &have(is), &settings, false).unwrap_err();
        assert_eq!(untouched.to_string(), "stream X: ack_wait is 7, but must be 5");
        let becomes =
            json!({"ack_wait": 5, "max_age": 5, "max_msgs_per_subject": 6, "max_bytes": 9, "x": 1});
        assert_eq!(Value::Object(better.config), becomes);
        let unlimited = json!({"ack_wait": 5, "max_age": 0, "max_msgs_per_subject": -1});
        assert_eq!(judge("stream X", &have(unlimited), &settings, false), Ok(None));
    }

    #[test]
    fn a_default_left_out_or_spelled_out_is_the_same() {
        let settings = vec![
            ("persist_mode", Is, json!("default")),
            ("republish", Is, json!({"src": "log.>", "dest": "live.>"})),
            ("sources", Is, Value::Null),
        ];
        let is = have(
            json!({"republish": {"src": "log.>", "dest": "live.>", "headers_only": false}, "sources": []}),
        );
        assert_eq!(judge("stream X", &is, &settings, true), Ok(None));
        let is = have(json!({"persist_mode": "async"}));
        assert!(judge("stream X", &is, &settings, true).is_err());
    }
}
