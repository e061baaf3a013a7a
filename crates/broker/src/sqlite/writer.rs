//! The one thread that writes to a file. Takes all commands that wait, runs
//! them in one transaction, answers them. Ends with its owner.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle, current};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::engine::{Command, Engine};
use crate::{Error, Result};

/// Commands that may wait, and the most in one transaction.
const WAITING: usize = 1_024;
const BATCH: usize = 256;

/// The owner of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    inbox: Option<SyncSender<Posted>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// A command with the room it takes in the inbox.
struct Posted {
    command: Box<dyn Command>,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    /// Starts the thread. The lock is held until the database is closed.
    pub(super) fn start(engine: Engine, lock: File) -> Result<Self> {
        let (inbox, posted) = sync_channel(WAITING);
        let thread = Builder::new()
            .name("weir-store".to_owned())
            .spawn(move || serve(engine, &posted, lock))
            .map_err(|error| Error::Unavailable(format!("no thread for the store: {error}")))?;
        Ok(Self {
            inbox: Some(inbox),
            room: Arc::new(Semaphore::new(WAITING)),
            thread: Some(thread),
        })
    }

    /// Hands a command over, waiting for room.
    pub(super) async fn post(&self, command: Box<dyn Command>) -> Result<()> {
        match Arc::clone(&self.room).acquire_owned().await {
            Ok(room) => self.hand_over(command, room),
            Err(_) => Err(gone()),
        }
    }

    /// Hands a command over if there is room at once.
    pub(super) fn try_post(&self, command: Box<dyn Command>) -> Result<()> {
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => self.hand_over(command, room),
            Err(_) => Err(Error::Unavailable("the store is busy".to_owned())),
        }
    }

    fn hand_over(&self, command: Box<dyn Command>, room: OwnedSemaphorePermit) -> Result<()> {
        let posted = Posted { command, _room: room };
        // The room was taken before, so the channel cannot be full.
        match self.inbox.as_ref().map(|inbox| inbox.try_send(posted)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => Err(gone()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Waits for the last commit, so that the folder is free afterwards.
        if thread.thread().id() != current().id() && thread.join().is_err() {
            tracing::error!("the thread of the store panicked");
        }
    }
}

/// Nobody is there to answer.
pub(super) fn gone() -> Error {
    Error::Unavailable("the store has stopped".to_owned())
}

fn serve(mut engine: Engine, inbox: &Receiver<Posted>, lock: File) {
    loop {
        match inbox.recv_timeout(engine.idle()) {
            Ok(first) => {
                let others = inbox.try_iter().take(BATCH - 1);
                let batch = std::iter::once(first).chain(others);
                let batch = batch.map(|posted| posted.command).collect();
                engine.run(batch).answer();
                engine.sweep();
            }
            Err(RecvTimeoutError::Timeout) => engine.sweep(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    engine.close();
    drop(engine);
    drop(lock);
}
