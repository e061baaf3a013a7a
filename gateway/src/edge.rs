//! What every handler shares.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::Broker;
use process::Lifecycle;
use proto::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Config;
use crate::auth::tickets::Tickets;
use crate::limits::Limits;
use crate::places::Place;
use crate::problem::{Code, Refusal};

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
    streams: Arc<Semaphore>,
}

/// Room for one open stream; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Room {
    _of_user: Place<UserId>,
    _of_all: OwnedSemaphorePermit,
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
            streams: Arc::new(Semaphore::new(config.streams)),
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
        Ok(Room { _of_user: of_user, _of_all: of_all })
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
