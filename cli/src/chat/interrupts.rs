//! Ctrl-C, heard wherever one is: none is lost between two places that wait for
//! it.

use std::fmt;
use std::pin::Pin;

use futures::FutureExt as _;

/// Those that have not been heard yet.
pub(super) struct Interrupts(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Interrupts {
    /// From now on.
    pub(super) fn new() -> Self {
        let mut next = listen();
        // The first look is what begins to listen.
        let early = next.as_mut().now_or_never();
        if early.is_some() { Self(listen()) } else { Self(next) }
    }

    /// What came until now was not meant for what comes.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }

    /// Waits for the next one. Can be dropped and called again.
    pub(super) async fn next(&mut self) {
        self.0.as_mut().await;
        *self = Self::new();
    }
}

fn listen() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nobody can tell: it never comes.
            std::future::pending::<()>().await;
        }
    })
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupts")
    }
}
