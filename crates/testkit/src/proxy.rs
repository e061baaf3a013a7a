//! A TCP proxy whose wire can be cut and mended, between any two parts.

use std::net::SocketAddr;
use std::sync::Arc;

use ::process::Lifecycle;
use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on a free loopback port.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    whole: Arc<watch::Sender<bool>>,
    life: Lifecycle,
}

impl Proxy {
    /// Passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (whole, life) = (Arc::new(watch::Sender::new(true)), Lifecycle::new());
        let (wire, tasks) = (Arc::clone(&whole), life.clone());
        life.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tasks.spawn(pass(near, target, wire.subscribe()));
            }
        });
        Ok(Self { address, whole, life })
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection, and each new one, until [`Proxy::mend`].
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.life.abort();
    }
}

async fn pass(mut near: TcpStream, target: SocketAddr, mut whole: watch::Receiver<bool>) {
    let copied = async {
        let mut far = TcpStream::connect(target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        biased;
        // Dropping both ends is the cut.
        _ = whole.wait_for(|whole| !whole) => {}
        // Either side may end a connection as it likes.
        _ = copied => {}
    }
}
