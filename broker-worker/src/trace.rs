//! What a worker adds to a turn's trace: the attempt at it, and the calls it
//! makes for that. Names the turn, never its user, its session or its words.

use std::time::Duration;

use broker::Delivery;
use process::trace::{Context, begin, follow, of};
use proto::Job;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::attempt::Settlement;

/// The hop of an attempt: what follows the one that put the job into the queue.
pub(crate) fn attempt(delivery: &Delivery) -> Span {
    let job = &delivery.job;
    let waited = waited(job, process::clock::now());
    let span = info_span!(
        "process jobs",
        otel.kind = "consumer",
        otel.status_code = Empty,
        weir.turn_id = %delivery.turn,
        weir.attempt = delivery.attempt,
        weir.queue_wait_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        weir.settlement = Empty,
        messaging.system = "weir",
        messaging.operation.name = "process",
        "messaging.operation.type" = "process",
        messaging.destination.name = "jobs",
    );
    follow(span, Context::parse(&job.traceparent, &job.tracestate))
}

/// How long ago a job was submitted.
pub(crate) fn waited(job: &Job, now: Duration) -> Duration {
    let Some(submitted) = &job.submitted else { return Duration::ZERO };
    let seconds = submitted.seconds.try_into().unwrap_or_default();
    let nanos = submitted.nanos.try_into().unwrap_or_default();
    now.saturating_sub(Duration::new(seconds, nanos))
}

/// What became of the attempt under way.
pub(crate) fn settled(settled: &broker::Result<Settlement>) {
    let span = Span::current();
    let settlement = match settled {
        Ok(Settlement::Done) => "done",
        Ok(Settlement::Silence) => "left",
        Ok(Settlement::Later(_)) => "later",
        Err(_) => {
            span.record("otel.status_code", "ERROR");
            "broken_off"
        }
    };
    span.record("weir.settlement", settlement);
}

/// The hop of a call to an agent, by its method.
pub(crate) fn call(method: &'static str) -> Span {
    begin(info_span!(
        "call",
        otel.name = format_args!("weir.v1.KnowledgeAgent/{method}"),
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = "weir.v1.KnowledgeAgent",
        rpc.method = method,
        rpc.grpc.status_code = Empty,
    ))
}

/// A message of a call, with where that stands.
pub(crate) fn carrying<T>(span: &Span, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(context) = of(span) {
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        context.write(&mut headers);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
    }
    request
}

/// How a call has ended. What the agent says is left out.
pub(crate) fn ended(span: &Span, status: Option<&Status>) {
    let code = status.map_or(Code::Ok, Status::code);
    span.record("rpc.grpc.status_code", i32::from(code));
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_submitted_later_than_now_has_not_waited() {
        let at = |seconds| Job {
            submitted: Some(proto::timestamp(Duration::from_secs(seconds))),
            ..Job::default()
        };
        let now = Duration::from_secs(100);
        for (job, expected) in [(at(90), 10), (at(110), 0), (Job::default(), 0)] {
            assert_eq!(waited(&job, now), Duration::from_secs(expected));
        }
    }

    #[test]
    fn a_call_outside_of_any_trace_carries_nothing() {
        let request = carrying(&call("Ask"), ());
        assert!(request.metadata().is_empty());
    }
}
