//! What every handler shares.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::Broker;
use process::Lifecycle;
use proto::{TurnId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Config;
use crate::auth::tickets::Tickets;
use crate::limits::Limits;
use crate::places::{Place, Places};
use crate::problem::{Code, Refusal};
use crate::status::Readiness;

/// Lists of sessions that are made at once.
const LISTS: usize = 4;

/// The state of the edge: ports, limits, and the owner of its tasks.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) config: Config,
    pub(crate) broker: Broker,
    pub(crate) life: Lifecycle,
    /// Whether only this machine can reach the listener.
    pub(crate) loopback: bool,
    pub(crate) limits: Limits,
    pub(crate) tickets: Tickets,
    pub(crate) readiness: Readiness,
    /// Room for the bytes of bodies that are being read.
    pub(crate) bodies: Arc<Semaphore>,
    /// Who reads which turn here.
    pub(crate) readers: Places<TurnId>,
    streams: Arc<Semaphore>,
    lists: Semaphore,
    listing: Places<UserId>,
}

/// Room for one open stream; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Room {
    _of_user: Place<UserId>,
    _of_all: OwnedSemaphorePermit,
    /// What it reads, where that is one turn.
    _reader: Option<Place<TurnId>>,
}

/// How handlers take the state.
pub(crate) type Shared = axum::extract::State<Arc<Edge>>;

impl Edge {
    pub(crate) fn new(
        config: Config,
        broker: Broker,
        life: Lifecycle,
        local: SocketAddr,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits::new(&config),
            tickets: Tickets::default(),
            readiness: Readiness::default(),
            bodies: Arc::new(Semaphore::new(config.bodies_bytes)),
            streams: Arc::new(Semaphore::new(config.streams)),
            // The streams bound them.
            readers: Places::new(usize::MAX),
            lists: Semaphore::new(LISTS),
            listing: Places::new(1),
            config,
            broker,
            life,
            loopback: local.ip().to_canonical().is_loopback(),
        })
    }

    /// Room for one more open stream of a user.
    pub(crate) fn stream(&self, user: &UserId) -> Result<Room, Refusal> {
        let of_user = self.limits.stream(user)?;
        let of_all = Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_full| Refusal::new(Code::Busy, "as many streams are open as may be"))?;
        Ok(Room { _of_user: of_user, _of_all: of_all, _reader: None })
    }

    /// Room for one more reader of a turn.
    pub(crate) fn reader(&self, user: &UserId, turn: TurnId) -> Result<Room, Refusal> {
        let room = self.stream(user)?;
        Ok(Room { _reader: self.readers.enter(turn), ..room })
    }

    /// Makes a list of a user's sessions, for which all that is kept of them is
    /// read: one of a user, and few of all, at once.
    pub(crate) async fn list<T>(
        &self,
        user: &UserId,
        list: impl Future<Output = Result<T, Refusal>> + Send,
    ) -> Result<T, Refusal> {
        let why = "a list of this user's sessions is being made already";
        let place = self.listing.enter(user.clone());
        let _place = place.ok_or_else(|| Refusal::new(Code::TooManyRequests, why))?;
        let turn = tokio::time::timeout(self.config.broker_timeout, self.lists.acquire()).await;
        let why = "as many lists are being made as may be";
        let _turn = turn.map_err(|_elapsed| Refusal::new(Code::Busy, why))?;
        self.within(list).await
    }

    /// Waits for the broker, but not for ever.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Refusal>> + Send,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(self.config.broker_timeout, call).await {
            Ok(result) => result,
            Err(_elapsed) => {
                Err(Refusal::from(broker::Error::Unavailable("no answer in time".to_owned())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Duration;

    use futures::FutureExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_user_has_one_list_at_once_and_all_have_few_and_wait_for_them_in_vain_only_so_long() {
        let limits = broker::Limits::default();
        let broker = broker::sqlite::open(broker::sqlite::Place::Memory, limits).await.unwrap();
        let config = Config { broker_timeout: Duration::from_secs(5), ..Config::default() };
        let local = "127.0.0.1:1".parse().unwrap();
        let edge = Edge::new(config, broker, Lifecycle::new(), local);
        let user = |n: usize| format!("u{n}").parse::<UserId>().unwrap();
        let users: Vec<_> = (0..=LISTS).map(user).collect();
        let mut first = Box::pin(edge.list(&users[0], pending::<Result<(), Refusal>>()));
        assert!(first.as_mut().now_or_never().is_none());
        let twice = edge.list(&users[0], async { Ok(()) }).await.unwrap_err();
        assert_eq!(twice.status(), 429, "{twice:?}");
        let endless = |it| Box::pin(edge.list(it, pending::<Result<(), Refusal>>()));
        let mut others: Vec<_> = users[1..LISTS].iter().map(endless).collect();
        assert!(others.iter_mut().all(|it| it.as_mut().now_or_never().is_none()));
        let last = &users[LISTS];
        assert!(Box::pin(edge.list(last, async { Ok(()) })).now_or_never().is_none(), "it waits");
        drop(first);
        edge.list(last, async { Ok(()) }).await.unwrap();
        let again = endless(&users[0]).now_or_never();
        assert!(again.is_none());
        let mut again = endless(&users[0]);
        assert!(again.as_mut().now_or_never().is_none());
        // The clock goes on by itself, for those that were begun as well.
        let full = edge.list(last, async { Ok(()) }).await.unwrap_err();
        assert_eq!(full.status(), 503, "{full:?}");
    }
}
