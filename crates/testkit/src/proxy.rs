//! A TCP proxy between any two parts, whose wire can be cut, stalled in either
//! direction, delayed and throttled while bytes are on it.
//!
//! It loses no byte of a connection that lives, unless told to lose messages: a
//! stalled wire holds what was said, as a network does that sends again, and
//! drops it only with the connection.

mod sieve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::process::Lifecycle;
use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use sieve::{Sieve, Sifting};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// A proxy on a free loopback port.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    sieve: Arc<Mutex<Option<Sieve>>>,
    life: Lifecycle,
}

/// How the bytes of a proxy's connections fare. `Near` is who connects to the
/// proxy, `far` is what the proxy connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wire {
    target: SocketAddr,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
    Stalled(Direction),
    Delayed(Duration),
    /// Bytes a second, each way.
    Throttled(u32),
}

/// Which way bytes do not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who connected to what was connected to.
    Out,
    /// Back.
    Back,
    /// Neither way.
    Both,
}

impl Proxy {
    /// Passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let wire = Arc::new(watch::Sender::new(Wire { target, state: State::Whole }));
        let life = Lifecycle::new();
        let sieve = Arc::<Mutex<Option<Sieve>>>::default();
        let (wires, sieves, tasks) = (Arc::clone(&wire), Arc::clone(&sieve), life.clone());
        life.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let sieve = sieves.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tasks.spawn(pass(near, wires.subscribe(), sieve));
            }
        });
        Ok(Self { address, wire, sieve, life })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects to another target from now on; what is connected stays.
    pub fn aim(&self, target: SocketAddr) {
        self.wire.send_modify(|it| it.target = target);
    }

    /// Breaks every connection, and each new one, until [`Proxy::mend`].
    pub fn cut(&self) {
        self.set(State::Cut);
    }

    /// Holds every byte of one direction or both; nobody is told.
    pub fn stall(&self, direction: Direction) {
        self.set(State::Stalled(direction));
    }

    /// Passes every chunk on this much later.
    pub fn delay(&self, by: Duration) {
        self.set(State::Delayed(by));
    }

    /// Passes no more than so many bytes a second, each way.
    pub fn throttle(&self, bytes: u32) {
        self.set(State::Throttled(bytes.max(1)));
    }

    /// On connections made from now on, loses the messages from a nats-server
    /// for which `keep`, given subject and payload, says no.
    pub fn sift(&self, keep: impl Fn(&str, &[u8]) -> bool + Send + Sync + 'static) {
        let sieve = Some(Sieve::new(keep));
        *self.sieve.lock().unwrap_or_else(PoisonError::into_inner) = sieve;
    }

    /// Lets everything through again, with what was held.
    pub fn mend(&self) {
        self.set(State::Whole);
    }

    fn set(&self, state: State) {
        self.wire.send_modify(|it| it.state = state);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.life.abort();
    }
}

async fn pass(near: TcpStream, mut wire: watch::Receiver<Wire>, sieve: Option<Sieve>) {
    let target = wire.borrow().target;
    let (out, back) = (wire.clone(), wire.clone());
    let copied = async {
        let far = TcpStream::connect(target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::try_join!(
            copy(near_in, far_out, (out, Direction::Out), None),
            copy(far_in, near_out, (back, Direction::Back), sieve.map(Sieve::sifting)),
        )
    };
    tokio::select! {
        biased;
        // Dropping both ends is the cut.
        _ = wire.wait_for(|it| it.state == State::Cut) => {}
        // Either side may end a connection as it likes.
        _ = copied => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (mut wire, way): (watch::Receiver<Wire>, Direction),
    mut sifting: Option<Sifting>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let room = match wire.borrow().state {
            State::Throttled(bytes) => usize::try_from(bytes).unwrap_or(CHUNK).div_ceil(10),
            State::Whole | State::Cut | State::Stalled(_) | State::Delayed(_) => CHUNK,
        };
        let read = from.read(&mut buffer[..room.min(CHUNK)]).await?;
        hold(&mut wire, way, read).await;
        if read == 0 {
            return to.shutdown().await;
        }
        match &mut sifting {
            Some(sifting) => to.write_all(&sifting.pass(&buffer[..read])).await?,
            None => to.write_all(&buffer[..read]).await?,
        }
    }
}

/// Waits as long as the wire holds this many bytes.
async fn hold(wire: &mut watch::Receiver<Wire>, way: Direction, bytes: usize) {
    let held = |it: &Wire| match it.state {
        State::Stalled(direction) => direction == way || direction == Direction::Both,
        State::Whole | State::Cut | State::Delayed(_) | State::Throttled(_) => false,
    };
    // The proxy's end aborts this task, so an error needs no answer.
    let state = wire.wait_for(|it| !held(it)).await.map_or(State::Cut, |it| it.state);
    match state {
        State::Delayed(by) => tokio::time::sleep(by).await,
        State::Throttled(rate) => {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            tokio::time::sleep(Duration::from_secs(1) * bytes / rate).await;
        }
        State::Whole | State::Cut | State::Stalled(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, and a connection to it.
    async fn echo() -> (Proxy, TcpStream, Lifecycle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let life = Lifecycle::new();
        life.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.split();
                let copied = tokio::io::copy(&mut from, &mut to).await;
                drop(copied);
            }
        });
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, client, life)
    }

    async fn hears(client: &mut TcpStream, wait: Duration) -> Option<Vec<u8>> {
        let mut heard = vec![0; 5];
        let read = tokio::time::timeout(wait, client.read_exact(&mut heard)).await;
        read.is_ok_and(|it| it.is_ok()).then_some(heard)
    }

    #[tokio::test]
    async fn a_stalled_wire_holds_what_was_said_and_a_mended_one_lets_it_through() {
        for direction in [Direction::Out, Direction::Back, Direction::Both] {
            let (proxy, mut client, _life) = echo().await;
            client.write_all(b"first").await.unwrap();
            assert_eq!(hears(&mut client, crate::PATIENCE).await.unwrap(), b"first");
            proxy.stall(direction);
            client.write_all(b"later").await.unwrap();
            assert_eq!(hears(&mut client, Duration::from_millis(50)).await, None);
            proxy.mend();
            assert_eq!(hears(&mut client, crate::PATIENCE).await.unwrap(), b"later");
        }
    }

    #[tokio::test]
    async fn a_cut_wire_ends_connections_and_a_new_aim_holds_for_the_next() {
        let (proxy, mut client, _life) = echo().await;
        let (other, ..) = echo().await;
        client.write_all(b"first").await.unwrap();
        assert!(hears(&mut client, crate::PATIENCE).await.is_some());
        proxy.cut();
        assert_eq!(client.read(&mut [0; 5]).await.unwrap_or(0), 0);
        proxy.aim(other.address());
        proxy.mend();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        other.cut();
        client.write_all(b"again").await.ok();
        assert_eq!(client.read(&mut [0; 5]).await.unwrap_or(0), 0, "aimed at a cut wire");
    }

    #[tokio::test]
    async fn a_slow_wire_is_slow_and_loses_nothing() {
        let (proxy, mut client, _life) = echo().await;
        for slow in
            [|it: &Proxy| it.delay(Duration::from_millis(30)), |it: &Proxy| it.throttle(100)]
        {
            slow(&proxy);
            let before = tokio::time::Instant::now();
            client.write_all(b"bytes").await.unwrap();
            assert_eq!(hears(&mut client, crate::PATIENCE).await.unwrap(), b"bytes");
            assert!(
                before.elapsed() >= Duration::from_millis(55),
                "twice 30 ms, or 5 of 100 bytes twice"
            );
        }
    }
}
