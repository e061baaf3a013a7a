//! The one way to the database: `write` in a transaction, `read` beside it.
//!
//! In a file, a thread writes and a few connections read, so that nothing
//! waits for a disk on the async runtime. In memory there is no disk to wait
//! for: commands run where they are called, one at a time, which also keeps
//! tests with a paused clock exact.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Place;
use super::engine::{Call, Engine, Tx, explain};
use super::news::News;
use super::readers::Readers;
use super::schema;
use super::writer::{Writer, gone};
use crate::{Epoch, Error, Limits, Result};

/// The database, its readers and its listeners.
pub(super) struct Store {
    access: Access,
    pub(super) news: Arc<News>,
    pub(super) epoch: Epoch,
    pub(super) limits: Limits,
    /// What leases are counted from.
    pub(super) opened: Instant,
}

enum Access {
    File {
        // Dropped before the readers: it has the last word.
        writer: Writer,
        readers: Arc<Readers>,
    },
    Memory(Mutex<Engine>),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Store {
    pub(super) async fn open(place: Place, limits: Limits) -> Result<Self> {
        let news = Arc::new(News::default());
        let (access, epoch) = match place {
            Place::Memory => {
                let engine = Engine::new(schema::memory()?, Arc::clone(&news), &limits)?;
                let epoch = engine.epoch()?;
                (Access::Memory(Mutex::new(engine)), epoch)
            }
            Place::Folder(folder) => {
                let (told, limits) = (Arc::clone(&news), limits.clone());
                match spawn_blocking(move || open_file(&folder, told, &limits)).await {
                    Ok(opened) => opened?,
                    Err(error) => return Err(Error::Unavailable(error.to_string())),
                }
            }
        };
        Ok(Self { access, news, epoch, limits, opened: Instant::now() })
    }

    /// Runs `work` in a transaction and answers when it is stored: on the disk
    /// when `durable`, else in the hands of the operating system. What it
    /// returns says whether it was refused; then it must have written nothing.
    ///
    /// Dropping the future does not undo what was handed over.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        durable: bool,
        work: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (command, answer) = Call::boxed(durable, work);
        match &self.access {
            Access::File { writer, .. } => writer.post(command).await?,
            Access::Memory(engine) => {
                let done = lock(engine).run(vec![command]);
                done.answer();
            }
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// As [`write`](Self::write), for a caller who cannot wait and can do
    /// without.
    pub(super) fn write_soon(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) {
        let (command, _) = Call::boxed(false, work);
        match &self.access {
            Access::File { writer, .. } => {
                if let Err(error) = writer.try_post(command) {
                    tracing::debug!(%error, "left to its time");
                }
            }
            Access::Memory(engine) => {
                let done = lock(engine).run(vec![command]);
                done.answer();
            }
        }
    }

    /// Reads what is stored, everything that was answered before included.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.access {
            Access::File { readers, .. } => readers.read(work).await,
            Access::Memory(engine) => {
                let engine = lock(engine);
                work(engine.connection()).map_err(|error| explain(&error))
            }
        }
    }
}

fn open_file(
    folder: &std::path::Path,
    news: Arc<News>,
    limits: &Limits,
) -> Result<(Access, Epoch)> {
    let locked = schema::lock(folder)?;
    let path: PathBuf = locked.path;
    let engine = Engine::new(schema::file(&path)?, news, limits)?;
    let epoch = engine.epoch()?;
    let writer = Writer::start(engine, locked.lock)?;
    let readers = Readers::new(path);
    Ok((Access::File { writer, readers }, epoch))
}

/// The engine in memory, tidied: it has no thread that would do it.
fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
    engine.sweep();
    engine
}
