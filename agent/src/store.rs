//! Patience with the store: what a turn needs of it is tried until it is done,
//! or until nobody should wait any longer.

use std::time::Duration;

/// The first pause between two tries; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// Tries again after a conflict, and after a pause when the store does not
/// answer, until `patience` is over.
pub(crate) async fn insist<T, F>(
    patience: Duration,
    attempt: impl Fn() -> F + Send + Sync,
) -> broker::Result<T>
where
    T: Send,
    F: Future<Output = broker::Result<T>> + Send,
{
    let trying = async {
        let mut pause = PAUSE;
        loop {
            match attempt().await {
                Err(broker::Error::Conflict) => {}
                Err(broker::Error::Unavailable(reason) | broker::Error::NoRoom(reason)) => {
                    tracing::debug!(reason, "a turn waits for the store");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    };
    tokio::time::timeout(patience, trying).await.unwrap_or_else(|_| {
        Err(broker::Error::Unavailable("the store did not answer in time".to_owned()))
    })
}
