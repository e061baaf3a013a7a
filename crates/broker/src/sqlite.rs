//! The three ports on SQLite, inside the process, for one machine.
//!
//! One writer commits in groups; readers have connections of their own and see
//! everything that was answered. Refuses a folder that another process uses, a
//! file of another format, and a disk that is full, each by name.

mod engine;
mod lease;
mod log;
mod news;
mod queue;
mod readers;
mod records;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Broker, Durability, Limits, Profile, Result, Synced};

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file `weir.db` in this folder. Both are created where missing, and
    /// locked against a second process for as long as the broker is open.
    Folder(PathBuf),
    /// This process's memory.
    Memory,
}

/// Opens the store, creating it where there is none. It closes when the last
/// of the three ports and of the jobs they delivered is dropped.
///
/// Errors: [`Error::Unsuitable`](crate::Error::Unsuitable) when the folder is
/// in use, cannot be created or holds something else;
/// [`Error::Corrupt`](crate::Error::Corrupt) when the file is damaged.
pub async fn open(place: Place, limits: Limits) -> Result<Broker> {
    let profile = profile(&place);
    let store = Arc::new(store::Store::open(place, limits).await?);
    Ok(Broker {
        queue: Arc::new(queue::Jobs::new(Arc::clone(&store))),
        log: Arc::new(log::Entries::new(Arc::clone(&store))),
        records: Arc::new(records::Values::new(store)),
        profile,
    })
}

fn profile(place: &Place) -> Profile {
    match place {
        Place::Folder(folder) => Profile {
            kind: "embedded",
            place: folder.display().to_string(),
            durability: "in a file on this machine: survives kill -9; questions, cancels, ends \
                         of turns and records are synced to the disk before they are \
                         acknowledged, of the text in between a power cut may take the tail"
                .to_owned(),
            level: Durability::Fsynced,
            copies: 1,
            synced: Synced::Always,
        },
        Place::Memory => Profile {
            kind: "ephemeral",
            place: "memory".to_owned(),
            durability: "in this process's memory: gone when it ends".to_owned(),
            level: Durability::Memory,
            copies: 1,
            synced: Synced::Never,
        },
    }
}
