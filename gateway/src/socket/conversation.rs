//! One socket from its first frame to its last: commands one after the other,
//! and between them what happens in the session.
//!
//! What a command comes to is told before anything that it caused. Events are
//! read only when all before them have gone, commands only while few wait, so
//! that a peer that takes nothing is given nothing to keep for it.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::command::{Command, Done, Work};
use super::line::{Ending, Line, Step};
use super::speech::{Misheard, Speech};
use crate::caller::Owned;
use crate::edge::{Edge, Room};
use crate::problem::{Code, Refusal};
use crate::stream::{Cut, Reading, Stop, Told, stop};
use crate::turn;

/// Commands that may wait behind the one that is being done.
const COMMANDS: usize = 16;
/// Messages that may wait to be sent while commands are still taken.
const ANSWERS: usize = 64;
/// Pings without an answer after which a peer is gone.
const SILENT: u8 = 2;

const DRAINING: Ending = Ending::new(CloseCode::Away, "this server stops; go on with another one");
const EXPIRED: Ending = Ending::new(CloseCode::Policy, "the credential has ended");
const SILENCE: Ending = Ending::new(CloseCode::Policy, "no pong has come");
const BINARY: Ending = Ending::new(CloseCode::Unsupported, "only text is spoken here");
const FAILED: Ending = Ending::new(CloseCode::Error, "the log failed; go on with a new socket");

/// A socket's conversation.
pub(super) struct Conversation {
    edge: Arc<Edge>,
    session: Owned,
    line: Line,
    speech: Box<dyn Speech>,
    /// How it follows its session, once it does.
    reading: Option<Box<Reading>>,
    waiting: VecDeque<Command>,
    work: Option<Work>,
    stop: Stop,
    beat: Pin<Box<Sleep>>,
    /// Pings since the last pong.
    unanswered: u8,
    _room: Room,
}

enum Heard {
    Stop(Cut),
    Line(Step),
    Done(Done),
    Beat,
    Told(Result<Option<Told>, Cut>),
}

/// What becomes of the socket.
enum Fate {
    GoesOn,
    Ends(Ending),
    /// The peer has left, or can be told nothing.
    Over,
}

impl Conversation {
    pub(super) fn new(
        edge: &Arc<Edge>,
        (session, room): (Owned, Room),
        line: Line,
        speech: Box<dyn Speech>,
    ) -> Self {
        Self {
            stop: stop(edge, session.ends()),
            beat: Box::pin(sleep_until(Instant::now() + edge.config.socket_ping)),
            edge: Arc::clone(edge),
            session,
            line,
            speech,
            reading: None,
            waiting: VecDeque::new(),
            work: None,
            unanswered: 0,
            _room: room,
        }
    }

    /// Talks until one of both ends it.
    pub(super) async fn hold(mut self) {
        if let Some(opening) = self.speech.open() {
            self.line.send(opening);
        }
        loop {
            let heard = self.hear().await;
            if let Heard::Told(Ok(Some(told))) = &heard
                && self.erased(told).await.is_err()
            {
                return self.end(FAILED).await;
            }
            match self.handle(heard) {
                Fate::GoesOn => self.begin_next(),
                Fate::Ends(ending) => return self.end(ending).await,
                Fate::Over => return,
            }
        }
    }

    async fn hear(&mut self) -> Heard {
        let listens = self.line.waiting() < ANSWERS;
        let free = self.line.waiting() == 0 && self.work.is_none();
        tokio::select! {
            biased;
            cut = &mut self.stop => Heard::Stop(cut),
            () = &mut self.beat => Heard::Beat,
            step = self.line.step(listens) => Heard::Line(step),
            done = done(&mut self.work) => Heard::Done(done),
            told = told(&mut self.reading), if free => Heard::Told(told),
        }
    }

    /// Where the session was erased: which of the turns that are waited for here
    /// end with that, only the broker knows.
    async fn erased(&mut self, told: &Told) -> Result<(), Refusal> {
        let Told::Entry { stored, .. } = told else { return Ok(()) };
        if !stored.entry.is_tombstone() {
            return Ok(());
        }
        let mut gone = Vec::new();
        for name in self.speech.unended().to_vec() {
            let Ok(turn) = name.parse() else { continue };
            let (broker, session) = (&self.edge.broker, &self.session);
            let judged = async { Ok(turn::is_erased(broker, session, turn, stored).await?) };
            if self.edge.within(judged).await? {
                gone.push(name);
            }
        }
        for message in self.speech.erased(&gone) {
            self.line.send(message);
        }
        Ok(())
    }

    fn handle(&mut self, heard: Heard) -> Fate {
        match heard {
            Heard::Line(step) => return self.stepped(step),
            Heard::Done(done) => self.done(done),
            Heard::Beat => return self.beat(),
            Heard::Told(Ok(Some(told))) => {
                for message in self.speech.tell(&told) {
                    self.line.send(message);
                }
            }
            // A session has no end.
            Heard::Told(Ok(None)) => self.reading = None,
            Heard::Told(Err(Cut::Draining)) | Heard::Stop(Cut::Draining) => {
                return Fate::Ends(DRAINING);
            }
            Heard::Told(Err(Cut::Unauthenticated)) | Heard::Stop(Cut::Unauthenticated) => {
                self.line.send(self.speech.expired());
                return Fate::Ends(EXPIRED);
            }
            Heard::Told(Err(cut)) | Heard::Stop(cut) => {
                tracing::debug!(%cut, "a socket was cut");
                return Fate::Ends(FAILED);
            }
        }
        Fate::GoesOn
    }

    fn stepped(&mut self, step: Step) -> Fate {
        match step {
            Step::Heard(Message::Text(text)) => self.command(&text),
            Step::Heard(Message::Binary(_)) => return Fate::Ends(BINARY),
            Step::Heard(Message::Pong(_)) => self.unanswered = 0,
            // The library answers both.
            Step::Heard(Message::Ping(_) | Message::Close(_) | Message::Frame(_)) | Step::Sent => {}
            Step::Broken(ending) => {
                self.line.forget();
                return Fate::Ends(ending);
            }
            Step::Gone => return Fate::Over,
        }
        Fate::GoesOn
    }

    fn command(&mut self, text: &str) {
        let heard = self.speech.hear(&self.session, text);
        let misheard = match heard {
            Ok(command) if self.waiting.len() < COMMANDS => {
                return self.waiting.push_back(command);
            }
            Ok(Command { reference, .. }) => {
                let detail = format!("{COMMANDS} commands of this socket wait already");
                Misheard { reference, refusal: Refusal::new(Code::TooManyRequests, detail) }
            }
            Err(misheard) => misheard,
        };
        let Misheard { reference, refusal } = misheard;
        self.line.send(self.speech.refuse(reference.as_deref(), &refusal));
    }

    fn begin_next(&mut self) {
        if self.work.is_some() {
            return;
        }
        if let Some(command) = self.waiting.pop_front() {
            let begins = self.reading.is_none().then(|| self.speech.begins());
            self.work = Some(command.work(&self.edge, &self.session, begins));
        }
    }

    fn done(&mut self, done: Done) {
        let Done { reference, answer, reading } = done;
        self.reading = reading.or_else(|| self.reading.take());
        let reference = reference.as_deref();
        let said = match &answer {
            Ok(answer) => self.speech.answer(reference, answer),
            Err(refusal) => Some(self.speech.refuse(reference, refusal)),
        };
        if let Some(said) = said {
            self.line.send(said);
        }
    }

    fn beat(&mut self) -> Fate {
        if self.unanswered >= SILENT {
            self.line.forget();
            return Fate::Ends(SILENCE);
        }
        self.unanswered += 1;
        self.beat.as_mut().reset(Instant::now() + self.edge.config.socket_ping);
        self.line.ping();
        Fate::GoesOn
    }

    /// Ends it from our side. What was begun is told first, so that nobody takes
    /// an accepted question for one that was not.
    async fn end(mut self, ending: Ending) {
        let patience = self.edge.config.drain_timeout;
        if self.work.is_some()
            && let Ok(done) = timeout(patience, done(&mut self.work)).await
        {
            self.done(done);
        }
        self.line.close(ending, patience).await;
    }
}

async fn done(work: &mut Option<Work>) -> Done {
    match work {
        None => pending().await,
        Some(working) => {
            let done = working.as_mut().await;
            *work = None;
            done
        }
    }
}

async fn told(reading: &mut Option<Box<Reading>>) -> Result<Option<Told>, Cut> {
    match reading {
        None => pending().await,
        Some(reading) => reading.next().await,
    }
}
