//! An answer's body that knows how much of it went out, and how it ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::{Ended, Record};
use crate::metrics;

/// A body, and the record of its request.
#[derive(Debug)]
pub(super) struct Watched {
    body: Body,
    /// Nobody will ask for the body: the answer is its head.
    bare: bool,
    record: Record,
    sent: process::metrics::Count,
}

impl Watched {
    pub(super) fn new(body: Body, bare: bool, record: Record) -> Self {
        let sent = metrics::SENT.with([&record.seen.route]);
        Self { body, bare, record, sent }
    }

    fn gone(&mut self, bytes: usize) {
        if bytes > 0 && self.record.first.is_none() {
            self.record.first = Some(self.record.seen.began.elapsed());
        }
        self.record.bytes += bytes as u64;
        self.sent.increment(bytes as u64);
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.gone(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) => self.record.ended = Some(Ended::Cut),
            None => self.record.ended = Some(Ended::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whoever has all of it does not ask for its end.
        if self.bare || self.body.is_end_stream() {
            self.record.ended.get_or_insert(Ended::Complete);
        }
    }
}
