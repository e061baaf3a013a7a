//! The tables, how a connection is set up, and the lock on the folder.
//!
//! Refuses a folder in use and a file of another format.

use std::fs::{File, OpenOptions, TryLockError, create_dir_all};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::engine::explain;
use crate::{Error, Result};

/// The format written into the file.
const VERSION: i64 = 1;
/// How long a connection waits for a tool that holds the file.
const BUSY: Duration = Duration::from_secs(5);
/// What is left of the write-ahead log after a burst, in bytes.
const LOG_BYTES: u32 = 64 * 1024 * 1024;
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 64;

/// Sequences come from `meta.reserved`, not from the tables: they are never
/// given out again, whatever is deleted or lost. The epoch is the time of
/// creation in milliseconds and ten random bits.
const CREATE: &str = "
    CREATE TABLE meta (
        epoch INTEGER NOT NULL,
        reserved INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta VALUES (
        (CAST(unixepoch('subsec') * 1000 AS INTEGER) << 10) | (random() & 1023), 0
    );
    CREATE TABLE entries (
        sequence INTEGER PRIMARY KEY,
        user TEXT NOT NULL,
        session TEXT NOT NULL,
        stored_at INTEGER NOT NULL,
        entry BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX entries_by_session ON entries (user, session, sequence);
    CREATE TABLE jobs (
        sequence INTEGER PRIMARY KEY,
        user TEXT NOT NULL,
        session TEXT NOT NULL,
        turn TEXT NOT NULL UNIQUE,
        attempts INTEGER NOT NULL,
        job BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX jobs_by_session ON jobs (user, session, sequence);
    CREATE TABLE finished (
        turn TEXT PRIMARY KEY,
        finished_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX finished_by_time ON finished (finished_at);
    CREATE TABLE records (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (bucket, key)
    ) STRICT;
    PRAGMA user_version = 1;";

/// Who has which job. Belongs to the writer's connection and is gone with it:
/// a lease does not outlive the process that gave it. Takes part in
/// transactions like any table.
const LEASES: &str = "
    CREATE TEMP TABLE free (sequence INTEGER PRIMARY KEY);
    CREATE TEMP TABLE held (sequence INTEGER PRIMARY KEY, until INTEGER NOT NULL);
    CREATE INDEX temp.held_by_time ON held (until);
    INSERT INTO free SELECT sequence FROM jobs;";

/// The store's file in a folder that is locked.
#[derive(Debug)]
pub(super) struct Locked {
    /// The database.
    pub(super) path: PathBuf,
    /// Unlocks when it is closed.
    pub(super) lock: File,
}

/// Creates the folder where missing and locks it.
pub(super) fn lock(folder: &Path) -> Result<Locked> {
    let name = folder.display();
    let unsuitable = |error: &std::io::Error| {
        Error::Unsuitable(format!("cannot keep data in the folder {name}: {error}"))
    };
    create_dir_all(folder).and_then(|()| keep(folder)).map_err(|error| unsuitable(&error))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("weir.lock"))
        .map_err(|error| unsuitable(&error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Locked { path: folder.join("weir.db"), lock }),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Unsuitable(format!("the folder {name} is in use by another process")))
        }
        Err(TryLockError::Error(error)) => Err(unsuitable(&error)),
    }
}

/// A folder made just now survives a power cut once its parent is synced; what
/// is in it is SQLite's business.
fn keep(folder: &Path) -> std::io::Result<()> {
    match folder.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The connection of the writer to a file.
pub(super) fn file(path: &Path) -> Result<Connection> {
    let failed = |error: &rusqlite::Error| {
        let explained = explain(error);
        if let Error::Unavailable(why) = explained {
            return Error::Unsuitable(format!("{}: {why}", path.display()));
        }
        explained
    };
    let connection = Connection::open(path).map_err(|error| failed(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| failed(&error))?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if mode != "wal" {
        return Err(Error::Unsuitable(format!(
            "{}: the file system does not support a write-ahead log",
            path.display()
        )));
    }
    prepare(connection)
}

/// The one connection to a store in memory.
pub(super) fn memory() -> Result<Connection> {
    prepare(Connection::open_in_memory().map_err(|error| explain(&error))?)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn prepare(connection: Connection) -> Result<Connection> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| explain(&error))?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| explain(&error))?;
    let set_up = match (version, tables) {
        (0, 0) => format!("BEGIN IMMEDIATE; {CREATE} COMMIT;"),
        (VERSION, _) => String::new(),
        _ => {
            return Err(Error::Unsuitable(format!(
                "weir.db has format {version}; this version reads format {VERSION}"
            )));
        }
    };
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; \
             PRAGMA secure_delete = FAST; PRAGMA journal_size_limit = {LOG_BYTES}; \
             {set_up} {LEASES}"
        ))
        .map_err(|error| explain(&error))?;
    Ok(connection)
}
