//! How smoothly the chat page shows a long answer: a real Chromium, the real
//! pipeline, and one answer with Markdown at a steady pace.
//!
//! Frames are counted by the page's own `requestAnimationFrame`. Which of them
//! belong to the first and the last tokens follows from the pace, and that the
//! page kept it is a part of what is printed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::model::Script;

use crate::report;
use crate::servers::{Kind, Model, Plan, Servers};

/// What the page is asked through: where a question goes, where its answer
/// comes, and what is there as long as it does.
const QUESTION: &str = "#question";
const ANSWER: &str = ".answer";
const STOP: &str = "#stop";

/// Tokens at either end that are looked at on their own.
const ENDS: u32 = 1_000;

/// How long the whole may take beyond what the pace says.
const LATE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(250);

/// What the answer repeats: everything that a model's Markdown usually has.
const MARKDOWN: &str = "\
## What a reader gets

Weir keeps every answer in a **log**, so that a reader who comes back gets *exactly* the rest, \
nothing twice and nothing left out. 它把每个回答都写进日志。

1. The gateway stores the question and says where to read.
2. A worker takes it, and writes down each piece as it comes:
   - text, in `events` of a few words,
   - what tools were called with, and what they gave back.
3. Readers follow, from any gateway.

| who | keeps | loses |
| --- | ---: | :---: |
| gateway | 0 bytes | nothing |
| broker | everything | nothing |

```rust
pub async fn follow(log: Arc<dyn Log>, from: Position) -> Result<Follow> {
    // A reader that reconnects gets exactly the rest.
    Follow::open(log, from).await
}
```

> Ask as often as you like: one key, one answer. See [the guide](https://example.org/guide).

";

/// Starts to count when the answer begins and ends when nothing is left to stop.
const WATCH: &str = "
const watched = { frames: [], tasks: [], began: null, ended: null };
globalThis.watched = watched;
new PerformanceObserver((list) => {
    for (const it of list.getEntries()) watched.tasks.push([it.startTime, it.duration]);
}).observe({ type: 'longtask' });
const stop = document.querySelector('STOP');
const answer = () => [...document.querySelectorAll('ANSWER')].at(-1)?.textContent;
let last = performance.now();
const frame = (now) => {
    if (watched.began === null && answer()) watched.began = now;
    if (watched.began !== null) {
        watched.frames.push([now, now - last]);
        if (stop.hidden) watched.ended = now;
    }
    last = now;
    if (watched.ended === null) requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
";

/// What is measured on the page.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Tokens of the answer
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2_000..))]
    tokens: u32,
    /// Milliseconds from one token to the next
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    every: u32,
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) tokens: u32,
    pub(crate) every: Duration,
    /// From the first text to the end, and what the pace says of it.
    pub(crate) took: Duration,
    pub(crate) schedule: Duration,
    pub(crate) spans: Vec<(String, Span)>,
    /// Bytes of the page's own memory, after a collection, at start and end.
    pub(crate) heap: [f64; 2],
    pub(crate) nodes: f64,
}

/// Frames and long tasks of one span, in ms.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) frames: Vec<f64>,
    pub(crate) tasks: Vec<f64>,
}

/// Measures, and prints.
pub(crate) async fn run(options: Options) -> Result<()> {
    let model = Model::start().await?;
    let plan = Plan { kind: Kind::Embedded, sessions: 1, workers: 1, threads: None };
    let servers = Servers::start(&model, plan).await?;
    let browser = Browser::start().await?;
    browser.open(servers.url()).await?;
    browser.wait_for(&format!("document.querySelector('{QUESTION}')")).await?;
    // The first answer loads and compiles what every answer needs.
    ask(&browser, &Options { tokens: 50, every: 1 }).await?;
    let start = memory(&browser).await?;
    let watched = ask(&browser, &options).await?;
    let end = memory(&browser).await?;
    let seen = read(&options, &watched, [start, end])?;
    browser.close().await?;
    report::page(&seen);
    Ok(())
}

/// Asks, and waits for the whole answer; what was watched.
async fn ask(browser: &Browser, options: &Options) -> Result<Value> {
    let script = Script {
        tokens: Some(usize::try_from(options.tokens)?),
        text: Some(MARKDOWN.to_owned()),
        every_ms: options.every.into(),
        delay_ms: 100,
        ..Script::default()
    };
    browser.run(&format!("document.querySelector('{QUESTION}').focus()")).await?;
    browser.type_text(&script.question()).await?;
    browser.press("Enter", 0).await?;
    browser.wait_for(&format!("!document.querySelector('{STOP}').hidden")).await?;
    browser.run(&WATCH.replace("STOP", STOP).replace("ANSWER", ANSWER)).await?;
    let ended = async {
        while browser.run("return watched.ended").await?.is_null() {
            tokio::time::sleep(LOOK).await;
        }
        browser.run("return watched").await
    };
    let most = options.schedule() + LATE;
    let watched = tokio::time::timeout(most, ended).await;
    watched.with_context(|| format!("the answer did not end within {} s", most.as_secs()))?
}

impl Options {
    fn schedule(&self) -> Duration {
        Duration::from_millis(self.every.into()) * self.tokens
    }
}

/// Bytes of the page's heap once what nobody needs is gone, and its nodes.
async fn memory(browser: &Browser) -> Result<[f64; 2]> {
    browser.devtools("HeapProfiler.collectGarbage", json!({})).await?;
    browser.devtools("Performance.enable", json!({})).await?;
    let metrics = browser.devtools("Performance.getMetrics", json!({})).await?;
    let metrics = metrics["metrics"].as_array().context("metrics are a list")?;
    let named = |name: &str| {
        let found = metrics.iter().find(|it| it["name"] == name);
        found.and_then(|it| it["value"].as_f64()).with_context(|| format!("no metric {name}"))
    };
    Ok([named("JSHeapUsedSize")?, named("Nodes")?])
}

fn read(options: &Options, watched: &Value, memory: [[f64; 2]; 2]) -> Result<Seen> {
    let moment = |name: &str| watched[name].as_f64().with_context(|| format!("no {name}"));
    let (began, ended) = (moment("began")?, moment("ended")?);
    let (frames, tasks) = (pairs(&watched["frames"])?, pairs(&watched["tasks"])?);
    ensure!(!frames.is_empty(), "no frame was seen");
    let every = Duration::from_millis(options.every.into());
    let width = f64::from(ENDS) * every.as_secs_f64() * 1000.0;
    let within = |from: f64, to: f64| {
        let of = |pairs: &[(f64, f64)]| {
            let inside = pairs.iter().filter(|(at, _)| (from..=to).contains(at));
            inside.map(|it| it.1).collect()
        };
        Span { frames: of(&frames), tasks: of(&tasks) }
    };
    let spans = vec![
        (format!("first {ENDS}"), within(began, began + width)),
        (format!("last {ENDS}"), within(ended - width, ended)),
        (format!("all {}", options.tokens), within(began, ended)),
    ];
    let took = Duration::from_secs_f64((ended - began) / 1000.0);
    let [[heap, _], [grown, nodes]] = memory;
    let schedule = options.schedule();
    Ok(Seen { tokens: options.tokens, every, took, schedule, spans, heap: [heap, grown], nodes })
}

/// Moments and lengths, in ms.
fn pairs(list: &Value) -> Result<Vec<(f64, f64)>> {
    let list = list.as_array().context("a list was kept")?;
    let pair = |it: &Value| Some((it[0].as_f64()?, it[1].as_f64()?));
    list.iter().map(|it| pair(it).context("a pair of numbers was kept")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_belong_to_the_tokens_of_their_time() {
        let options = Options { tokens: 10_000, every: 1 };
        let watched = json!({
            "began": 100.0, "ended": 10_100.0,
            "frames": [[100.0, 16.0], [1100.0, 17.0], [5000.0, 90.0], [9100.0, 18.0], [10_100.0, 19.0]],
            "tasks": [[4950.0, 60.0]],
        });
        let seen = read(&options, &watched, [[1.0, 2.0], [3.0, 4.0]]).unwrap();
        let frames: Vec<_> = seen.spans.iter().map(|it| it.1.frames.clone()).collect();
        assert_eq!(frames[..2], [vec![16.0, 17.0], vec![18.0, 19.0]]);
        assert_eq!((frames[2].len(), &seen.spans[2].1.tasks), (5, &vec![60.0]));
        assert!(seen.spans[0].1.tasks.is_empty());
        assert_eq!(seen.took, Duration::from_secs(10));
        assert!(read(&options, &json!({}), [[0.0; 2]; 2]).is_err());
    }
}
