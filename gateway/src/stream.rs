//! Following a session for one client and handing it to a dialect.
//!
//! A turn's stream ends cleanly only after the turn's stored end. When the log
//! fails, or this process drains, it is cut, so that no client takes that for
//! an end. A session's own stream has no end, and may be closed cleanly.

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

use crate::cancel::OnDisconnect;
use crate::dialect::Dialect;
use crate::edge::Edge;
use crate::mark::{Mark, position};
use crate::problem::Refusal;
use crate::question::Question;
use crate::submit::{Standing, submit_beside};
use crate::turn;

/// Why a stream was cut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("this server stops; resume elsewhere")]
    Draining,
    #[error("the log failed")]
    Log(#[from] broker::Error),
    #[error("the session was erased")]
    Deleted,
    #[error("the log no longer has the turn")]
    Gap,
}

/// A reader of a session, and room for it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) follow: Follow,
    /// What the client has already.
    pub(crate) has: Option<Mark>,
    pub(crate) room: OwnedSemaphorePermit,
}

/// Submits a question and opens a reader at the beginning of its turn.
pub(crate) async fn ask(
    edge: &Edge,
    question: &Question,
    has: Option<Mark>,
) -> Result<Opened, Refusal> {
    let room = edge.stream()?;
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
            (None, None) => return Ok((follower, has)),
        };
        let has = has.filter(|it| it.position.epoch == epoch);
        Ok((follow(edge, &question.session, from).await?, has))
    };
    let opened = edge.within(opening).await;
    let (follow, has) = opened.map_err(|it| it.in_doubt(question.turn, question.keyed))?;
    let session = question.session.clone();
    Ok(Opened { session, follow: follow.expecting(), has, room })
}

/// Opens a reader at the beginning of a turn that was asked before; `None` when
/// the session does not know it.
pub(crate) async fn again(
    edge: &Edge,
    session: &Session,
    turn: TurnId,
) -> Result<Option<Opened>, Refusal> {
    let room = edge.stream()?;
    let opening = async {
        let follower = follow(edge, session, From::Now).await?;
        let waiting = edge.broker.queue.pending(session).await?;
        let found = turn::find(edge.broker.log.as_ref(), session, turn).await?;
        if let Some(found) = found {
            let begins = position(edge.broker.log.epoch(), found.begins);
            return Ok(Some(follow(edge, session, From::At(begins)).await?));
        }
        Ok(Some(follower).filter(|_| waiting.iter().any(|it| it.turn == turn)))
    };
    let opened = edge.within(opening).await?;
    Ok(opened.map(|follow| Opened {
        session: session.clone(),
        follow: follow.expecting(),
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
    Reader::new(edge, opened, Some(turn), dialect).respond(leaving, "")
}

/// Answers with a session, for as long as the client stays. `before` is said
/// first.
pub(crate) fn of_session(
    edge: &Arc<Edge>,
    opened: Opened,
    before: &str,
    dialect: impl Dialect,
) -> Response {
    Reader::new(edge, opened, None, dialect).respond(None, before)
}

/// Opens a reader of a session.
pub(crate) async fn open(
    edge: &Edge,
    session: &Session,
    from: From,
    has: Option<Mark>,
) -> Result<Opened, Refusal> {
    let room = edge.stream()?;
    let opening = async { Ok(follow(edge, session, from).await?) };
    let follow = edge.within(opening).await?;
    Ok(Opened { session: session.clone(), follow, has, room })
}

struct Reader<D> {
    edge: Arc<Edge>,
    follow: Follow,
    dialect: D,
    /// The one turn that is shown, as the log spells it.
    turn: Option<String>,
    session: Session,
    has: Option<Mark>,
    /// Whether the turn was begun anew after a gap.
    renewed: bool,
    opening: Option<String>,
    leaving: Option<OnDisconnect>,
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
    silence: Pin<Box<Sleep>>,
    spoke: Instant,
    done: bool,
    _room: OwnedSemaphorePermit,
}

enum Heard {
    Drain,
    Silence,
    Followed(broker::Result<Followed>),
}

impl<D: Dialect> Reader<D> {
    fn new(edge: &Arc<Edge>, opened: Opened, turn: Option<TurnId>, dialect: D) -> Self {
        let now = Instant::now();
        let life = edge.life.clone();
        Self {
            edge: Arc::clone(edge),
            follow: opened.follow,
            dialect,
            turn: turn.map(|it| it.to_string()),
            session: opened.session,
            has: opened.has,
            renewed: false,
            opening: None,
            leaving: None,
            drain: Box::pin(async move { life.draining().await }),
            silence: Box::pin(sleep_until(now + edge.config.keep_alive)),
            spoke: now,
            done: false,
            _room: opened.room,
        }
    }

    fn respond(mut self, leaving: Option<OnDisconnect>, before: &str) -> Response {
        let mut opening = String::new();
        self.dialect.open(&mut opening);
        opening.push_str(before);
        self.opening = Some(opening).filter(|it| !it.is_empty());
        self.leaving = leaving;
        // Boxed: each chunk moves the state twice.
        let chunks = stream::unfold(Box::new(self), |mut reader| async move {
            let chunk = reader.chunk().await?;
            Some((chunk, reader))
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
    async fn chunk(&mut self) -> Option<Result<Bytes, Cut>> {
        if let Some(opening) = self.opening.take() {
            return Some(Ok(opening.into()));
        }
        while !self.done {
            let heard = tokio::select! {
                biased;
                () = &mut self.drain => Heard::Drain,
                () = &mut self.silence => Heard::Silence,
                followed = self.follow.next() => Heard::Followed(followed),
            };
            let mut out = String::new();
            match heard {
                Heard::Drain => return self.drained(),
                Heard::Silence => self.ping(&mut out),
                Heard::Followed(Ok(Followed::Entry(stored))) => {
                    if self.turn.is_some() && stored.entry.is_tombstone() {
                        return Some(Err(self.cut(Cut::Deleted)));
                    }
                    self.entry(&stored, &mut out);
                }
                Heard::Followed(Ok(Followed::Gap(gap))) => {
                    if let Err(cut) = self.gap(&gap, &mut out).await {
                        return Some(Err(self.cut(cut)));
                    }
                }
                Heard::Followed(Err(error)) => return Some(Err(self.cut(error.into()))),
            }
            if !out.is_empty() {
                self.spoke = Instant::now();
                return Some(Ok(out.into()));
            }
        }
        None
    }

    fn entry(&mut self, stored: &Stored, out: &mut String) {
        let skip = self.skip(stored, out);
        if let Some(turn) = &self.turn
            && *turn != stored.entry.turn_id
        {
            return;
        }
        let at = position(self.edge.broker.log.epoch(), stored.sequence);
        out.reserve(256);
        self.dialect.entry(at, stored, skip, out);
        self.done = self.turn.is_some() && stored.entry.ending().is_some();
        if let Some(leaving) = self.leaving.as_mut().filter(|_| self.done) {
            leaving.disarm();
        }
    }

    /// Entries are missing. A turn is then told from its beginning, once: what
    /// is missing may be its end.
    async fn gap(&mut self, gap: &event::Kind, out: &mut String) -> Result<(), Cut> {
        self.has = None;
        self.dialect.gap(gap, out);
        let Some(turn) = &self.turn else {
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
        self.follow = follow.expecting();
        Ok(())
    }

    /// How many frames of this entry the client has. An entry of which it has a
    /// part, and which is gone, leaves a gap.
    fn skip(&mut self, stored: &Stored, out: &mut String) -> usize {
        let Some(has) = self.has else { return 0 };
        if stored.sequence < has.position.sequence {
            return usize::MAX;
        }
        self.has = None;
        if stored.sequence == has.position.sequence {
            return has.frames.unwrap_or(usize::MAX);
        }
        if has.frames.is_none() {
            return 0;
        }
        let gap = event::Kind::Gap(proto::Gap {
            reason: "expired".to_owned(),
            asked: has.position.to_string(),
            next: position(has.position.epoch, stored.sequence).to_string(),
        });
        self.dialect.gap(&gap, out);
        0
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

    fn drained(&mut self) -> Option<Result<Bytes, Cut>> {
        let cut = self.cut(Cut::Draining);
        self.turn.is_some().then_some(Err(cut))
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
