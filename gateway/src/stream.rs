//! Following a session for one client and handing it to a dialect.
//!
//! A turn's stream ends cleanly only after the turn's stored end, or after the
//! tombstone of its session. When the log fails, or this process drains, it is
//! cut, so that no client takes that for an end. A session's own stream has no
//! end, and may be closed cleanly. Streams end between two entries.
//!
//! A reader holds what `Follow` bounds, one entry and its frames. They are
//! handed on in pieces, and the next one is made when the last was taken.

mod reading;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use broker::{Follow, From, Sequence};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use proto::{Session, TurnId};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::caller::Owned;
use crate::dialect::Dialect;
use crate::edge::{Edge, Room};
use crate::leaving::StopWhenLeft;
use crate::mark::{Mark, position};
use crate::problem::Refusal;
use crate::question::Question;
use crate::submit::{Standing, submit_beside};
use crate::{metrics, turn};

pub(crate) use reading::{Reading, Stop, Told, stop};

/// Why a stream was cut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("this server stops; resume elsewhere")]
    Draining,
    #[error("the credential has ended")]
    Unauthenticated,
    #[error("the log failed")]
    Log(#[from] broker::Error),
    #[error("the log no longer has the turn")]
    Gap,
}

impl Cut {
    /// In a word, for who counts.
    fn reason(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Unauthenticated => "credential",
            Self::Log(_) => "log",
            Self::Gap => "gap",
        }
    }
}

/// How long the last words of a stream may take to go out before it is cut.
const FAREWELL: Duration = Duration::from_millis(250);
/// The most bytes that are handed to a connection at once.
const PIECE: usize = 16 * 1024;

/// A reader of a session, and room for it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Owned,
    pub(crate) follow: Follow,
    from: From,
    /// What the client has already.
    pub(crate) has: Option<Mark>,
    pub(crate) room: Room,
}

/// Submits a question and opens a reader at the beginning of its turn.
pub(crate) async fn ask(
    edge: &Arc<Edge>,
    question: &Question,
    has: Option<Mark>,
) -> Result<Opened, Refusal> {
    let room = edge.reader(&question.session.user, question.turn)?;
    let epoch = edge.broker.log.epoch();
    let opening = async {
        let now = follow(edge, &question.session, From::Now);
        let (follower, standing) = submit_beside(edge, question, now).await?;
        let has = has.filter(|_| standing != Standing::New);
        let begins = begins(&follower, question.turn, &standing);
        let from = match (begins, has) {
            // From its beginning, so that its end is met even by a client that
            // has it; what the client has is skipped on the way.
            (Some(begins), _) => From::At(position(epoch, begins)),
            (None, Some(mark)) => mark.from(),
            (None, None) => return Ok((follower, From::Now, has)),
        };
        let has = has.filter(|it| it.position.epoch == epoch);
        Ok((follow(edge, &question.session, from).await?, from, has))
    };
    let opened = edge.within(opening).await;
    let (follow, from, has) = opened.map_err(|it| it.in_doubt(question.turn, question.keyed))?;
    let session = question.session.clone();
    Ok(Opened { session, follow: follow.expecting(), from, has, room })
}

/// Opens a reader at the beginning of a turn that was asked before; `None` when
/// the session does not know it.
pub(crate) async fn again(
    edge: &Edge,
    session: &Owned,
    turn: TurnId,
) -> Result<Option<Opened>, Refusal> {
    let room = edge.reader(&session.user, turn)?;
    let opening = async {
        let follower = follow(edge, session, From::Now).await?;
        let waiting = edge.broker.queue.pending(session).await?;
        let found = turn::find(edge.broker.log.as_ref(), session, turn).await?;
        if let Some(found) = found {
            let begins = From::At(position(edge.broker.log.epoch(), found.begins));
            return Ok(Some((follow(edge, session, begins).await?, begins)));
        }
        let waits = waiting.iter().any(|it| it.turn == turn);
        Ok(waits.then_some((follower, From::Now)))
    };
    let opened = edge.within(opening).await?;
    Ok(opened.map(|(follow, from)| Opened {
        session: session.clone(),
        follow: follow.expecting(),
        from,
        has: None,
        room,
    }))
}

async fn follow(edge: &Edge, session: &Session, from: From) -> broker::Result<Follow> {
    Follow::open(Arc::clone(&edge.broker.log), session.clone(), from).await
}

/// Where the turn began; `None` when it begins after the reader was opened.
fn begins(follow: &Follow, turn: TurnId, standing: &Standing) -> Option<Sequence> {
    match standing {
        Standing::Known(found) => Some(found.begins),
        Standing::New | Standing::Unfinished => turn::began(follow.head(), turn),
    }
}

/// Answers with a turn, until its end.
pub(crate) fn of_turn(
    edge: &Arc<Edge>,
    opened: Opened,
    (turn, leaving): (TurnId, Option<StopWhenLeft>),
    dialect: impl Dialect,
) -> Response {
    let stop = stop(edge, opened.session.ends());
    let reading = Reading::of_turn(edge, opened, turn);
    Reader::new(edge, reading, stop, dialect).respond(leaving)
}

/// Answers with a session, for as long as the client stays. One that begins
/// with the running turn is told it up to now as one event.
pub(crate) fn of_session(edge: &Arc<Edge>, opened: Opened, dialect: impl Dialect) -> Response {
    let stop = stop(edge, opened.session.ends());
    let reading = Reading::of_session(edge, opened);
    Reader::new(edge, reading, stop, dialect).respond(None)
}

/// Opens a reader of a session.
pub(crate) async fn open(
    edge: &Edge,
    session: &Owned,
    from: From,
    has: Option<Mark>,
) -> Result<Opened, Refusal> {
    let room = edge.stream(&session.user)?;
    let opening = async { Ok(follow(edge, session, from).await?) };
    let follow = edge.within(opening).await?;
    Ok(Opened { session: session.clone(), follow, from, has, room })
}

/// Lets what was said last go out: a connection that is cut drops what it still
/// has.
async fn farewell() -> Cut {
    sleep(FAREWELL).await;
    Cut::Unauthenticated
}

/// A reading as the body of an answer.
struct Reader<D> {
    reading: Reading,
    dialect: D,
    /// What was made and not handed on yet.
    rest: Bytes,
    /// Dropped before `leaving` looks for readers that are left.
    _room: Room,
    leaving: Option<StopWhenLeft>,
    /// Why the stream must stop before its end.
    stop: Stop,
    /// It was said that the credential has ended.
    expired: bool,
    keep_alive: Duration,
    silence: Pin<Box<Sleep>>,
    spoke: Instant,
    done: bool,
}

enum Heard {
    Stop(Cut),
    Silence,
    Told(Result<Option<Told>, Cut>),
}

impl<D: Dialect> Reader<D> {
    fn new(edge: &Edge, (reading, room): (Reading, Room), stop: Stop, dialect: D) -> Self {
        let now = Instant::now();
        Self {
            reading,
            dialect,
            rest: Bytes::new(),
            leaving: None,
            stop,
            expired: false,
            keep_alive: edge.config.keep_alive,
            silence: Box::pin(sleep_until(now + edge.config.keep_alive)),
            spoke: now,
            done: false,
            _room: room,
        }
    }

    fn respond(mut self, leaving: Option<StopWhenLeft>) -> Response {
        let mut opening = String::new();
        self.dialect.open(&mut opening);
        self.rest = opening.into();
        self.leaving = leaving;
        // Boxed: each chunk moves the state twice.
        let chunks = stream::unfold(Box::new(self), |mut reader| async move {
            let piece = reader.piece().await?;
            Some((piece, reader))
        });
        let mut response = Response::new(Body::from_stream(chunks));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// The next bytes; `None` at the clean end.
    async fn piece(&mut self) -> Option<Result<Bytes, Cut>> {
        if self.rest.is_empty() {
            match self.frames().await? {
                Ok(frames) => self.rest = frames.into(),
                Err(cut) => return Some(Err(self.cut(cut))),
            }
        }
        let length = self.rest.len().min(PIECE);
        Some(Ok(self.rest.split_to(length)))
    }

    /// The frames of what comes next; `None` at the clean end.
    async fn frames(&mut self) -> Option<Result<String, Cut>> {
        while !self.done {
            let heard = tokio::select! {
                biased;
                cut = &mut self.stop => Heard::Stop(cut),
                () = &mut self.silence, if !self.expired => Heard::Silence,
                told = self.reading.next(), if !self.expired => Heard::Told(told),
            };
            let mut out = String::new();
            match heard {
                Heard::Stop(Cut::Unauthenticated) if !self.expired => {
                    self.expired = true;
                    self.stop = Box::pin(farewell());
                    self.dialect.expired(&mut out);
                }
                // A session's stream has no end to be taken for.
                Heard::Stop(_) if !self.reading.has_end() => return None,
                Heard::Stop(cut) | Heard::Told(Err(cut)) => return Some(Err(cut)),
                Heard::Silence => self.ping(&mut out),
                Heard::Told(Ok(None)) => return None,
                Heard::Told(Ok(Some(told))) => self.tell(&told, &mut out),
            }
            if !out.is_empty() {
                self.spoke = Instant::now();
                return Some(Ok(out));
            }
        }
        None
    }

    fn tell(&mut self, told: &Told, out: &mut String) {
        match told {
            Told::Entry { at, stored, skip } => {
                out.reserve(256);
                self.dialect.entry(*at, stored, *skip, out);
            }
            Told::SoFar { at, stored } => self.dialect.so_far(*at, stored, out),
            Told::Gap(gap) => self.dialect.gap(gap, out),
        }
        self.done = self.dialect.is_over();
        if let Some(leaving) = self.leaving.as_mut().filter(|_| self.reading.has_ended()) {
            leaving.disarm();
        }
    }

    fn ping(&mut self, out: &mut String) {
        let due = self.spoke + self.keep_alive;
        if due <= Instant::now() {
            out.push_str(":\n\n");
            self.silence.as_mut().reset(Instant::now() + self.keep_alive);
        } else {
            self.silence.as_mut().reset(due);
        }
    }

    /// Ends the stream from our side: the reader did not leave.
    fn cut(&mut self, cut: Cut) -> Cut {
        self.done = true;
        if let Some(leaving) = &mut self.leaving {
            leaving.disarm();
        }
        metrics::CUTS.add(1, [cut.reason()]);
        tracing::debug!(%cut, "a stream was cut");
        cut
    }
}
