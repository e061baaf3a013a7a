//! An answer as it comes: followed over cut connections, stopped by Ctrl-C.

use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::{Instant, Interval, interval};

use super::answer::{Answer, End};
use super::echo::Silence;
use super::interrupts::Interrupts;
use super::question::ExitStatus;
use super::{Conversation, Next};
use crate::client::{self, Client, Heard, Stopped, Turn, Watch};
use crate::plain;
use crate::terminal::Paint;

/// How often it is looked whether there is something to say.
const TICK: Duration = Duration::from_millis(100);
/// What waits for a worker longer than this is told where it stands, and how
/// often.
const QUEUED: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(2);
/// A connection that is gone for longer is told.
const CUT: Duration = Duration::from_secs(2);
/// Silence between words, and in the middle of a line, that is told.
const SILENCE: Duration = Duration::from_millis(300);
const LONG_SILENCE: Duration = Duration::from_millis(1500);

/// What is to be done next in a session.
pub(super) enum Due {
    Nothing,
    Follow(Source),
    Review {
        turn: String,
        calls: Vec<Value>,
    },
    /// The conversation is left.
    Leave(ExitCode),
}

/// Where a turn's events come from.
pub(super) enum Source {
    /// It was asked for here.
    Asked(Box<Turn>),
    /// It was asked for elsewhere, or earlier.
    Watched(Box<Watch>, String),
}

impl Source {
    fn id(&self) -> String {
        match self {
            Self::Asked(turn) => turn.id().to_owned(),
            Self::Watched(_, turn) => turn.clone(),
        }
    }

    async fn heard(&mut self) -> client::Result<Option<Heard>> {
        let (watch, turn) = match self {
            Self::Asked(turn) => return turn.heard().await,
            Self::Watched(watch, turn) => (watch, turn),
        };
        loop {
            let heard = watch.next().await?;
            let Heard::Event(frame) = &heard else { return Ok(Some(heard)) };
            if matches!(frame.kind.as_str(), "gap" | "deleted") || frame.value()["turnId"] == **turn
            {
                return Ok(Some(heard));
            }
        }
    }
}

/// What a session says is due in it.
pub(super) fn due(client: &Client, session: &str, told: &Value) -> Due {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    match text("status").as_str() {
        "running" | "queued" => {
            Due::Follow(Source::Watched(Box::new(client.watch(session, None)), text("turnId")))
        }
        "interrupted" => {
            let calls = told["pending"].as_array().cloned().unwrap_or_default();
            Due::Review { turn: text("interruptedTurnId"), calls }
        }
        _ => Due::Nothing,
    }
}

impl Conversation {
    /// Does what is due, and what becomes due by that.
    pub(super) async fn go_on(&mut self, mut due: Due) -> anyhow::Result<Next> {
        loop {
            due = match due {
                Due::Nothing => return Ok(Next::Prompt),
                Due::Leave(code) => return Ok(Next::Leave(code)),
                Due::Follow(source) => {
                    let turn = source.id();
                    match self.follow(source).await? {
                        Followed::Ended(End::Waits(calls)) => Due::Review { turn, calls },
                        Followed::Ended(End::Completed) | Followed::GivenBack => Due::Nothing,
                        Followed::Ended(End::Failed) => self.still_due(ExitStatus::Failed).await,
                        Followed::Ended(End::Stopped) => self.still_due(ExitStatus::Stopped).await,
                        Followed::Ended(End::Erased) => {
                            self.comes_to(ExitStatus::Stopped);
                            Due::Nothing
                        }
                        Followed::Left => Due::Leave(ExitCode::from(130)),
                    }
                }
                Due::Review { turn, calls } => self.review(&turn, &calls).await?,
            };
        }
    }

    /// What a turn that came to nothing leaves: a next question would close the
    /// review of calls that still wait.
    async fn still_due(&mut self, how: ExitStatus) -> Due {
        self.comes_to(how);
        match self.open_review().await {
            Ok(Due::Review { turn, calls }) => Due::Review { turn, calls },
            // What else is there was not asked for, and not being told is no news.
            Ok(Due::Nothing | Due::Follow(_) | Due::Leave(_)) | Err(_) => Due::Nothing,
        }
    }

    /// Waits for something that is sent; `None` when Ctrl-C came before.
    pub(super) async fn sending<T>(
        &mut self,
        sent: impl Future<Output = client::Result<T>>,
    ) -> client::Result<Option<T>> {
        let (mut sent, since, _silence) = (pin!(sent), Instant::now(), Silence::begin());
        let mut ticks = interval(TICK);
        let done = loop {
            tokio::select! {
                biased;
                () = self.interrupts.next() => break Ok(None),
                done = &mut sent => break done.map(Some),
                _ = ticks.tick() => {}
            }
            if since.elapsed() >= CUT {
                self.screen.wait("connection lost, waiting…", since);
            } else if since.elapsed() >= SILENCE {
                self.screen.wait("sending", since);
            }
        };
        self.screen.clear();
        done
    }

    /// Shows a turn to its end.
    async fn follow(&mut self, mut source: Source) -> anyhow::Result<Followed> {
        let (turn, _silence) = (source.id(), Silence::begin());
        let mut following = Following::new(self, turn);
        let mut ticks = interval(TICK);
        loop {
            let mut heard = pin!(source.heard());
            let heard = loop {
                match step(&mut self.interrupts, heard.as_mut(), &mut following, &mut ticks).await {
                    Step::Heard(heard) => break heard?,
                    Step::Tick => following.tick(self)?,
                    Step::Stands(told) => following.stands(self, told)?,
                    Step::Interrupt => {
                        if let Some(before) = following.stop(self).await? {
                            return Ok(before);
                        }
                    }
                }
            };
            if let Some(end) = following.hear(self, heard)? {
                return Ok(Followed::Ended(end));
            }
        }
    }
}

/// What came of following a turn.
enum Followed {
    Ended(End),
    /// It has not begun, and will not.
    GivenBack,
    /// The person leaves.
    Left,
}

/// What happens while one waits.
enum Step {
    Interrupt,
    Heard(client::Result<Option<Heard>>),
    Stands(client::Result<Value>),
    Tick,
}

async fn step(
    interrupts: &mut Interrupts,
    heard: Pin<&mut impl Future<Output = client::Result<Option<Heard>>>>,
    following: &mut Following,
    ticks: &mut Interval,
) -> Step {
    let stands = async {
        match &mut following.standing {
            Some(standing) => standing.as_mut().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = interrupts.next() => Step::Interrupt,
        heard = heard => Step::Heard(heard),
        told = stands => Step::Stands(told),
        _ = ticks.tick() => Step::Tick,
    }
}

/// A turn that is followed.
struct Following {
    turn: String,
    answer: Answer,
    since: Instant,
    heard: Instant,
    /// Asks where the turn stands, and when that was asked last.
    standing: Option<BoxFuture<'static, client::Result<Value>>>,
    looked: Instant,
    cut: Option<Instant>,
    /// What was said about waiting where that stays.
    said: String,
    stopping: bool,
}

impl Following {
    fn new(conversation: &Conversation, turn: String) -> Self {
        let now = Instant::now();
        Self {
            turn,
            answer: Answer::new(conversation.thinks_aloud),
            since: now,
            heard: now,
            standing: None,
            looked: now,
            cut: None,
            said: String::new(),
            stopping: false,
        }
    }

    fn hear(&mut self, on: &mut Conversation, heard: Option<Heard>) -> anyhow::Result<Option<End>> {
        self.heard = Instant::now();
        match heard {
            // The end was heard before.
            None => Ok(Some(End::Completed)),
            Some(Heard::Cut(_)) => {
                self.cut = Some(Instant::now());
                Ok(None)
            }
            Some(Heard::Back) => {
                self.cut = None;
                on.screen.clear();
                Ok(None)
            }
            Some(Heard::Event(frame)) => {
                let end = self.answer.show(&frame, &mut on.screen)?;
                if end.is_some() {
                    on.screen.clear();
                }
                Ok(end)
            }
        }
    }

    fn tick(&mut self, on: &mut Conversation) -> anyhow::Result<()> {
        let queued = !self.answer.has_started() && self.since.elapsed() >= QUEUED;
        if queued && self.standing.is_none() && self.looked.elapsed() >= QUEUED {
            let (client, session) = (on.client.clone(), on.session.clone());
            self.standing = Some(Box::pin(async move { client.session(&session).await }));
        }
        if self.cut.is_some_and(|it| it.elapsed() >= CUT) {
            return self.waits(on, "connection lost, waiting…");
        }
        let silence = if on.screen.is_within_line() { LONG_SILENCE } else { SILENCE };
        if self.heard.elapsed() >= silence {
            on.screen.wait(self.answer.doing(), self.since);
        }
        Ok(())
    }

    fn stands(&mut self, on: &mut Conversation, told: client::Result<Value>) -> anyhow::Result<()> {
        self.standing = None;
        // It is asked again after a while.
        self.looked = Instant::now() + LOOK - QUEUED;
        // Not being told is no news.
        let Ok(told) = told else { return Ok(()) };
        if self.stopping {
            return Ok(());
        }
        let Some(words) = queued(&told, &self.turn).filter(|_| !self.answer.has_started()) else {
            return Ok(());
        };
        self.answer.queued(&words);
        self.waits(on, &words)
    }

    /// Says that one waits: for as long as one does, or once where what is said
    /// stays.
    fn waits(&mut self, on: &mut Conversation, what: &str) -> anyhow::Result<()> {
        if on.screen.is_live() {
            on.screen.wait(what, self.since);
        } else if self.said != what {
            what.clone_into(&mut self.said);
            on.screen.beside(Paint::Dim, &format!("[{}]", plain::line(what)))?;
        }
        Ok(())
    }

    /// Stops the turn. What came of it, when it is not followed to its end: Ctrl-C
    /// came again, or it has not even begun.
    async fn stop(&mut self, on: &mut Conversation) -> anyhow::Result<Option<Followed>> {
        if std::mem::replace(&mut self.stopping, true) {
            on.screen.note(Paint::Yellow, "[left; what runs is being stopped]")?;
            return Ok(Some(Followed::Left));
        }
        self.answer.queued("stopping; Ctrl-C again leaves");
        on.screen.wait(self.answer.doing(), self.since);
        let (client, session) = (on.client.clone(), on.session.clone());
        let stopped = tokio::select! {
            biased;
            () = on.interrupts.next() => return Ok(Some(Followed::Left)),
            stopped = client.cancel(&session, Some(&self.turn)) => stopped,
        };
        match stopped {
            Ok(Stopped::Asked(_)) if !self.answer.has_started() => {
                on.screen.note(Paint::Yellow, "[it has not begun, and will be stopped]")?;
                on.comes_to(ExitStatus::Stopped);
                return Ok(Some(Followed::GivenBack));
            }
            Ok(Stopped::Asked(_) | Stopped::HadEnded(_)) => {}
            Err(error) => {
                let why = plain::line(&error.to_string());
                let said = format!("[not stopped: {why}; Ctrl-C again leaves]");
                on.screen.note(Paint::Yellow, &said)?;
            }
        }
        Ok(None)
    }
}

/// Why a turn has not begun, as its session tells it.
fn queued(told: &Value, turn: &str) -> Option<String> {
    if told["status"] == "running" && told["turnId"] == *turn {
        return None;
    }
    let before = told["unfinished"].as_u64().unwrap_or_default().saturating_sub(1);
    Some(match before {
        0 => "waiting for a worker".to_owned(),
        _ if told["turnId"] == *turn => "waiting for a worker".to_owned(),
        1 => "waiting: 1 question before it".to_owned(),
        more => format!("waiting: {more} questions before it"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_turn_that_waits_is_told_behind_how_many() {
        for (told, expected) in [
            (
                json!({"status": "queued", "turnId": "t", "unfinished": 1}),
                Some("waiting for a worker"),
            ),
            (
                json!({"status": "queued", "turnId": "t", "unfinished": 3}),
                Some("waiting for a worker"),
            ),
            (
                json!({"status": "running", "turnId": "o", "unfinished": 2}),
                Some("waiting: 1 question before it"),
            ),
            (
                json!({"status": "running", "turnId": "o", "unfinished": 3}),
                Some("waiting: 2 questions before it"),
            ),
            (json!({"status": "running", "turnId": "t", "unfinished": 1}), None),
        ] {
            assert_eq!(queued(&told, "t").as_deref(), expected, "{told}");
        }
    }
}
