//! A session's entries for one reader: history, then live, nothing missed and
//! nothing twice. The same for every broker.
//!
//! Live entries are only a hint that spares a read: each must link to the one
//! before it, and whenever one does not, or silence lasts while a turn is
//! open or the caller waits for something, the log itself is asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use proto::{Session, Status, event};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Epoch, Error, Live, Log, Position, Result, Sequence, Signal, Stored};

/// Entries read at once.
const BATCH: usize = 64;
/// How long may be silence before the log is asked, when something is to come.
const CHECK: Duration = Duration::from_secs(5);
/// How long the log may be unreachable before the reader is told.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two tries to reach it, and the first one before a read that
/// lags behind is made anew.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before a read that lags behind is made anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the oldest entry the log has.
    Start,
    /// With the entry after this one.
    After(Position),
    /// With this very entry.
    At(Position),
    /// With the beginning of the running turn; as `Now` when none runs.
    Turn,
    /// With whatever is stored next.
    Now,
}

/// What a reader sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// The next entry.
    Entry(Stored),
    /// Entries are missing before what follows, and why.
    Gap(event::Kind),
}

/// A reader of one session's entries.
pub struct Follow {
    log: Arc<dyn Log>,
    session: Session,
    live: Live,
    head: Option<Stored>,
    /// The last entry delivered; what the next one must link to.
    after: Sequence,
    /// Whether `after` is known to be an entry, so that links can be checked.
    linked: bool,
    /// The log has entries up to here that were not read yet.
    target: Sequence,
    backlog: VecDeque<Stored>,
    gap: Option<event::Kind>,
    open: bool,
    expecting: bool,
    check_at: Instant,
    /// When a read that brought nothing may be made anew.
    again_at: Option<Instant>,
    /// The pause before that, the next time.
    pause: Duration,
    failing_since: Option<Instant>,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("session", &self.session)
            .field("after", &self.after)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Follow {
    /// Opens a reader. Everything stored after this call is delivered.
    ///
    /// Errors: [`Error::Unavailable`] when the log was out of reach for
    /// 15 seconds.
    pub async fn open(log: Arc<dyn Log>, session: Session, from: From) -> Result<Self> {
        let (live, head) = listen(&*log, &session).await?;
        let mut follow = Self {
            log,
            session,
            live,
            after: Sequence::START,
            linked: false,
            target: head.as_ref().map_or(Sequence::START, |it| it.sequence),
            open: head.as_ref().is_some_and(running),
            head,
            backlog: VecDeque::new(),
            gap: None,
            expecting: false,
            check_at: Instant::now() + CHECK,
            again_at: None,
            pause: PAUSE,
            failing_since: None,
        };
        follow.begin(from);
        Ok(follow)
    }

    /// The caller waits for something: a live entry that got lost is missed for
    /// 5 seconds at most although no turn is open, at the price of a question
    /// to the log as often.
    #[must_use]
    pub fn expecting(mut self) -> Self {
        self.expecting = true;
        self
    }

    /// The session's last entry when the reader was opened.
    pub fn head(&self) -> Option<&Stored> {
        self.head.as_ref()
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    ///
    /// Errors: [`Error::Unavailable`] when the log was out of reach for
    /// 15 seconds; calling again goes on where it stopped.
    pub async fn next(&mut self) -> Result<Followed> {
        loop {
            if let Some(gap) = self.gap.take() {
                return Ok(Followed::Gap(gap));
            }
            if let Some(stored) = self.backlog.pop_front() {
                if let Some(followed) = self.take(stored) {
                    return Ok(followed);
                }
                continue;
            }
            if self.target > self.after {
                self.fill().await?;
                continue;
            }
            match self.wait().await {
                Some(Signal::Entry(stored)) if self.links(&stored) => {
                    if let Some(followed) = self.take(stored) {
                        return Ok(followed);
                    }
                }
                Some(Signal::Entry(stored)) => self.target = self.target.max(stored.sequence),
                Some(Signal::Missed) | None => self.compare().await?,
            }
        }
    }

    fn begin(&mut self, from: From) {
        let last = self.target;
        match from {
            From::Start => self.linked = true,
            From::Now => self.begin_at(last, true),
            From::Turn => self.begin_with_turn(),
            From::After(position) => match self.misplaced(position) {
                Some(reason) => self.begin_after_gap(reason, position),
                None => self.begin_at(position.sequence, position.sequence != Sequence::START),
            },
            From::At(position) => match self.misplaced(position) {
                Some(reason) => self.begin_after_gap(reason, position),
                None => self.begin_at(position.sequence.before(), false),
            },
        }
    }

    fn begin_at(&mut self, after: Sequence, linked: bool) {
        self.after = after;
        self.linked = linked;
    }

    fn begin_with_turn(&mut self) {
        match &self.head {
            Some(head) if running(head) => {
                let began = head.entry.state.as_ref().map_or(0, |it| it.began);
                // The entry that starts a turn cannot name its own place.
                let began = if began == 0 { head.sequence } else { Sequence(began) };
                self.begin_at(began.before(), false);
            }
            Some(_) | None => self.begin_at(self.target, true),
        }
    }

    fn begin_after_gap(&mut self, reason: &str, asked: Position) {
        self.begin_with_turn();
        self.gap = Some(self.gap(reason, asked.to_string(), self.after));
    }

    /// Why a position cannot be resumed from, as far as the head tells.
    fn misplaced(&self, position: Position) -> Option<&'static str> {
        if position.epoch != self.log.epoch() {
            return Some("other_log");
        }
        match &self.head {
            Some(head) if position.sequence > head.sequence => Some("unknown_position"),
            None if position.sequence != Sequence::START => Some("expired"),
            Some(_) | None => None,
        }
    }

    fn links(&self, stored: &Stored) -> bool {
        stored.sequence <= self.after || stored.entry.follows == self.after.0
    }

    /// Judges an entry in its turn. `None` for one that was delivered before.
    fn take(&mut self, stored: Stored) -> Option<Followed> {
        if stored.sequence <= self.after {
            return None;
        }
        let hole =
            self.linked && stored.entry.follows != self.after.0 && !stored.entry.is_tombstone();
        if hole {
            // A chain that begins anew does so because nothing was left of it.
            let reason = if stored.entry.follows > self.after.0 || stored.entry.follows == 0 {
                "expired"
            } else {
                "unknown_position"
            };
            let asked = if self.after == Sequence::START {
                "start".to_owned()
            } else {
                self.position(self.after).to_string()
            };
            let gap = self.gap(reason, asked, stored.sequence);
            self.begin_at(stored.sequence.before(), false);
            self.backlog.push_front(stored);
            return Some(Followed::Gap(gap));
        }
        self.begin_at(stored.sequence, true);
        self.open = running(&stored);
        self.check_at = Instant::now() + CHECK;
        (self.again_at, self.pause) = (None, PAUSE);
        Some(Followed::Entry(stored))
    }

    /// Reads on towards the target.
    async fn fill(&mut self) -> Result<()> {
        if let Some(at) = self.again_at {
            sleep_until(at).await;
        }
        match self.log.read(&self.session, self.after, BATCH).await {
            Ok(read) if read.is_empty() => {
                // The entry is there, but not yet where reads are answered; or
                // it was erased meanwhile, and then the target moves.
                self.again_at = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.compare().await
            }
            Ok(read) => {
                self.failing_since = None;
                self.backlog = read.into();
                Ok(())
            }
            Err(error) => self.bear(error).await,
        }
    }

    /// Asks the log how far it goes. Its last entry may be all that is missing.
    async fn compare(&mut self) -> Result<()> {
        let last = match self.log.last(&self.session).await {
            Ok(last) => last,
            Err(error) => return self.bear(error).await,
        };
        self.failing_since = None;
        self.check_at = Instant::now() + CHECK;
        self.target = last.as_ref().map_or(Sequence::START, |it| it.sequence);
        if self.linked && self.target < self.after {
            let asked = self.position(self.after).to_string();
            self.head = last;
            self.begin_with_turn();
            self.gap = Some(self.gap("unknown_position", asked, self.after));
        } else if let Some(last) = last.filter(|it| self.links(it) || self.is_next(it)) {
            self.backlog.push_back(last);
        }
        Ok(())
    }

    /// Whether there is no place between the last entry delivered and this one.
    fn is_next(&self, stored: &Stored) -> bool {
        stored.sequence.before() == self.after
    }

    /// A log out of reach is borne for a while.
    async fn bear(&mut self, error: Error) -> Result<()> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if !matches!(error, Error::Unavailable(_)) || since.elapsed() > PATIENCE {
            self.failing_since = None;
            return Err(error);
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// `None` when silence lasted too long.
    async fn wait(&mut self) -> Option<Signal> {
        if !self.open && !self.expecting {
            return self.live.next().await.or(Some(Signal::Missed));
        }
        tokio::select! {
            biased;
            signal = self.live.next() => signal,
            () = sleep_until(self.check_at) => None,
        }
    }

    fn position(&self, sequence: Sequence) -> Position {
        Position { epoch: self.epoch(), sequence }
    }

    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn gap(&self, reason: &str, asked: String, next: Sequence) -> event::Kind {
        event::Kind::Gap(proto::Gap {
            reason: reason.to_owned(),
            asked,
            next: self.position(next).to_string(),
        })
    }
}

/// Subscribes, then reads the last entry: nothing falls in between.
async fn listen(log: &dyn Log, session: &Session) -> Result<(Live, Option<Stored>)> {
    let since = Instant::now();
    loop {
        let listened = async {
            let live = log.live(session).await?;
            Ok((live, log.last(session).await?))
        };
        match listened.await {
            Err(Error::Unavailable(_)) if since.elapsed() < PATIENCE => sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

fn running(stored: &Stored) -> bool {
    stored.entry.state.as_ref().is_some_and(|it| it.status() == Status::Running)
}
