//! Following a session for one client and handing it to a dialect.
//!
//! A turn's stream ends cleanly only after the turn's stored end, or after the
//! tombstone of its session. When the log fails, or this process drains, it is
//! cut, so that no client takes that for an end. A session's own stream has no
//! end, and may be closed cleanly. Streams end between two entries.
//!
//! A reader holds what `Follow` bounds, one entry and its frames. They are
//! handed on in pieces, and the next one is made when the last was taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use broker::{Follow, Followed, From, Sequence, Stored};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use proto::{Session, TurnId, event};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::caller::{Ends, Owned};
use crate::cancel::OnDisconnect;
use crate::dialect::Dialect;
use crate::edge::Edge;
use crate::mark::{Mark, position};
use crate::problem::Refusal;
use crate::question::Question;
use crate::so_far::{SoFar, Taken};
use crate::submit::{Standing, submit_beside};
use crate::turn;

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
    pub(crate) room: OwnedSemaphorePermit,
}

/// Submits a question and opens a reader at the beginning of its turn.
pub(crate) async fn ask(
    edge: &Arc<Edge>,
    question: &Question,
    has: Option<Mark>,
) -> Result<Opened, Refusal> {
    let room = edge.stream(&question.session.user)?;
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
    let room = edge.stream(&session.user)?;
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
    (turn, leaving): (TurnId, Option<OnDisconnect>),
    dialect: impl Dialect,
) -> Response {
    Reader::new(edge, opened, Some(turn), dialect).respond(leaving)
}

/// Answers with a session, for as long as the client stays. One that begins
/// with the running turn is told it up to now as one event.
pub(crate) fn of_session(edge: &Arc<Edge>, opened: Opened, dialect: impl Dialect) -> Response {
    let late = opened.from == From::Turn;
    let so_far = SoFar::of(opened.follow.head().filter(|_| late));
    let mut reader = Reader::new(edge, opened, None, dialect);
    reader.so_far = so_far;
    reader.respond(None)
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

struct Reader<D> {
    edge: Arc<Edge>,
    follow: Follow,
    dialect: D,
    /// The one turn that is shown, as the log spells it.
    turn: Option<String>,
    session: Owned,
    has: Option<Mark>,
    /// Whether the turn was begun anew after a gap.
    renewed: bool,
    /// The running turn, while a late reader catches up with it.
    so_far: Option<SoFar>,
    /// What was made and not handed on yet.
    rest: Bytes,
    leaving: Option<OnDisconnect>,
    /// Why the stream must stop before its end.
    stop: Pin<Box<dyn Future<Output = Heard> + Send>>,
    silence: Pin<Box<Sleep>>,
    spoke: Instant,
    done: bool,
    _room: OwnedSemaphorePermit,
}

enum Heard {
    Drain,
    CredentialEnded,
    /// It was said that the credential has ended.
    Over,
    Silence,
    Followed(broker::Result<Followed>),
}

impl<D: Dialect> Reader<D> {
    fn new(edge: &Arc<Edge>, opened: Opened, turn: Option<TurnId>, dialect: D) -> Self {
        let now = Instant::now();
        let stop = stop(Arc::clone(edge), opened.session.ends());
        Self {
            edge: Arc::clone(edge),
            follow: opened.follow,
            dialect,
            turn: turn.map(|it| it.to_string()),
            session: opened.session,
            has: opened.has,
            renewed: false,
            so_far: None,
            rest: Bytes::new(),
            leaving: None,
            stop: Box::pin(stop),
            silence: Box::pin(sleep_until(now + edge.config.keep_alive)),
            spoke: now,
            done: false,
            _room: opened.room,
        }
    }

    fn respond(mut self, leaving: Option<OnDisconnect>) -> Response {
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
                stop = &mut self.stop => stop,
                () = &mut self.silence => Heard::Silence,
                followed = self.follow.next() => Heard::Followed(followed),
            };
            let mut out = String::new();
            let told = match heard {
                // A session's stream has no end to be taken for.
                Heard::Drain | Heard::Over if self.turn.is_none() => return None,
                Heard::Drain => Err(Cut::Draining),
                Heard::Over => Err(Cut::Unauthenticated),
                Heard::CredentialEnded => self.expired(&mut out),
                Heard::Silence => {
                    self.ping(&mut out);
                    Ok(())
                }
                Heard::Followed(Ok(Followed::Entry(stored))) => self.entry(&stored, &mut out).await,
                Heard::Followed(Ok(Followed::Gap(gap))) => self.gap(&gap, &mut out).await,
                Heard::Followed(Err(error)) => Err(error.into()),
            };
            if let Err(cut) = told {
                return Some(Err(cut));
            }
            if !out.is_empty() {
                self.spoke = Instant::now();
                return Some(Ok(out));
            }
        }
        None
    }

    async fn entry(&mut self, stored: &Stored, out: &mut String) -> Result<(), Cut> {
        let skip = self.skip(stored);
        if self.gathers(stored, out) {
            return Ok(());
        }
        let ends = match &self.turn {
            None => false,
            Some(turn) if *turn == stored.entry.turn_id => stored.entry.ending().is_some(),
            Some(turn)
                if stored.entry.is_tombstone()
                    && is_erased(&self.edge, &self.session, turn, stored).await? =>
            {
                true
            }
            Some(_) => return Ok(()),
        };
        let at = position(self.edge.broker.log.epoch(), stored.sequence);
        out.reserve(256);
        self.dialect.entry(at, stored, skip, out);
        self.done = ends;
        if let Some(leaving) = self.leaving.as_mut().filter(|_| ends) {
            leaving.disarm();
        }
        Ok(())
    }

    /// Whether an entry goes into what is told as one event. The last one makes
    /// that event.
    fn gathers(&mut self, stored: &Stored, out: &mut String) -> bool {
        if stored.entry.is_tombstone() {
            self.so_far = None;
        }
        let Some(so_far) = &mut self.so_far else { return false };
        let taken = so_far.take(stored);
        if matches!(taken, Taken::Last | Taken::After) {
            self.tell_so_far(out);
        }
        matches!(taken, Taken::Yes | Taken::Last)
    }

    fn tell_so_far(&mut self, out: &mut String) {
        if let Some(so_far) = self.so_far.take() {
            let merged = so_far.into_entry();
            let at = position(self.edge.broker.log.epoch(), merged.sequence);
            self.dialect.so_far(at, &merged, out);
        }
    }

    /// Entries are missing. The reader is then like one that comes late. A turn
    /// is told from its beginning, once: what is missing may be its end.
    async fn gap(&mut self, gap: &event::Kind, out: &mut String) -> Result<(), Cut> {
        self.has = None;
        self.tell_so_far(out);
        self.dialect.gap(gap, out);
        let Some(turn) = &self.turn else {
            self.so_far = SoFar::of(self.edge.broker.log.last(&self.session).await?.as_ref());
            return Ok(());
        };
        if std::mem::replace(&mut self.renewed, true) {
            return Err(Cut::Gap);
        }
        let log = self.edge.broker.log.as_ref();
        let turn = turn.parse().map_err(|_never| Cut::Gap)?;
        let Some(found) = turn::find(log, &self.session, turn).await? else {
            return Err(Cut::Gap);
        };
        let begins = From::At(position(log.epoch(), found.begins));
        let follow = follow(&self.edge, &self.session, begins).await?;
        self.so_far = SoFar::of(follow.head()).filter(|it| self.turn.as_deref() == Some(it.turn()));
        self.follow = follow.expecting();
        Ok(())
    }

    /// Says why, before the stream is cut; one of a session, which has no end to
    /// be taken for, is closed.
    fn expired(&mut self, out: &mut String) -> Result<(), Cut> {
        self.dialect.expired(out);
        self.stop = Box::pin(std::future::ready(Heard::Over));
        if out.is_empty() { Err(Cut::Unauthenticated) } else { Ok(()) }
    }

    /// How many frames of this entry the client has.
    fn skip(&mut self, stored: &Stored) -> usize {
        let Some(has) = self.has else { return 0 };
        if stored.sequence < has.position.sequence {
            return usize::MAX;
        }
        self.has = None;
        if stored.sequence > has.position.sequence {
            return 0;
        }
        has.frames.unwrap_or(usize::MAX)
    }

    fn ping(&mut self, out: &mut String) {
        let due = self.spoke + self.edge.config.keep_alive;
        if due <= Instant::now() {
            out.push_str(":\n\n");
            self.silence.as_mut().reset(Instant::now() + self.edge.config.keep_alive);
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
        tracing::debug!(%cut, "a stream was cut");
        cut
    }
}

/// Ready when a stream must stop.
async fn stop(edge: Arc<Edge>, ends: Ends) -> Heard {
    tokio::select! {
        biased;
        () = edge.life.draining() => Heard::Drain,
        () = ends.ended() => Heard::CredentialEnded,
    }
}

async fn is_erased(
    edge: &Edge,
    session: &Session,
    turn: &str,
    tombstone: &Stored,
) -> broker::Result<bool> {
    match turn.parse() {
        Ok(turn) => turn::is_erased(&edge.broker, session, turn, tombstone).await,
        Err(_never) => Ok(false),
    }
}
