//! Keeps one server connected and its tools known, until it is told to stop.
//!
//! A call that runs is never given up for a look at the list.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use process::Lifecycle;
use rmcp::RoleClient;
use rmcp::model;
use rmcp::service::Peer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::hidden::hide;
use super::link::{Greeting, Heard, Link, MAX_TOOLS, SLOW, list};
use super::list::{Judged, Offer, Reason, Word, judge};
use super::pins::Pins;

/// The first pause before a server is tried again; then twice as long, each time.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// How often the list is looked at without being told of a change.
const LOOK: Duration = Duration::from_mins(1);
/// How often the pins are read.
const PINS: Duration = Duration::from_secs(2);
/// The pause between two looks, whatever the server tells.
const BREATH: Duration = Duration::from_millis(100);

/// What a server's keeper, its tools and those who ask for them share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) config: Server,
    pub(super) life: Lifecycle,
    pub(super) view: watch::Sender<View>,
    /// Told by a call that the connection may be lost.
    pub(super) lost: Notify,
    /// Calls that run.
    pub(super) calls: AtomicUsize,
}

/// What is known of a server.
#[derive(Debug, Default)]
pub(super) struct View {
    /// It was tried once.
    pub(super) tried: bool,
    pub(super) live: Option<Live>,
    /// What went wrong last.
    pub(super) problem: Option<String>,
    /// They stay while a lost server is tried once more.
    pub(super) tools: Vec<Judged>,
}

/// A server that is connected.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) peer: Peer<RoleClient>,
    pub(super) protocol: String,
    pub(super) process: Option<u32>,
}

/// When to stop: when told, or when the process drains.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) stop: CancellationToken,
    pub(super) life: Lifecycle,
}

impl Told {
    async fn wait(&self) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.life.draining() => {}
        }
    }
}

/// Does the keeping.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    pins: Option<PathBuf>,
    word: Word,
    greeting: Greeting,
    changed: Arc<Notify>,
    tools: Vec<model::Tool>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, pins: Option<PathBuf>) -> Self {
        Self {
            shared,
            pins,
            word: Word::FirstSeen(BTreeMap::new()),
            greeting: Greeting::Probe,
            changed: Arc::default(),
            tools: Vec::new(),
        }
    }

    /// Connects, stays, connects again, until told. The futures are boxed: they
    /// are large, and wait long.
    pub(super) async fn run(mut self, told: Told) {
        let mut pause = PAUSE;
        loop {
            let opened = tokio::select! {
                biased;
                () = told.wait() => return,
                opened = Box::pin(self.open()) => opened,
            };
            match opened {
                Ok(mut link) => {
                    let began = Instant::now();
                    let reason = tokio::select! {
                        biased;
                        () = told.wait() => None,
                        reason = Box::pin(self.stay(&mut link)) => Some(reason),
                    };
                    self.gone(reason);
                    // What the farewell takes does not count.
                    if began.elapsed() >= GOOD {
                        pause = PAUSE;
                    }
                    Box::pin(link.close()).await;
                }
                Err(reason) => self.missed(&reason),
            }
            tokio::select! {
                biased;
                () = told.wait() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn open(&mut self) -> Result<Link, String> {
        let mut link = self.greet().await?;
        // First, so that no change falls between the two.
        link.subscribe().await;
        if let Err(reason) = self.look(&link.peer).await {
            link.close().await;
            return Err(reason);
        }
        let protocol = link.protocol.to_string();
        let offered = self.shared.view.borrow().tools.iter().filter(|it| it.spec.is_some()).count();
        tracing::info!(
            mcp.server = self.shared.name,
            protocol,
            offered,
            "an MCP server is connected"
        );
        let live = Live { peer: link.peer.clone(), protocol, process: link.process() };
        self.shared.view.send_modify(|view| {
            (view.tried, view.live, view.problem) = (true, Some(live), None);
        });
        Ok(link)
    }

    /// Greets as it went well before, or first in one way, then in the other.
    async fn greet(&mut self) -> Result<Link, String> {
        let reason = match self.link(self.greeting).await {
            Ok(link) => return Ok(link),
            Err(reason) if self.greeting == Greeting::Handshake => return Err(reason),
            Err(reason) => reason,
        };
        tracing::debug!(mcp.server = self.shared.name, reason, "greets in the old way");
        let link = self.link(Greeting::Handshake).await?;
        self.greeting = Greeting::Handshake;
        Ok(link)
    }

    async fn link(&self, greeting: Greeting) -> Result<Link, String> {
        let Shared { name, config, life, .. } = &*self.shared;
        Link::open(name, config, greeting, Arc::clone(&self.changed), life).await
    }

    /// Looks at the tools whenever there is a reason to. Returns why the
    /// connection is given up.
    async fn stay(&mut self, link: &mut Link) -> String {
        let mut looks = every(LOOK);
        let mut pins = every(PINS);
        let shared = Arc::clone(&self.shared);
        let changed = Arc::clone(&self.changed);
        loop {
            let event = tokio::select! {
                biased;
                heard = link.next() => Event::from(heard),
                () = changed.notified() => Event::Look,
                () = shared.lost.notified() => Event::Look,
                _ = looks.tick() => Event::Routine,
                _ = pins.tick() => Event::Pins,
            };
            let looked = match event {
                Event::Ended => return "the connection was closed".to_owned(),
                Event::Pins => {
                    self.reread();
                    continue;
                }
                Event::Routine if shared.calls.load(Ordering::Relaxed) > 0 => continue,
                Event::Routine | Event::Look => self.look(&link.peer).await,
            };
            match looked {
                Ok(()) => sleep(BREATH).await,
                Err(reason) if reason == SLOW && shared.calls.load(Ordering::Relaxed) > 0 => {}
                Err(reason) => return reason,
            }
        }
    }

    /// Asks for the list and judges it.
    async fn look(&mut self, peer: &Peer<RoleClient>) -> Result<(), String> {
        let (tools, more) = list(peer).await?;
        if more {
            let name = &self.shared.name;
            tracing::warn!(mcp.server = name, counted = MAX_TOOLS, "it has more tools than count");
        }
        self.tools = tools;
        if let Some(path) = &self.pins {
            self.word = Word::Pinned(Pins::read(path).map_err(|it| it.to_string()));
        }
        self.judge();
        Ok(())
    }

    /// Takes the operator's newest word.
    fn reread(&mut self) {
        let Some(path) = &self.pins else {
            return;
        };
        let pins = Pins::read(path).map_err(|it| it.to_string());
        if !matches!(&self.word, Word::Pinned(known) if *known == pins) {
            self.word = Word::Pinned(pins);
            self.judge();
        }
    }

    fn judge(&mut self) {
        let Shared { name, config, view, .. } = &*self.shared;
        let judged = judge(name, config, &self.tools, &mut self.word);
        let known: BTreeMap<_, _> = {
            let view = view.borrow();
            let offer = |it: &Judged| (it.listed.tool.clone(), it.listed.offer.clone());
            view.tools.iter().map(offer).collect()
        };
        for Judged { listed, .. } in &judged {
            if let Offer::Withheld(reason) = &listed.offer
                && known.get(&listed.tool) != Some(&listed.offer)
            {
                warn(name, &listed.name, reason);
            }
        }
        view.send_modify(|view| view.tools = judged);
    }

    /// The connection is gone, for this reason or because it was told to go.
    fn gone(&self, reason: Option<String>) {
        let reason = reason.map(|it| hide(&it, &self.shared.config.transport));
        if let Some(reason) = &reason {
            tracing::warn!(mcp.server = self.shared.name, reason, "an MCP server is lost");
        }
        self.shared.view.send_modify(|view| {
            view.live = None;
            if reason.is_none() {
                view.tools.clear();
            }
            view.problem = reason;
        });
    }

    /// It could not be connected.
    fn missed(&self, reason: &str) {
        let reason = hide(reason, &self.shared.config.transport);
        let known = self.shared.view.borrow().problem.as_ref() == Some(&reason);
        if !known {
            tracing::warn!(mcp.server = self.shared.name, reason, "an MCP server is not connected");
        }
        self.shared.view.send_modify(|view| {
            view.tried = true;
            view.tools.clear();
            view.problem = Some(reason);
        });
    }
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The connection is gone.
    Ended,
    /// The list may have changed, or the connection be lost.
    Look,
    /// It is time to look, if nothing else goes on.
    Routine,
    /// It is time to read the pins.
    Pins,
}

impl From<Heard> for Event {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::Changed => Self::Look,
            Heard::Ended => Self::Ended,
        }
    }
}

fn every(time: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + time, time);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn warn(server: &str, tool: &str, reason: &Reason) {
    let reason_told = reason.to_string();
    if reason.wants_word() {
        tracing::warn!(
            tool,
            reason = reason_told,
            "a tool is withheld; look at it with `weir tools list` and give the word with \
             `weir tools pin --server {server}`"
        );
    } else if *reason != Reason::NotChosen {
        tracing::warn!(tool, reason = reason_told, "a tool is withheld");
    }
}
