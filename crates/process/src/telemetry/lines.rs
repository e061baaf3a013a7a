//! A log line: text for people, or one JSON object. Within a turn it carries
//! the turn's id, and the trace's where there is one.
//!
//! Whatever a value holds, it stays on its line and reaches no terminal as a
//! command.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, Layer, MakeWriter};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::trace::{about, is_hop};

/// The names of what lines within a turn carry.
const TURN: &str = "turn.id";
const TRACE: &str = "trace.id";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }
}

/// The log of a process.
pub(super) fn layer<S, W>(
    format: Format,
    writer: W,
    ansi: bool,
) -> Layer<S, DefaultFields, Format, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    Layer::default().event_format(format).with_writer(writer).with_ansi(ansi)
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        within: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let known = within.lookup_current().map(|it| about(&it)).unwrap_or_default();
        let named = event.metadata().fields();
        let within_turn = [(TURN, known.0), (TRACE, known.1)];
        let about: Vec<_> = within_turn
            .into_iter()
            .filter(|(name, _)| named.field(name).is_none())
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        match self {
            Self::Text => {
                let mut fields = String::new();
                within.format_fields(Writer::new(&mut fields), event)?;
                text(writer, event.metadata(), (&time, &fields), &about)
            }
            Self::Json => json(writer, event, time, about),
        }
    }
}

fn text(
    mut writer: Writer<'_>,
    meta: &Metadata<'_>,
    (time, fields): (&str, &str),
    about: &[(&str, String)],
) -> fmt::Result {
    let (colour, plain) = match *meta.level() {
        _ if !writer.has_ansi_escapes() => ("", ""),
        Level::ERROR => ("\x1b[31m", "\x1b[0m"),
        Level::WARN => ("\x1b[33m", "\x1b[0m"),
        Level::INFO => ("\x1b[32m", "\x1b[0m"),
        _ => ("\x1b[2m", "\x1b[0m"),
    };
    let (level, target) = (meta.level().as_str(), meta.target());
    write!(writer, "{time} {colour}{level:>5}{plain} {target}: ")?;
    escape(&mut writer, fields)?;
    for (name, value) in about {
        write!(writer, " {name}=")?;
        escape(&mut writer, value)?;
    }
    writeln!(writer)
}

/// Writes a text without anything that ends a line or commands a terminal, and
/// in a form that JSON has, too.
fn escape(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let breaks = |it: char| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}');
    for it in text.chars() {
        match it {
            '\n' => writer.write_str("\\n")?,
            it if breaks(it) => write!(writer, "\\u{:04x}", u32::from(it))?,
            it => writer.write_char(it)?,
        }
    }
    Ok(())
}

fn json(
    mut writer: Writer<'_>,
    event: &Event<'_>,
    time: String,
    about: Vec<(&str, String)>,
) -> fmt::Result {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), time.into());
    line.insert("level".to_owned(), event.metadata().level().as_str().into());
    line.insert("target".to_owned(), event.metadata().target().into());
    line.insert("message".to_owned(), fields.0.remove("message").unwrap_or_default());
    for name in [TURN, TRACE] {
        line.extend(fields.0.remove(name).map(|it| (name.to_owned(), it)));
    }
    line.extend(about.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
    if !fields.0.is_empty() {
        line.insert("fields".to_owned(), fields.0.into());
    }
    escape(&mut writer, &Value::from(line).to_string())?;
    writeln!(writer)
}

/// The fields of an event as JSON.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// What is logged: what the filter lets through, and hops always, because lines
/// within them carry their ids.
#[derive(Debug)]
pub(super) struct Lines(pub(super) EnvFilter);

impl<S> Filter<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn enabled(&self, meta: &Metadata<'_>, at: &Context<'_, S>) -> bool {
        is_hop(meta) || Filter::<S>::enabled(&self.0, meta, at)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        // Asked also for hops: the filter may look at their fields.
        let interest = Filter::<S>::callsite_enabled(&self.0, meta);
        if is_hop(meta) { Interest::always() } else { interest }
    }

    fn event_enabled(&self, event: &Event<'_>, at: &Context<'_, S>) -> bool {
        Filter::<S>::event_enabled(&self.0, event, at)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&self.0).map(|it| it.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, at: Context<'_, S>) {
        Filter::<S>::on_new_span(&self.0, attributes, id, at);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, at: Context<'_, S>) {
        Filter::<S>::on_record(&self.0, id, values, at);
    }

    fn on_enter(&self, id: &Id, at: Context<'_, S>) {
        Filter::<S>::on_enter(&self.0, id, at);
    }

    fn on_exit(&self, id: &Id, at: Context<'_, S>) {
        Filter::<S>::on_exit(&self.0, id, at);
    }

    fn on_close(&self, id: Id, at: Context<'_, S>) {
        Filter::<S>::on_close(&self.0, id, at);
    }
}

#[cfg(test)]
mod tests;
