//! A trace as a waterfall: a row a span, below its parent, as long as it took.
//! Pure, and readable on light and dark pages without any font of its own.
//!
//! Refuses a trace without spans or without a beginning.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::collector::Span;

const WIDTH: f64 = 1040.0;
const ROW: f64 = 28.0;
const TOP: f64 = 92.0;
/// Where names begin and end, and where bars do.
const NAMES: f64 = 24.0;
const BARS: (f64, f64) = (390.0, 936.0);
const INDENT: f64 = 13.0;
/// Room for the text behind a bar.
const LABEL: f64 = 190.0;

/// The services in the order of the hops, and their colours on light and dark.
const SERVICES: [(&str, &str, &str); 3] = [
    ("weir-gateway", "#2563eb", "#6ea8ff"),
    ("weir-worker", "#b45309", "#f0a35b"),
    ("weir-agent", "#047857", "#43c79a"),
];

const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,sans-serif;font-size:13px;fill:#1f2937}\
.title{font-size:16px;font-weight:600}.quiet{fill:#5b6472;font-size:12px}\
.page{fill:#ffffff;stroke:#d6dae1}.line{stroke:#e5e8ee}.odd{fill:#f6f7f9}";
const DARK: &str = "\
text{fill:#e6e8ec}.quiet{fill:#a3abb8}.page{fill:#14171c;stroke:#343a44}\
.line{stroke:#2a2f38}.odd{fill:#1b1f26}";

/// Draws the spans of one trace.
pub(crate) fn draw(spans: &[Span]) -> Result<String> {
    let rows = rows(spans);
    let began = spans.iter().map(|it| it.began).min().context("a trace without spans")?;
    let ended = spans.iter().map(|it| it.ended).max().unwrap_or(began);
    let whole = ended.saturating_sub(began).max(Duration::from_millis(1));
    let scale = Scale { began, whole, step: step(whole) };
    let height = TOP + ROW * count(rows.len()) + 44.0;
    let mut svg = String::new();
    head(&mut svg, height, &title(&rows, whole))?;
    axis(&mut svg, scale, height)?;
    for (at, (depth, span)) in rows.iter().enumerate() {
        row(&mut svg, scale, TOP + ROW * count(at), (*depth, span))?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// How time becomes place.
#[derive(Debug, Clone, Copy)]
struct Scale {
    began: Duration,
    whole: Duration,
    /// Milliseconds between two marks.
    step: u64,
}

impl Scale {
    fn place(self, after: Duration) -> f64 {
        let part = after.as_secs_f64() / self.whole.as_secs_f64();
        BARS.0 + part * (BARS.1 - BARS.0)
    }
}

/// Every span below its parent, in the order of their beginnings, with its
/// depth. Those whose parent is not there come first.
fn rows(spans: &[Span]) -> Vec<(usize, &Span)> {
    let mut order: Vec<_> = spans.iter().collect();
    order.sort_by_key(|it| it.began);
    let known = |id: &str| spans.iter().any(|it| it.id == id);
    let mut open: Vec<_> =
        order.iter().filter(|it| !known(&it.parent)).map(|it| (0, *it)).collect();
    open.reverse();
    let mut rows = Vec::new();
    while let Some((depth, span)) = open.pop() {
        rows.push((depth, span));
        let below = order.iter().rev().filter(|it| it.parent == span.id);
        open.extend(below.map(|it| (depth + 1, *it)));
    }
    rows
}

/// A round number of milliseconds, so that there are four to ten marks.
fn step(whole: Duration) -> u64 {
    let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    let steps = (0..9).flat_map(|power| [1, 2, 5].map(|it| it * 10_u64.pow(power)));
    steps.into_iter().find(|it| millis / it <= 10).unwrap_or(millis)
}

fn title(rows: &[(usize, &Span)], whole: Duration) -> String {
    let of = |name: &str| rows.iter().any(|it| it.1.service == name);
    let services = SERVICES.iter().filter(|it| of(it.0)).count();
    format!("One turn: {} spans of {services} services in {}", rows.len(), millis(whole))
}

fn head(svg: &mut String, height: f64, title: &str) -> Result<()> {
    write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\"><title>{title}</title><style>{STYLE}"
    )?;
    for (name, light, _) in SERVICES {
        write!(svg, ".{name}{{fill:{light}}}")?;
    }
    write!(svg, "@media (prefers-color-scheme:dark){{{DARK}")?;
    for (name, _, dark) in SERVICES {
        write!(svg, ".{name}{{fill:{dark}}}")?;
    }
    let (width, inner) = (WIDTH - 1.0, height - 1.0);
    writeln!(
        svg,
        "}}</style>\n<rect class=\"page\" x=\"0.5\" y=\"0.5\" rx=\"8\" width=\"{width}\" height=\"{inner}\"/>"
    )?;
    writeln!(svg, "<text class=\"title\" x=\"{NAMES}\" y=\"36\">{title}</text>")?;
    for (at, (name, _, _)) in SERVICES.iter().enumerate() {
        let x = BARS.1 - 260.0 + 122.0 * count(at);
        writeln!(
            svg,
            "<rect class=\"{name}\" x=\"{x}\" y=\"25\" width=\"12\" height=\"12\" rx=\"3\"/>"
        )?;
        writeln!(svg, "<text x=\"{}\" y=\"36\">{name}</text>", x + 18.0)?;
    }
    Ok(())
}

fn axis(svg: &mut String, scale: Scale, height: f64) -> Result<()> {
    let mut at = 0;
    while u128::from(at) <= scale.whole.as_millis() {
        let x = scale.place(Duration::from_millis(at));
        let (from, to) = (TOP - 12.0, height - 36.0);
        writeln!(svg, "<path class=\"line\" d=\"M{x:.1} {from}V{to}\"/>")?;
        let y = TOP - 20.0;
        writeln!(
            svg,
            "<text class=\"quiet\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at} ms</text>"
        )?;
        at += scale.step;
    }
    let y = height - 16.0;
    let words = "A span is drawn where and as long as it was; names are OpenTelemetry's.";
    writeln!(svg, "<text class=\"quiet\" x=\"{NAMES}\" y=\"{y}\">{words}</text>")?;
    Ok(())
}

fn row(svg: &mut String, scale: Scale, y: f64, (depth, span): (usize, &Span)) -> Result<()> {
    let (from, to) = (
        scale.place(span.began.saturating_sub(scale.began)),
        scale.place(span.ended.saturating_sub(scale.began)),
    );
    let (x, text) = (NAMES + INDENT * count(depth), y + 18.0);
    let (name, service) = (plain(&span.name), plain(&span.service));
    writeln!(
        svg,
        "<text x=\"{x}\" y=\"{text}\">{name}<tspan class=\"quiet\"> · {}</tspan></text>",
        span.kind
    )?;
    let (width, bar) = ((to - from).max(2.5), y + 7.0);
    writeln!(
        svg,
        "<rect class=\"{service}\" x=\"{from:.1}\" y=\"{bar}\" width=\"{width:.1}\" height=\"14\" rx=\"3\"/>"
    )?;
    let label = plain(&label(span));
    let room = WIDTH - (from + width) > LABEL;
    let (x, anchor) = if room { (from + width + 7.0, "start") } else { (from - 7.0, "end") };
    if room || from - BARS.0 > LABEL {
        writeln!(
            svg,
            "<text class=\"quiet\" x=\"{x:.1}\" y=\"{text}\" text-anchor=\"{anchor}\">{label}</text>"
        )?;
    } else {
        let x = WIDTH - 14.0;
        let short = millis(span.took());
        writeln!(
            svg,
            "<text class=\"quiet\" x=\"{x}\" y=\"{text}\" text-anchor=\"end\">{short}</text>"
        )?;
    }
    Ok(())
}

/// How long a span took, and what is worth saying of it.
fn label(span: &Span) -> String {
    let took = millis(span.took());
    let said = |name: &str| Some(span.attribute(name)).filter(|it| !it.is_empty());
    let more = said("weir.queue_wait_ms").map(|it| format!("waited {it} ms"));
    let more = more.or_else(|| said("gen_ai.usage.output_tokens").map(|it| format!("{it} tokens")));
    more.map_or_else(|| took.clone(), |more| format!("{took} · {more}"))
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[expect(clippy::cast_precision_loss, reason = "rows of a picture")]
fn count(of: usize) -> f64 {
    of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, began: u64) -> Span {
        Span {
            service: "weir-gateway".to_owned(),
            name: format!("<{id}>"),
            kind: "internal",
            trace: "t".to_owned(),
            id: id.to_owned(),
            parent: parent.to_owned(),
            began: Duration::from_millis(began),
            ended: Duration::from_millis(began + 5),
            failed: false,
            attributes: std::collections::BTreeMap::new(),
            whole: String::new(),
        }
    }

    #[test]
    fn spans_stand_below_their_parents_in_the_order_of_their_beginnings() {
        let spans =
            [span("c", "a", 9), span("b", "a", 3), span("d", "b", 4), span("a", "elsewhere", 1)];
        let rows: Vec<_> = rows(&spans).into_iter().map(|(depth, it)| (depth, &*it.id)).collect();
        assert_eq!(rows, [(0, "a"), (1, "b"), (2, "d"), (1, "c")]);
    }

    #[test]
    fn marks_are_round_and_few() {
        for (millis, expected) in [(8, 1), (84, 10), (730, 100), (1_200, 200), (60_000, 10_000)] {
            assert_eq!(step(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_name_is_no_markup_and_no_trace_is_an_error() {
        let drawn = draw(&[span("a", "", 0)]).unwrap();
        assert!(drawn.contains("&lt;a&gt;") && !drawn.contains("<a>"), "{drawn}");
        assert!(draw(&[]).is_err());
    }
}
