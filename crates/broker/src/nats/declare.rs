//! Everything that Weir keeps on a NATS server, declared in one place: created
//! when missing, brought up to date where that is harmless, and refused by name
//! where an existing setting would break a promise.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::Config;
use super::wire::{ASK, Refusal, Trouble, Wire, code};
use crate::{Bucket, Epoch, Error, Result};

pub(super) const JOBS: &str = "JOBS";
pub(super) const LOG: &str = "LOG";
pub(super) const WORKERS: &str = "workers";

/// How long a submit is remembered by its turn.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// All jobs together; the server sets this aside on its disk.
const JOBS_BYTES: u64 = 256 << 20;
/// How long a cluster may take to have a leader and room for a stream.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a setting means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
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

type Settings = Vec<(&'static str, Rule, Value)>;

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

fn jobs(config: &Config) -> Settings {
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
        ("max_bytes", Begins, json!(JOBS_BYTES)),
        ("description", Begins, json!("Weir: turns that wait or run")),
    ]);
    settings
}

fn log(config: &Config) -> Settings {
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
        ("max_bytes", Begins, json!(-1)),
        ("description", Begins, json!("Weir: the entries of all sessions")),
    ]);
    settings
}

fn bucket(bucket: Bucket, replicas: usize) -> Settings {
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
fn workers(config: &Config) -> Settings {
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

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    created: String,
}

/// Makes sure that everything is there and is fit; returns the log's birth.
/// Any number of processes may do so at once.
///
/// Errors: [`Error::Unsuitable`] names the setting, what it is and what it must
/// be; [`Error::Unavailable`] after 15 seconds without a leader.
pub(super) async fn ensure(wire: &Wire, config: &Config) -> Result<Epoch> {
    stream(wire, JOBS, &jobs(config)).await?;
    let born = stream(wire, LOG, &log(config)).await?.created;
    for it in Bucket::ALL {
        stream(wire, &bucket_stream(it), &bucket(it, config.replicas)).await?;
    }
    consumer(wire, &workers(config)).await?;
    epoch(&born)
}

async fn stream(wire: &Wire, name: &str, settings: &Settings) -> Result<Info> {
    let what = format!("stream {name}");
    let ask = format!("STREAM.INFO.{name}");
    let info = match patiently(wire, &ask, &json!({})).await {
        Ok(info) => info,
        Err(trouble) if trouble.is(code::NO_STREAM) => {
            let mut wanted = beginning(settings);
            wanted.insert("name".to_owned(), json!(name));
            let create = format!("STREAM.CREATE.{name}");
            match patiently(wire, &create, &Value::Object(wanted)).await {
                Ok(info) => return Ok(info),
                // Another process was faster, with other settings.
                Err(trouble) if trouble.is(code::STREAM_EXISTS) => {
                    patiently(wire, &ask, &json!({})).await.map_err(|it| refused(&what, it))?
                }
                Err(trouble) => return Err(refused(&what, trouble)),
            }
        }
        Err(trouble) => return Err(refused(&what, trouble)),
    };
    let Some(config) = judge(&what, &info.config, settings)? else {
        return Ok(info);
    };
    let update = format!("STREAM.UPDATE.{name}");
    patiently(wire, &update, &Value::Object(config)).await.map_err(|it| refused(&what, it))
}

async fn consumer(wire: &Wire, settings: &Settings) -> Result<()> {
    let what = format!("consumer {WORKERS} of stream {JOBS}");
    let ask = format!("CONSUMER.INFO.{JOBS}.{WORKERS}");
    let config = match patiently(wire, &ask, &json!({})).await {
        Ok(info) => judge(&what, &info.config, settings)?,
        Err(trouble) if trouble.is(code::NO_CONSUMER) => Some(beginning(settings)),
        Err(trouble) => return Err(refused(&what, trouble)),
    };
    let Some(config) = config else { return Ok(()) };
    let create = format!("CONSUMER.CREATE.{JOBS}.{WORKERS}");
    let wanted = json!({"stream_name": JOBS, "config": config, "action": ""});
    match patiently(wire, &create, &wanted).await {
        Ok(Info { .. }) => Ok(()),
        Err(trouble) => Err(refused(&what, trouble)),
    }
}

/// The settings of something new.
fn beginning(settings: &Settings) -> Map<String, Value> {
    let said = settings.iter().filter(|(_, _, value)| !value.is_null());
    said.map(|(name, _, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Compares what is there with what must be. `Some` is what it should become.
fn judge(
    what: &str,
    have: &Map<String, Value>,
    settings: &Settings,
) -> Result<Option<Map<String, Value>>> {
    let mut better = have.clone();
    let mut changed = false;
    for (name, rule, wanted) in settings {
        let is = have.get(*name).unwrap_or(&Value::Null);
        let fits = match rule {
            Begins => true,
            AtLeast => is.as_u64() >= wanted.as_u64(),
            Grows => is.as_i64().is_some_and(|it| it <= 0 || Some(it) >= wanted.as_i64()),
            Is | Becomes => plain(is) == plain(wanted),
        };
        if fits {
            continue;
        }
        if matches!(rule, Is | AtLeast) {
            let least = if *rule == AtLeast { "at least " } else { "" };
            let is = if is.is_null() { "not set".to_owned() } else { is.to_string() };
            let wanted = if wanted.is_null() { "unset".to_owned() } else { wanted.to_string() };
            return Err(Error::Unsuitable(format!(
                "{what}: {name} is {is}, but must be {least}{wanted}"
            )));
        }
        tracing::info!(what, name, %is, becomes = %wanted, "a setting is brought up to date");
        better.insert((*name).to_owned(), wanted.clone());
        changed = true;
    }
    Ok(changed.then_some(better))
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

/// Calls the API for as long as a cluster may take to be ready.
async fn patiently(wire: &Wire, call: &str, question: &Value) -> Result<Info, Trouble> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match wire.api(call, question, ASK).await {
            Err(trouble) if passing(&trouble) && Instant::now() < deadline => {
                tracing::debug!(call, ?trouble, "NATS is not ready");
                sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

fn passing(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Silent(_) => true,
        Trouble::Refused(no) => no.err_code == code::NO_PEERS,
    }
}

fn refused(what: &str, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Silent(why) => Error::Unavailable(format!("{what}: {why}")),
        Trouble::Refused(Refusal { description, err_code, .. }) => {
            Error::Unsuitable(format!("{what} cannot be set up: {description} ({err_code})"))
        }
    }
}

/// Milliseconds of the log's creation.
fn epoch(created: &str) -> Result<Epoch> {
    let born = async_nats::datetime::parse_rfc3339(created)
        .map_err(|error| Error::Unsuitable(format!("stream {LOG}: created {created}: {error}")))?;
    let milliseconds = born.unix_timestamp_nanos() / 1_000_000;
    Ok(Epoch(u64::try_from(milliseconds).unwrap_or_default()))
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
            let error = judge("stream X", &have(is), &settings).unwrap_err();
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
        let better = judge("stream X", &have(is), &settings).unwrap().unwrap();
        let becomes =
            json!({"ack_wait": 5, "max_age": 5, "max_msgs_per_subject": 6, "max_bytes": 9, "x": 1});
        assert_eq!(Value::Object(better), becomes);
        let unlimited = json!({"ack_wait": 5, "max_age": 0, "max_msgs_per_subject": -1});
        assert_eq!(judge("stream X", &have(unlimited), &settings), Ok(None));
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
        assert_eq!(judge("stream X", &is, &settings), Ok(None));
        let is = have(json!({"persist_mode": "async"}));
        assert!(judge("stream X", &is, &settings).is_err());
    }
}
