//! Sees to it that everything Weir keeps on a NATS server is there: created
//! when missing, brought up to date where that is harmless, and refused by name
//! where an existing setting would break a promise. A service that may not
//! declare only looks, and only at what its role uses.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::settings::{
    self, Better, JOBS, LOG, Settings, WORKERS, beginning, bucket_stream, judge,
};
use super::wire::{ASK, Refusal, Trouble, Wire, code};
use super::{Config, Declare};
use crate::{Bucket, Epoch, Error, Result};

/// How long a cluster may take to have a leader and room for a stream.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    created: String,
    #[serde(default)]
    cluster: Option<Copies>,
}

/// On which servers a stream is.
#[derive(Debug, Default, Deserialize)]
struct Copies {
    #[serde(default)]
    leader: String,
    #[serde(default)]
    replicas: Vec<Copy>,
}

#[derive(Debug, Deserialize)]
struct Copy {
    #[serde(default)]
    name: String,
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The log's birth; zero for a role that does not use the log.
    pub(super) epoch: Epoch,
    /// What was made or changed, in words.
    pub(super) changes: Vec<String>,
    /// The servers that keep a copy; none are named outside a cluster.
    pub(super) servers: BTreeSet<String>,
    /// The smallest number of copies of any stream.
    pub(super) copies: usize,
    /// Copies that are not there right now, in words.
    pub(super) behind: Vec<String>,
}

/// Makes sure that everything is there and is fit. Any number of processes may
/// do so at once.
///
/// Errors: [`Error::Unsuitable`] names what is missing, or the setting, what it
/// is and what it must be; [`Error::Unavailable`] after 15 seconds without a
/// leader.
pub(super) async fn ensure(wire: &Wire, config: &Config) -> Result<Found> {
    let mut look = Look { wire, config, found: Found { copies: usize::MAX, ..Found::default() } };
    let role = config.role;
    let all = config.declare == Declare::Missing;
    if all || role.uses_jobs() {
        look.stream(JOBS, &settings::jobs(config)).await?;
    }
    if all || role.uses_log() {
        let born = look.stream(LOG, &settings::log(config)).await?.created;
        look.found.epoch = epoch(&born)?;
    }
    for it in Bucket::ALL {
        if all || role.buckets().contains(&it) {
            look.stream(&bucket_stream(it), &settings::bucket(it, config.replicas)).await?;
        }
    }
    if all || role.takes_jobs() {
        look.consumer(&settings::workers(config)).await?;
    }
    Ok(look.found)
}

/// One look at everything.
struct Look<'a> {
    wire: &'a Wire,
    config: &'a Config,
    found: Found,
}

impl Look<'_> {
    async fn stream(&mut self, name: &str, settings: &Settings) -> Result<Info> {
        let what = format!("stream {name}");
        let info = self.stream_as_it_must_be(&what, name, settings).await?;
        self.count(&what, &info)?;
        Ok(info)
    }

    async fn stream_as_it_must_be(
        &mut self,
        what: &str,
        name: &str,
        settings: &Settings,
    ) -> Result<Info> {
        let ask = format!("STREAM.INFO.{name}");
        let info = match self.asks(&ask, &json!({})).await {
            Ok(info) => info,
            Err(trouble) if trouble.is(code::NO_STREAM) => {
                self.may_declare(what)?;
                let mut wanted = beginning(settings);
                wanted.insert("name".to_owned(), json!(name));
                let create = format!("STREAM.CREATE.{name}");
                match self.asks(&create, &Value::Object(wanted)).await {
                    Ok(info) => {
                        self.found.changes.push(format!("{what}: created"));
                        return Ok(info);
                    }
                    // Another process was faster, with other settings.
                    Err(trouble) if trouble.is(code::STREAM_EXISTS) => {
                        self.asks(&ask, &json!({})).await.map_err(|it| refused(what, it))?
                    }
                    Err(trouble) => return Err(refused(what, trouble)),
                }
            }
            Err(trouble) => return Err(refused(what, trouble)),
        };
        let Some(better) = judge(what, &info.config, settings, self.may_change())? else {
            return Ok(info);
        };
        let update = format!("STREAM.UPDATE.{name}");
        self.note(what, better.changes);
        let wanted = Value::Object(better.config);
        self.asks(&update, &wanted).await.map_err(|it| refused(what, it))
    }

    async fn consumer(&mut self, settings: &Settings) -> Result<()> {
        let what = format!("consumer {WORKERS} of stream {JOBS}");
        let ask = format!("CONSUMER.INFO.{JOBS}.{WORKERS}");
        let better = match self.asks(&ask, &json!({})).await {
            Ok(info) => judge(&what, &info.config, settings, self.may_change())?,
            Err(trouble) if trouble.is(code::NO_CONSUMER) => {
                self.may_declare(&what)?;
                let changes = vec!["created".to_owned()];
                Some(Better { config: beginning(settings), changes })
            }
            Err(trouble) => return Err(refused(&what, trouble)),
        };
        let Some(better) = better else { return Ok(()) };
        let create = format!("CONSUMER.CREATE.{JOBS}.{WORKERS}");
        let wanted = json!({"stream_name": JOBS, "config": better.config, "action": ""});
        match self.asks(&create, &wanted).await {
            Ok(Info { .. }) => {
                self.note(&what, better.changes);
                Ok(())
            }
            Err(trouble) => Err(refused(&what, trouble)),
        }
    }

    fn may_change(&self) -> bool {
        self.config.declare == Declare::Missing
    }

    fn may_declare(&self, what: &str) -> Result<()> {
        match self.config.declare {
            Declare::Missing => Ok(()),
            Declare::Never => Err(Error::Unsuitable(format!(
                "{what} is not there, and this process may not declare it: \
                 `weir nats apply` does"
            ))),
        }
    }

    fn note(&mut self, what: &str, changes: Vec<String>) {
        for change in changes {
            tracing::info!(what, change, "brought up to date on NATS");
            self.found.changes.push(format!("{what}: {change}"));
        }
    }

    /// Counts the copies that a stream really has. One that is away for now is
    /// told, not refused: a cluster must start with a node down.
    fn count(&mut self, what: &str, info: &Info) -> Result<()> {
        let asked = info.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1);
        let asked = usize::try_from(asked).unwrap_or(usize::MAX);
        let Some(copies) = &info.cluster else {
            self.found.copies = self.found.copies.min(1);
            return if asked > 1 { Err(too_few(what, 1, asked)) } else { Ok(()) };
        };
        let there = copies.replicas.len() + 1;
        if there < asked {
            return Err(too_few(what, there, asked));
        }
        self.found.copies = self.found.copies.min(there);
        if !copies.leader.is_empty() {
            self.found.servers.insert(copies.leader.clone());
        }
        for copy in &copies.replicas {
            self.found.servers.insert(copy.name.clone());
            if copy.offline || !copy.current {
                let how = if copy.offline { "away" } else { "behind" };
                self.found.behind.push(format!("{what}: its copy on {} is {how}", copy.name));
            }
        }
        Ok(())
    }

    /// Calls the API for as long as a cluster may take to be ready.
    async fn asks(&self, call: &str, question: &Value) -> Result<Info, Trouble> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.wire.api(call, question, ASK).await {
                Err(trouble) if passing(&trouble) && Instant::now() < deadline => {
                    tracing::debug!(call, ?trouble, "NATS is not ready");
                    sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }
}

fn too_few(what: &str, there: usize, asked: usize) -> Error {
    Error::Unsuitable(format!("{what}: it has {there} copies, but must have {asked}"))
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
        Trouble::Refused(Refusal { description, err_code: 0, .. }) => {
            Error::Unsuitable(format!("{what} cannot be looked at or set up: {description}"))
        }
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
