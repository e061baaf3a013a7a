//! The three ports on NATS JetStream: `JOBS`, a work queue; `LOG`, a stream
//! that republishes what it stored; and one key-value bucket per kind of
//! record. Refuses servers and settings on which a promise would break.

mod address;
mod connect;
mod declare;
mod denied;
mod greeting;
mod guard;
mod live;
mod log;
mod monitor;
mod pull;
mod queue;
mod read;
mod records;
mod role;
mod security;
mod settings;
mod wire;

use std::sync::{Arc, Mutex};

use crate::{Broker, Durability, Error, Limits, MAX_JOB_BYTES, Profile, Result, Synced};
use declare::Found;
pub use greeting::{Greeted, Greeting, greet};
use guard::{Declared, Guard};
pub use role::Role;
pub use security::{Certificate, Login, Security};
use wire::{Trouble, Wire, code};

/// The oldest server whose known faults do not break a promise.
const OLDEST: (i64, i64, i64) = (2, 14, 5);

/// Where the servers are and what is asked of them.
#[derive(Clone)]
pub struct Config {
    /// One or several servers, comma separated: `nats://host:port`. May hold a
    /// user and a password, which are never shown.
    pub url: String,
    /// On how many servers everything is stored, 1 to 5.
    pub replicas: usize,
    /// Limits and times.
    pub limits: Limits,
    /// What the servers call this connection.
    pub name: String,
    /// What this connection is used for.
    pub role: Role,
    /// Whether what is missing is made.
    pub declare: Declare,
    /// Bytes of all unfinished jobs together; none: 1 GiB when the stream is
    /// made, and what it has afterwards. Past it no job is accepted.
    pub jobs_bytes: Option<u64>,
    /// Bytes of all sessions' entries; none: as many as the retention keeps.
    /// Past it the oldest go first, which readers are told.
    pub log_bytes: Option<u64>,
    /// How it logs in, and whom it believes.
    pub security: Security,
    /// The monitors of the servers, `http://host:port`: all of them, or it is
    /// not known when they sync.
    pub monitors: Vec<String>,
}

/// What a process does about a stream or a bucket that is missing, or whose
/// settings could be better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Declare {
    /// Makes it, or makes it better.
    Missing,
    /// Refuses to start without it: for services that may not declare.
    Never,
}

impl Config {
    /// Everything at these servers, in one copy, declared where it is missing.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            replicas: 1,
            limits: Limits::default(),
            name: "weir".to_owned(),
            role: Role::Operator,
            declare: Declare::Missing,
            jobs_bytes: None,
            log_bytes: None,
            security: Security::default(),
            monitors: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("replicas", &self.replicas)
            .field("limits", &self.limits)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("declare", &self.declare)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// Connects, checks the server and declares what is missing, if it may.
///
/// Errors: [`Error::Unavailable`] within seconds when no server can be reached;
/// [`Error::Unsuitable`] for a login or a certificate that is refused, for a
/// server that is too old, has no JetStream, takes too small messages, or holds
/// a stream whose settings break a promise, and for what this role may not do.
pub async fn open(config: Config) -> Result<Broker> {
    let Prepared { wire, found, profile } = prepare(&config).await?;
    for copy in &found.behind {
        tracing::warn!(copy, "a copy is not up to date");
    }
    let limits = config.limits.clone();
    let declared = Declared::new(wire.clone(), config, &found);
    Ok(Broker {
        queue: Arc::new(queue::Jobs {
            wire: wire.clone(),
            limits,
            declared: Arc::clone(&declared),
            buckets: records::Buckets { wire: wire.clone() },
            idle: Mutex::default(),
        }),
        log: Arc::new(log::Entries {
            wire: wire.clone(),
            _guard: Guard::new(Arc::clone(&declared)),
            declared,
        }),
        records: Arc::new(records::Buckets { wire }),
        profile,
    })
}

/// What a declaration found and did.
#[derive(Debug)]
pub struct Applied {
    /// What was made or changed, in words; empty when all was as it must be.
    pub changes: Vec<String>,
    /// Copies that are away or behind right now, in words.
    pub behind: Vec<String>,
    /// What the broker promises now.
    pub profile: Profile,
}

/// Declares everything, and says what that took. Doing it again does nothing.
///
/// Errors: as [`open`].
pub async fn apply(config: Config) -> Result<Applied> {
    let config = Config { role: Role::Operator, declare: Declare::Missing, ..config };
    let Prepared { found, profile, wire: _ } = prepare(&config).await?;
    Ok(Applied { changes: found.changes, behind: found.behind, profile })
}

/// A connection to servers on which everything is as it must be.
struct Prepared {
    wire: Wire,
    found: Found,
    profile: Profile,
}

async fn prepare(config: &Config) -> Result<Prepared> {
    if !(1..=5).contains(&config.replicas) {
        return Err(Error::Unsuitable(format!(
            "{} replicas are asked for; NATS keeps 1 to 5",
            config.replicas
        )));
    }
    let wire = Wire::connect(config).await?;
    let version = check(&wire).await?;
    let found = declare::ensure(&wire, config).await?;
    let mut servers = found.servers.clone();
    servers.insert(wire.client().server_info().server_name);
    let synced = monitor::synced(config, &servers).await?;
    let place = address::place(&address::servers(&config.url)?);
    let profile = Profile {
        kind: "nats",
        place: format!("{place} (nats-server {version})"),
        durability: durability(found.copies, &synced),
        level: match (&synced, found.copies) {
            (Synced::Always, _) => Durability::Fsynced,
            (Synced::Within(_) | Synced::Never | Synced::Unknown(_), 2..) => Durability::Replicated,
            (Synced::Within(_) | Synced::Never | Synced::Unknown(_), _) => Durability::Disk,
        },
        copies: found.copies,
        synced,
    };
    Ok(Prepared { wire, found, profile })
}

/// Whether the server can do what is asked; returns its version.
async fn check(wire: &Wire) -> Result<String> {
    let server = wire.client().server_info();
    let (major, minor, patch) = OLDEST;
    if !wire.client().is_server_compatible(major, minor, patch) {
        return Err(Error::Unsuitable(format!(
            "nats-server is version {}, but must be at least {major}.{minor}.{patch}",
            server.version
        )));
    }
    let room = MAX_JOB_BYTES + 64 * 1024;
    if server.max_payload < room {
        return Err(Error::Unsuitable(format!(
            "nats-server: max_payload is {}, but must be at least {room}",
            server.max_payload
        )));
    }
    let unable = |why: &str| {
        Error::Unsuitable(format!("nats-server has no JetStream here: {why}; start it with -js"))
    };
    match wire.jetstream().await {
        Err(Trouble::Refused(no)) if code::NOT_ENABLED.contains(&no.err_code) => {
            Err(unable(&no.description))
        }
        Err(Trouble::Silent(_)) if !server.jetstream => Err(unable("it is not enabled")),
        // Silence: a cluster without a leader yet; the declaration waits for it.
        Ok(()) | Err(Trouble::Silent(_)) => Ok(server.version),
        Err(trouble) => Err(trouble.into()),
    }
}

/// What an acknowledgement is worth.
fn durability(copies: usize, synced: &Synced) -> String {
    let (stored, cut) = match copies {
        1 => ("in a file on one server".to_owned(), "a power cut"),
        n => (format!("in files on a majority of {n} servers"), "a power cut of that majority"),
    };
    let lost = match synced {
        Synced::Always => {
            return format!(
                "stored {stored} and written through to the disk before it is acknowledged \
                 (sync_interval always); survives kill -9 and {cut}"
            );
        }
        Synced::Within(window) => format!("within the last {window:?} (sync_interval)"),
        Synced::Never => "before it".to_owned(),
        Synced::Unknown(_) => "within the server's own sync_interval: 2 minutes unless its \
             configuration says otherwise, nothing with \"always\""
            .to_owned(),
    };
    format!(
        "stored {stored}; survives kill -9 of a server; {cut} can lose all that was acknowledged \
         {lost}"
    )
}
