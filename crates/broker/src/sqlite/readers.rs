//! Connections that only read a file, off the async runtime. Each sees every
//! commit that was answered before it was asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::engine::explain;
use super::schema;
use crate::{Error, Result};

/// Reads that go on at once.
const READERS: usize = 4;

/// A few connections, opened when first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            idle: Mutex::new(Vec::new()),
            room: Arc::new(Semaphore::new(READERS)),
        })
    }

    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
            return Err(Error::Unavailable("the store has stopped".to_owned()));
        };
        let readers = Arc::clone(self);
        let read = spawn_blocking(move || {
            let done = readers.with_connection(work);
            drop(room);
            done
        });
        match read.await {
            Ok(done) => done.map_err(|error| explain(&error)),
            Err(error) => Err(Error::Unavailable(format!("a read did not end: {error}"))),
        }
    }

    fn with_connection<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::reader(&self.path)?,
        };
        let done = work(&connection);
        self.idle().push(connection);
        done
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
