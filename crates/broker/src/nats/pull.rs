//! One pull at a time from the consumer of all workers: one job, or the
//! knowledge that none came. A pull that falls silent is made anew.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::settings::{self, JOBS, WORKERS};
use super::wire::{Link, Wire};
use crate::{Error, Result};

const EXPIRES: Duration = Duration::from_secs(30);
/// Often, because a pull that waits at a leader that died is only told by its
/// silence, and a process has one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Two heartbeats missed, and some.
const SILENCE: Duration = Duration::from_millis(2_500);

/// What a pull brought.
#[derive(Debug)]
pub(super) enum Pulled {
    /// A job.
    Job(Message),
    /// Nothing; pull again, here.
    Nothing,
    /// Nothing, and this puller is of no more use.
    Broken,
    /// Nothing, and it may be that nobody hands out jobs at all.
    Refused(String),
}

/// An inbox for jobs. Dropping it withdraws its pull.
#[derive(Debug)]
pub(super) struct Puller {
    wire: Wire,
    inbox: String,
    answers: Subscriber,
    link: watch::Receiver<Link>,
    question: bytes::Bytes,
}

impl Puller {
    pub(super) async fn open(wire: &Wire) -> Result<Self> {
        let mut link = wire.link();
        wire.up(&mut link).await?;
        let inbox = wire.client().new_inbox();
        let question = json!({
            "batch": 1,
            "expires": settings::nanoseconds(EXPIRES),
            "idle_heartbeat": settings::nanoseconds(HEARTBEAT),
        });
        Ok(Self {
            answers: wire.subscribe(inbox.clone()).await?,
            wire: wire.clone(),
            inbox,
            link,
            question: question.to_string().into(),
        })
    }

    /// Asks for one job and waits for it, as long as the pull lasts.
    pub(super) async fn pull(&mut self) -> Result<Pulled> {
        // The inbox outlives a connection; only a pull does not.
        self.wire.up(&mut self.link).await?;
        let since = self.wire.denials();
        let ask = format!("$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{WORKERS}");
        let asked = self.wire.client().publish_with_reply(
            ask.clone(),
            self.inbox.clone(),
            self.question.clone(),
        );
        asked.await.map_err(|error| Error::Unavailable(error.to_string()))?;
        loop {
            let answer = tokio::select! {
                biased;
                answer = timeout(SILENCE, self.answers.next()) => answer,
                _ = self.link.changed() => return Ok(Pulled::Broken),
            };
            let message = match answer {
                Ok(Some(message)) => message,
                Ok(None) => return Err(Error::Unavailable("the client is closed".to_owned())),
                Err(_) => {
                    let denied = self.wire.denied(since, &ask);
                    return denied.map_or(Ok(Pulled::Broken), |why| Err(Error::Unsuitable(why)));
                }
            };
            match message.status.map(|it| it.as_u16()) {
                None => return Ok(Pulled::Job(message)),
                // A heartbeat.
                Some(100) => {}
                // The pull has expired, or found nothing.
                Some(404 | 408) => return Ok(Pulled::Nothing),
                Some(status) => {
                    let says = message.description.as_deref().unwrap_or_default();
                    return Ok(Pulled::Refused(format!("{status} {says}")));
                }
            }
        }
    }
}
