//! Reading a body into memory: as large as one may be, as long as one may take,
//! and as much as there is room for among all that are being read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::edge::Edge;
use crate::problem::{Code, Refusal};

/// The room that a body has at first; it doubles as the body grows. Most need no
/// more, and who only begins one keeps little from others.
const STEP: usize = 4 * 1024;
/// How much of a body that is refused is read and thrown away, so that the
/// client is done sending and reads the answer.
const WASTE_BYTES: usize = 64 * 1024 * 1024;

/// A whole body; dropping it makes room for others.
#[derive(Debug)]
pub(super) struct Read {
    bytes: Vec<u8>,
    /// As many permits as there are bytes of capacity.
    room: Option<OwnedSemaphorePermit>,
}

impl Read {
    pub(super) async fn of(request: Request, edge: &Edge) -> Result<Self, Refusal> {
        let limit = edge.config.body_bytes;
        let announced = content_length(request.headers());
        let patient = request.headers().contains_key(header::EXPECT);
        if patient && announced.is_some_and(|it| it > limit) {
            return Err(too_large(limit));
        }
        let read = timeout(edge.config.body_timeout, async {
            let mut body = request.into_body();
            let mut read = Self { bytes: Vec::new(), room: None };
            let whole = read.collect(&mut body, limit, &edge.bodies).await;
            if let Err(refusal) = whole {
                drop(read);
                discard(body).await;
                return Err(refusal);
            }
            Ok(read)
        });
        read.await.unwrap_or_else(|_elapsed| {
            Err(Refusal::new(Code::BodyTimeout, "the body did not arrive in time"))
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    async fn collect(
        &mut self,
        body: &mut Body,
        limit: usize,
        all: &Arc<Semaphore>,
    ) -> Result<(), Refusal> {
        let cut = |_| Refusal::new(Code::InvalidRequest, "the body ended too early");
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(cut)?.into_data() else {
                continue;
            };
            let length = self.bytes.len() + data.len();
            if length > limit {
                return Err(too_large(limit));
            }
            self.grow(length, limit, all)?;
            self.bytes.extend_from_slice(&data);
        }
        Ok(())
    }

    /// Takes room for so many bytes before they are kept.
    fn grow(&mut self, length: usize, limit: usize, all: &Arc<Semaphore>) -> Result<(), Refusal> {
        let taken = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if length <= taken {
            return Ok(());
        }
        let wanted = length.max(taken * 2).max(STEP).min(limit);
        let busy = || Refusal::new(Code::Busy, "as many bodies are being read as may be");
        let more = u32::try_from(wanted - taken).map_err(|_huge| busy())?;
        let more = Arc::clone(all).try_acquire_many_owned(more).map_err(|_full| busy())?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        self.bytes.reserve_exact(wanted - self.bytes.len());
        Ok(())
    }
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("a body may have {limit} bytes"))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn discard(mut body: Body) {
    let mut wasted = 0;
    while let Some(Ok(frame)) = body.frame().await {
        wasted += frame.data_ref().map_or(0, Bytes::len);
        if wasted > WASTE_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 * 1024;

    fn all(room: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(room))
    }

    fn nothing() -> Read {
        Read { bytes: Vec::new(), room: None }
    }

    #[test]
    fn a_body_takes_room_as_it_grows_and_gives_it_back() {
        let all = all(LIMIT);
        let mut read = nothing();
        for (length, taken) in [(1, STEP), (STEP, STEP), (STEP + 1, 2 * STEP), (LIMIT, LIMIT)] {
            read.grow(length, LIMIT, &all).unwrap();
            read.bytes.resize(length, 0);
            assert_eq!(all.available_permits(), LIMIT - taken, "{length}");
            assert!(read.bytes.capacity() <= taken, "{length}");
        }
        drop(read);
        assert_eq!(all.available_permits(), LIMIT);
    }

    #[tokio::test]
    async fn a_body_without_room_is_refused_and_keeps_none() {
        let all = all(LIMIT / 2);
        let mut read = nothing();
        let body = Body::from(vec![0; LIMIT / 2]);
        read.collect(&mut { body }, LIMIT, &all).await.unwrap();
        let mut other = nothing();
        let refusal = other.collect(&mut Body::from("x"), LIMIT, &all).await.unwrap_err();
        assert_eq!(refusal.status(), http::StatusCode::SERVICE_UNAVAILABLE);
        drop(read);
        other.collect(&mut Body::from("x"), LIMIT, &all).await.unwrap();
        assert_eq!(other.bytes(), b"x");
    }
}
