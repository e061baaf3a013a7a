//! Where the work under way stands in a trace, and what carries that from one
//! process to the next, whether traces are exported or not.
//!
//! A hop is a span that declares `otel.kind`: only hops are exported, and no
//! log lines with them. Where nothing is exported, what came in is what goes
//! out: a hop then stands where its caller said it stands.

mod context;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

pub use context::Context;

/// The field that makes a span a hop.
const MARK: &str = "otel.kind";
/// The field of a hop that names its turn.
const TURN: &str = "weir.turn_id";
/// The longest name of a turn that log lines carry, in bytes.
const MAX_TURN: usize = 64;

/// Begins a hop as a part of what is under way. A span becomes a hop by the
/// field `otel.kind`; its lines in the log carry its field `weir.turn_id`, which
/// may be recorded later.
#[must_use]
pub fn begin(span: Span) -> Span {
    begun(span, None)
}

/// Begins a hop as a part of what a caller has under way; without a caller, as
/// [`begin`] does.
#[must_use]
pub fn follow(span: Span, caller: Option<Context>) -> Span {
    begun(span, caller)
}

/// Where the hop under way stands: the parent of whatever it asks others for.
pub fn current() -> Option<Context> {
    of(&Span::current())
}

/// Where a hop stands.
pub fn of(span: &Span) -> Option<Context> {
    registered(span, |it| nearest(&it, |hop| hop.context.clone()))
}

/// Names the turn of the hop under way, if it has a place for that.
pub fn turn(turn: &str) {
    Span::current().record(TURN, turn);
}

/// A hop that lasts as long as this: one whose end is not that of the work that
/// was done for it last, such as a stream that is read by others.
#[derive(Debug)]
pub struct Lasting(Span);

impl Lasting {
    /// Keeps a hop open.
    pub fn new(span: Span) -> Self {
        Self(span)
    }

    /// The hop.
    pub fn span(&self) -> &Span {
        &self.0
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        // A span ends where it was left last.
        self.0.in_scope(|| ());
    }
}

fn begun(span: Span, caller: Option<Context>) -> Span {
    let exported = caller.as_ref().and_then(remote);
    if let Some(remote) = exported {
        let parent = opentelemetry::Context::new().with_remote_span_context(remote);
        // Refused where nothing is exported, which is no error.
        drop(span.set_parent(parent));
    }
    let own = local(&span).or(caller);
    registered(&span, |it| {
        if let Some(hop) = it.extensions_mut().get_mut::<Hop>() {
            hop.context = own;
        }
        Some(())
    });
    span
}

/// A caller's place as the exporter takes it.
fn remote(context: &Context) -> Option<SpanContext> {
    let trace = TraceId::from_hex(context.trace_id()).ok()?;
    let span = SpanId::from_hex(context.span_id()).ok()?;
    let state = context.tracestate().parse::<TraceState>().unwrap_or_default();
    Some(SpanContext::new(trace, span, TraceFlags::new(context.flags()), true, state))
}

/// A span's own place, where spans are exported.
fn local(span: &Span) -> Option<Context> {
    let context = span.context();
    let span = context.span();
    let own = span.span_context();
    if !own.is_valid() {
        return None;
    }
    let (trace, id, flags) = (own.trace_id(), own.span_id(), own.trace_flags().to_u8());
    Context::parse(&format!("00-{trace}-{id}-{flags:02x}"), &own.trace_state().header())
}

fn registered<T>(span: &Span, read: impl FnOnce(SpanRef<'_, Registry>) -> Option<T>) -> Option<T> {
    let found = span.with_subscriber(|(id, subscriber)| {
        let registry = subscriber.downcast_ref::<Registry>()?;
        read(registry.span(id)?)
    });
    found.flatten()
}

/// What the innermost hop knows that knows it.
fn nearest<'a, S: LookupSpan<'a>, T>(
    span: &SpanRef<'a, S>,
    read: impl Fn(&Hop) -> Option<T>,
) -> Option<T> {
    span.scope().find_map(|it| read(it.extensions().get::<Hop>()?))
}

/// The turn and the trace that a span is a part of, for log lines.
pub(crate) fn about<'a, S: LookupSpan<'a>>(
    span: &SpanRef<'a, S>,
) -> (Option<String>, Option<String>) {
    let turn = nearest(span, |hop| hop.turn.clone());
    let trace = nearest(span, |hop| Some(hop.context.as_ref()?.trace_id().to_owned()));
    (turn, trace)
}

/// Whether spans of this kind are hops.
pub(crate) fn is_hop(meta: &Metadata<'_>) -> bool {
    meta.is_span() && meta.fields().field(MARK).is_some()
}

/// What is kept with each hop.
#[derive(Debug, Default)]
struct Hop {
    context: Option<Context>,
    turn: Option<String>,
}

impl Visit for Hop {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == TURN {
            self.turn = Some(value.chars().take(MAX_TURN).collect());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == TURN {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// Keeps with each hop where it stands and what it is about.
#[derive(Debug)]
pub(crate) struct Hops;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Hops {
    fn on_new_span(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        at: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if let Some(span) = at.span(id) {
            let mut hop = Hop::default();
            attributes.record(&mut hop);
            span.extensions_mut().insert(hop);
        }
    }

    fn on_record(
        &self,
        id: &Id,
        values: &Record<'_>,
        at: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if let Some(span) = at.span(id)
            && let Some(hop) = span.extensions_mut().get_mut::<Hop>()
        {
            values.record(hop);
        }
    }
}

#[cfg(test)]
mod tests;
