//! The agent's answer to one attempt as one stream, whatever breaks on the way.
//!
//! Ends with exactly one terminal event: the agent's own, or a `failed` made
//! here. Believes nothing that breaks the contract, and waits for nothing
//! without end.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use process::trace::Lasting;
use proto::{AskEvent, AskRequest, Event, Failed, Session, code, event};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status, Streaming};
use tracing::Instrument as _;

use crate::agents::{Agent, Agents};
use crate::hear::{Heard, Place, hear};
use crate::pending::Said;
use crate::{metrics, trace};

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How the codec begins when it cannot read an event.
const UNDECODABLE: &str = "failed to decode Protobuf message";

/// A question under way.
pub(crate) struct Asked {
    /// The turn's events up to its terminal one, with which it ends.
    pub(crate) events: BoxStream<'static, Said>,
    at: At,
}

/// The agent that was asked last.
type At = Arc<Mutex<Option<Agent>>>;

impl Asked {
    /// The agent that runs the turn, as far as is known.
    pub(crate) fn at(&self) -> Option<Agent> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Agents {
    /// The turn's events after what `request` says to have. A broken stream is
    /// taken up again where it broke; when no agent answers for long, or one
    /// refuses or falls silent, the terminal event is a `failed` made here.
    pub(crate) fn ask(self: &Arc<Self>, session: &Session, request: AskRequest) -> Asked {
        let at = At::default();
        // Boxed: each event moves the state twice.
        let call = Box::new(Call {
            agents: Arc::clone(self),
            session: session.clone(),
            request,
            stream: None,
            hop: None,
            opened: Instant::now(),
            before: None,
            at: Arc::clone(&at),
            began: Instant::now(),
            failing_since: None,
            pause: PAUSES.0,
            over: false,
        });
        let events = stream::unfold(call, |mut call| async move {
            if call.over {
                return None;
            }
            Some((call.next().await, call))
        });
        Asked { events: events.boxed(), at }
    }
}

/// One turn's stream over as many calls as it takes.
struct Call {
    agents: Arc<Agents>,
    session: Session,
    request: AskRequest,
    stream: Option<(Streaming<AskEvent>, Agent)>,
    /// The hop that the stream is.
    hop: Option<Lasting>,
    /// When the stream, or the last one, was opened.
    opened: Instant,
    /// The last event of this stream.
    before: Option<Place>,
    at: At,
    began: Instant,
    failing_since: Option<Instant>,
    pause: Duration,
    over: bool,
}

impl Call {
    async fn next(&mut self) -> Said {
        let times = self.agents.times;
        let (capped, mut silent) = (self.began + times.turn, Instant::now() + times.silence);
        loop {
            let Ok(said) = timeout_at(capped.min(silent), self.said()).await else {
                return self.out_of_time(Instant::now() >= capped);
            };
            let broken = match said {
                Ok(Some(event)) if event.is_alive() => {
                    silent = Instant::now() + times.silence;
                    None
                }
                Ok(Some(event)) => match self.hear(event) {
                    Ok(Some(said)) => return said,
                    Ok(None) => None,
                    Err(wrong) => return self.wrong(wrong),
                },
                Ok(None) => {
                    let why = "the stream ended without an end of the turn";
                    self.broken(&Status::unavailable(why)).await
                }
                Err(status) => self.broken(&status).await,
            };
            if let Some(failed) = broken {
                return failed;
            }
        }
    }

    /// What an event says that was not said before.
    fn hear(&mut self, event: AskEvent) -> Result<Option<Said>, &'static str> {
        let has = Place { run: self.request.resume_run, index: self.request.resume_after };
        let heard = hear(has, self.before, &event);
        let run = if event.run == 0 { has.run } else { event.run };
        self.before = Some(Place { run, index: event.index });
        match heard {
            Heard::Known => Ok(None),
            Heard::Wrong(why) => Err(why),
            Heard::New(place) => {
                self.failing_since = None;
                self.pause = PAUSES.0;
                (self.request.resume_run, self.request.resume_after) = (place.run, place.index);
                if let Some((_, agent)) = &self.stream {
                    agent.trust(self.opened);
                }
                let event = Event::from(event);
                self.over = event.kind.as_ref().is_some_and(|it| it.ending().is_some());
                if self.over
                    && let Some(hop) = self.hop.take()
                {
                    trace::ended(hop.span(), None);
                }
                Ok(Some(Said { run: place.run, event }))
            }
        }
    }

    async fn said(&mut self) -> Result<Option<AskEvent>, Status> {
        if self.stream.is_none() {
            let Some(agent) = self.agents.choose(&self.session).cloned() else {
                return Err(Status::internal("no agent"));
            };
            *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(agent.clone());
            let mut client = agent.client.clone();
            let span = trace::call("Ask");
            let request = trace::carrying(&span, self.request.clone());
            let stream = match client.ask(request).instrument(span.clone()).await {
                Ok(response) => response.into_inner(),
                Err(status) => {
                    trace::ended(&span, Some(&status));
                    // A request that no agent can serve is not this one's fault.
                    if !is_final(&status) {
                        agent.shun();
                    }
                    return Err(status);
                }
            };
            self.before = None;
            self.opened = Instant::now();
            self.stream = Some((stream, agent));
            self.hop = Some(Lasting::new(span));
        }
        match &mut self.stream {
            Some((stream, _)) => stream.message().await,
            None => Ok(None),
        }
    }

    /// Judges a broken call: `None` to try again, after a pause.
    async fn broken(&mut self, status: &Status) -> Option<Said> {
        let is_final = is_final(status);
        if let Some(hop) = self.hop.take() {
            trace::ended(hop.span(), Some(status));
        }
        if let Some((_, agent)) = self.stream.take()
            && !is_final
        {
            agent.shun();
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if is_final || since.elapsed() >= self.agents.times.patience {
            tracing::warn!(session = ?self.session, %status, "a turn fails because of its agent");
            return Some(self.give_up(failed(status)));
        }
        metrics::RETRIES.add(1, []);
        tracing::debug!(session = ?self.session, %status, "the agent's stream broke; asking again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        None
    }

    fn out_of_time(&mut self, capped: bool) -> Said {
        let (code, message, retryable) = if capped {
            (code::TURN_TIMEOUT, "the answer took longer than one turn may", false)
        } else {
            (code::AGENT_SILENT, "the agent said nothing for too long", true)
        };
        tracing::warn!(session = ?self.session, failed.code = code, "a turn ran out of time");
        self.give_up(Failed { code: code.to_owned(), message: message.to_owned(), retryable })
    }

    fn wrong(&mut self, why: &'static str) -> Said {
        tracing::warn!(session = ?self.session, why, "an agent broke the contract");
        self.give_up(failed(&Status::data_loss(why)))
    }

    /// Ends the turn here. Once that is stored, no agent goes on with it.
    fn give_up(&mut self, failed: Failed) -> Said {
        self.over = true;
        self.stream = None;
        Event::from(event::Kind::Failed(failed)).into()
    }
}

/// Whether asking again cannot help.
pub(crate) fn is_final(status: &Status) -> bool {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => true,
        // What the codec says of an event that it cannot read; also what the
        // transport says of a connection that was closed in good order.
        Code::Internal => status.message().starts_with(UNDECODABLE),
        Code::Ok
        | Code::DataLoss
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unavailable => false,
    }
}

fn failed(status: &Status) -> Failed {
    // What the agent says of a bad request is for the user; the rest is not.
    let (code, message, retryable) = match status.code() {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
            (code::INVALID_REQUEST, status.message(), false)
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            (code::AGENT_REFUSED, "the agent refused this worker", false)
        }
        Code::ResourceExhausted => {
            (code::AGENT_BUSY, "the agent has no room for another turn", true)
        }
        Code::OutOfRange | Code::Internal | Code::DataLoss | Code::Unimplemented => {
            (code::AGENT_BROKEN, "the agent broke off the turn", true)
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Unavailable => (code::AGENT_UNAVAILABLE, "the agent does not answer", true),
    };
    Failed { code: code.to_owned(), message: message.to_owned(), retryable }
}
