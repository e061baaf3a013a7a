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
/// The same while nothing is known to be under way: an entry may be lost on its
/// way to a reader, and the last one has no successor to betray that.
const IDLE: Duration = Duration::from_secs(30);
/// How long the log may be unreachable before the reader is told.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two tries to reach it, and the first one before a read that
/// lags behind is made anew.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause before a log that seems to have lost entries is asked again.
const DOUBTFUL: Duration = Duration::from_millis(250);
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

/// A log that says that it ends before what a reader has, or asks for.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Instant,
    /// What it ends before.
    place: Sequence,
    /// What it means when it is true.
    reason: &'static str,
    /// Whether mere silence led to the question.
    silence: bool,
}

/// A reader of one session's entries.
pub struct Follow {
    log: Arc<dyn Log>,
    epoch: Epoch,
    session: Session,
    live: Live,
    head: Option<Stored>,
    /// The last entry delivered; what the next one must link to.
    after: Sequence,
    /// Whether `after` is known to be an entry, so that links can be checked.
    linked: bool,
    /// The very entry that was asked for, until it has come.
    asked: Option<Sequence>,
    /// The log has entries up to here that were not read yet.
    target: Sequence,
    backlog: VecDeque<Stored>,
    gap: Option<event::Kind>,
    open: bool,
    expecting: bool,
    heard_at: Instant,
    /// When a read that brought nothing may be made anew.
    again_at: Option<Instant>,
    /// The pause before that, the next time.
    pause: Duration,
    failing_since: Option<Instant>,
    doubt: Option<Doubt>,
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
            epoch: log.epoch(),
            log,
            session,
            live,
            after: Sequence::START,
            linked: false,
            asked: None,
            target: head.as_ref().map_or(Sequence::START, |it| it.sequence),
            open: head.as_ref().is_some_and(running),
            head,
            backlog: VecDeque::new(),
            gap: None,
            expecting: false,
            heard_at: Instant::now(),
            again_at: None,
            pause: PAUSE,
            failing_since: None,
            doubt: None,
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

    /// The session's last entry when the reader was opened; let go once the
    /// first entry was delivered.
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
                if self.backlog.is_empty() {
                    // A reader may wait for hours from here on.
                    self.backlog = VecDeque::new();
                }
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
                Some(Signal::Missed) => self.compare(false).await?,
                None => self.compare(true).await?,
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
                Some(reason) if self.may_be_wrong(reason, position) => {
                    self.begin_at(position.sequence, true);
                }
                Some(reason) => self.gap_before_turn(reason, position.to_string()),
                None => self.begin_at(position.sequence, position.sequence != Sequence::START),
            },
            From::At(position) => match self.misplaced(position) {
                Some(reason) if self.may_be_wrong(reason, position) => {
                    self.begin_with(position.sequence);
                }
                Some(reason) => self.gap_before_turn(reason, position.to_string()),
                None => self.begin_with(position.sequence),
            },
        }
    }

    fn begin_at(&mut self, after: Sequence, linked: bool) {
        self.after = after;
        self.linked = linked;
        self.asked = None;
    }

    fn begin_with(&mut self, first: Sequence) {
        self.begin_at(first.before(), false);
        self.asked = Some(first);
    }

    fn begin_with_turn(&mut self) {
        match &self.head {
            Some(head) if running(head) => {
                let began = head.entry.state.as_ref().map_or(0, |it| it.began);
                // The entry that starts a turn cannot name its own place.
                let began = if began == 0 { head.sequence } else { Sequence(began) };
                self.begin_with(began);
            }
            Some(_) | None => self.begin_at(self.target, true),
        }
    }

    /// There is no way from what was asked for to what is there: goes on with
    /// the running turn, or after the last entry.
    fn gap_before_turn(&mut self, reason: &str, asked: String) {
        self.begin_with_turn();
        self.gap = Some(self.gap(reason, asked, self.asked.unwrap_or(self.after)));
    }

    /// Why a position cannot be resumed from, as far as the head tells.
    fn misplaced(&self, position: Position) -> Option<&'static str> {
        if position.epoch != self.epoch {
            return Some("other_log");
        }
        match &self.head {
            Some(head) if position.sequence > head.sequence => Some("unknown_position"),
            None if position.sequence != Sequence::START => Some("expired"),
            Some(_) | None => None,
        }
    }

    /// Whether the head may be too old to judge a position of the same log;
    /// then it is asked again.
    fn may_be_wrong(&mut self, reason: &'static str, position: Position) -> bool {
        let same = position.epoch == self.epoch;
        if same && !self.log.doubt().is_zero() {
            let (since, place) = (Instant::now(), position.sequence);
            self.doubt = Some(Doubt { since, place, reason, silence: false });
        }
        self.doubt.is_some()
    }

    fn links(&self, stored: &Stored) -> bool {
        stored.sequence <= self.after || stored.entry.follows == self.after.0
    }

    /// Whether something is missing before an entry. What was erased is not.
    fn is_hole(&self, stored: &Stored) -> bool {
        let unlinked = self.linked && stored.entry.follows != self.after.0;
        let other = self.asked.is_some_and(|it| it != stored.sequence);
        (unlinked || other) && !stored.entry.is_tombstone()
    }

    /// Judges an entry in its turn. `None` for one that was delivered before.
    fn take(&mut self, stored: Stored) -> Option<Followed> {
        if stored.sequence <= self.after {
            return None;
        }
        if self.is_hole(&stored) {
            // A chain that begins anew does so because nothing was left of it.
            let reason = if stored.entry.follows > self.after.0 || stored.entry.follows == 0 {
                "expired"
            } else {
                "unknown_position"
            };
            let asked = match self.asked {
                Some(asked) => self.position(asked).to_string(),
                None if self.after == Sequence::START => "start".to_owned(),
                None => self.position(self.after).to_string(),
            };
            let gap = self.gap(reason, asked, stored.sequence);
            self.begin_at(stored.sequence.before(), false);
            self.backlog.push_front(stored);
            return Some(Followed::Gap(gap));
        }
        self.begin_at(stored.sequence, true);
        self.head = None;
        self.open = running(&stored);
        self.heard_at = Instant::now();
        (self.again_at, self.pause) = (None, PAUSE);
        self.doubt = None;
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
                self.compare(false).await
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
    /// After mere silence a log that is empty has lost nothing that the reader
    /// does not have: all of it has expired, and its chain begins anew.
    async fn compare(&mut self, silence: bool) -> Result<()> {
        let last = match self.log.last(&self.session).await {
            Ok(last) => last,
            Err(error) => return self.bear(error).await,
        };
        self.failing_since = None;
        self.heard_at = Instant::now();
        self.target = last.as_ref().map_or(Sequence::START, |it| it.sequence);
        if self.epoch != self.log.epoch() {
            let asked = self.position(self.after).to_string();
            (self.epoch, self.head, self.doubt) = (self.log.epoch(), last, None);
            self.gap_before_turn("other_log", asked);
        } else if self.is_behind() {
            self.judge_behind(last, silence);
        } else {
            self.doubt = None;
            let last = last.filter(|it| self.links(it) || self.is_next(it));
            self.backlog.extend(last);
        }
        Ok(())
    }

    /// Whether the log says that it ends before what the reader has.
    fn is_behind(&self) -> bool {
        let place = if self.linked { self.after } else { Sequence::START };
        self.target < self.doubt.map_or(place, |it| it.place)
    }

    /// A log that ends too early is believed once it has said so for as long as
    /// it may be wrong.
    fn judge_behind(&mut self, last: Option<Stored>, silence: bool) {
        let (since, place, reason) = (Instant::now(), self.after, "unknown_position");
        let doubt = *self.doubt.get_or_insert(Doubt { since, place, reason, silence });
        if doubt.since.elapsed() < self.log.doubt() {
            return;
        }
        self.doubt = None;
        if last.is_none() && doubt.silence {
            self.begin_at(Sequence::START, true);
        } else {
            self.head = last;
            self.gap_before_turn(doubt.reason, self.position(doubt.place).to_string());
        }
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
        let patience = match self.doubt {
            Some(_) => DOUBTFUL,
            None if self.open || self.expecting => CHECK,
            None => IDLE,
        };
        tokio::select! {
            biased;
            signal = self.live.next() => signal,
            () = sleep_until(self.heard_at + patience) => None,
        }
    }

    fn position(&self, sequence: Sequence) -> Position {
        Position { epoch: self.epoch, sequence }
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
