//! The three ports on NATS JetStream: `JOBS`, a work queue; `LOG`, a stream
//! that republishes what it stored; and one key-value bucket per kind of
//! record. Refuses servers and settings on which a promise would break.

mod address;
mod declare;
mod guard;
mod live;
mod log;
mod pull;
mod queue;
mod read;
mod records;
mod wire;

use std::sync::{Arc, Mutex};

use crate::{Broker, Error, Limits, MAX_JOB_BYTES, Profile, Result};
use guard::{Declared, Guard};
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
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("replicas", &self.replicas)
            .field("limits", &self.limits)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Connects, checks the server and declares what is missing.
///
/// Errors: [`Error::Unavailable`] within seconds when no server can be reached;
/// [`Error::Unsuitable`] for a server that is too old, has no JetStream, takes
/// too small messages, or holds a stream whose settings break a promise.
pub async fn open(config: Config) -> Result<Broker> {
    if !(1..=5).contains(&config.replicas) {
        return Err(Error::Unsuitable(format!(
            "{} replicas are asked for; NATS keeps 1 to 5",
            config.replicas
        )));
    }
    let wire = Wire::connect(&config).await?;
    let version = check(&wire).await?;
    let declared = Declared::new(wire.clone(), config.clone()).await?;
    let profile = Profile {
        kind: "nats",
        place: format!(
            "{} (nats-server {version})",
            address::place(&address::servers(&config.url)?)
        ),
        durability: durability(config.replicas),
    };
    Ok(Broker {
        queue: Arc::new(queue::Jobs {
            wire: wire.clone(),
            limits: config.limits,
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

/// What an acknowledgement is worth. A server does not tell its clients when it
/// writes through to the disk.
fn durability(replicas: usize) -> String {
    let (stored, cut) = match replicas {
        1 => ("in a file on one server".to_owned(), "a power cut"),
        n => (format!("in files on a majority of {n} servers"), "a power cut of that majority"),
    };
    format!(
        "stored {stored}; survives kill -9 of a server; {cut} can lose all that was acknowledged \
         within the server's own sync_interval: 2 minutes unless its configuration says \
         otherwise, nothing with \"always\""
    )
}
