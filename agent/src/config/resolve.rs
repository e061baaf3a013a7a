//! From what is written to what is meant: ranges, names, places, secrets. The
//! first thing that is wrong ends it, named by its key.

use process::amount::{Size, Time};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::File;
use super::secret::{self, Variables};
use super::{Config, Knowledge, Limits, Memory, Times, Tools};

mod provider;
mod server;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const KIB: usize = 1024;

/// The most bytes of instructions.
const MAX_SYSTEM: usize = 64 * KIB;
/// The most of anything that the file lists.
const MAX_LISTED: usize = 256;
/// The longest name of a model, with its provider, and of a tool.
const MAX_MODEL: usize = 160;
const MAX_TOOL: usize = 64;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The key's path: `providers.openai.base_url`.
    pub(super) key: String,
    /// What was wrong with it, and what is allowed.
    pub(super) said: String,
}

pub(super) type Found<T> = Result<T, Problem>;

pub(super) fn wrong<T>(key: impl Into<String>, said: impl Into<String>) -> Found<T> {
    Err(Problem { key: key.into(), said: said.into() })
}

/// What the words of the file refer to.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Relative paths start here.
    pub(super) folder: &'a Path,
    pub(super) variables: Variables<'a>,
}

impl Place<'_> {
    /// What the file means.
    pub(super) fn resolve(self, file: File) -> Found<Config> {
        let folders = named(&file.knowledge.folders, "knowledge.folders")?;
        let folders = folders.map(|(key, it)| self.path(&key, it)).collect::<Found<_>>()?;
        let rules = file.tools.rules.into_iter().map(|(pattern, said)| {
            is_pattern(&pattern)?;
            Ok((pattern, said.into()))
        });
        models(file.model.as_deref(), &file.fallback, file.memory.embeddings.as_deref())?;
        let expires = file.review.expires.0.map(|it| {
            time("review.expires", Time(it), MINUTE..=365 * DAY)
                .map_err(|it| Problem { said: format!("{}, or \"never\"", it.said), ..it })
        });
        Ok(Config {
            system: self.system(file.system, file.system_file)?,
            grace: time("grace", file.grace, Duration::ZERO..=HOUR)?,
            times: times(&file.times)?,
            limits: limits(&file.limits)?,
            providers: self.providers(file.providers)?,
            knowledge: Knowledge { folders },
            servers: self.servers(file.mcp)?,
            pins: file.pins.map(|it| self.path("pins", &it)).transpose()?,
            tools: Tools {
                otherwise: file.tools.otherwise.map(Into::into),
                rules: bounded(rules, "tools.rules")?.collect::<Found<_>>()?,
            },
            review_expires: expires.transpose()?,
            memory: Memory {
                budget: size("memory.budget", file.memory.budget, 0..=64 * KIB)?,
                embeddings: file.memory.embeddings,
            },
            model: file.model,
            fallback: file.fallback,
        })
    }

    fn system(self, text: Option<String>, file: Option<PathBuf>) -> Found<Option<String>> {
        let (key, text) = match (text, file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return wrong("system_file", "system is given as well; leave one out");
            }
            (Some(text), None) => ("system", text),
            (None, Some(file)) => {
                let file = self.path("system_file", &file)?;
                let text = secret::text(&file, MAX_SYSTEM as u64);
                ("system_file", text.or_else(|said| wrong("system_file", said))?)
            }
        };
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_SYSTEM {
            return wrong(key, format!("must have 1 byte to {} KiB of text", MAX_SYSTEM / KIB));
        }
        Ok(Some(text.to_owned()))
    }

    /// A path of the file's, which may start at the file's folder.
    pub(super) fn path(self, key: &str, path: &Path) -> Found<PathBuf> {
        match path.to_str() {
            Some("") => wrong(key, "must be a path, and is empty"),
            Some(path) if path.starts_with('~') => {
                wrong(key, "starts with ~, which nobody expands here; write the path out")
            }
            _ => Ok(self.folder.join(path)),
        }
    }
}

fn times(times: &super::file::Times) -> Found<Times> {
    Ok(Times {
        first_token: time("times.first_token", times.first_token, 100 * MILLISECOND..=HOUR)?,
        between_tokens: time(
            "times.between_tokens",
            times.between_tokens,
            100 * MILLISECOND..=HOUR,
        )?,
        turn: time("times.turn", times.turn, SECOND..=DAY)?,
        retries: number("times.retries", times.retries, 0..=10)?,
        retry_pause: time("times.retry_pause", times.retry_pause, 10 * MILLISECOND..=MINUTE)?,
    })
}

fn limits(limits: &super::file::Limits) -> Found<Limits> {
    Ok(Limits {
        steps: number("limits.steps", limits.steps, 1..=1_000)?,
        tokens: number("limits.tokens", limits.tokens, 1_000..=1_000_000_000)?,
        calls: number("limits.calls", limits.calls, 1..=128)?,
        parallel: number("limits.parallel", limits.parallel, 1..=64)?,
        output: size("limits.output", limits.output, KIB..=128 * KIB)?,
    })
}

/// The shape of every name of a model.
fn models(model: Option<&str>, fallback: &[String], embeddings: Option<&str>) -> Found<()> {
    let named = named(fallback, "fallback")?.map(|(key, it)| (key, it.as_str(), true));
    let model = model.into_iter().map(|it| ("model".to_owned(), it, true));
    let embeddings = embeddings.into_iter().map(|it| ("memory.embeddings".to_owned(), it, false));
    for (key, name, answers) in model.chain(named).chain(embeddings) {
        let own = answers && name == crate::extractive::EXTRACTIVE;
        let provided = name
            .split_once('/')
            .is_some_and(|(provider, model)| is_name("", provider).is_ok() && is_model_name(model));
        if !own && (!provided || name.len() > MAX_MODEL) {
            let own = if answers { "`extractive` or " } else { "" };
            return wrong(key, format!("must be {own}`provider/name`, not `{name}`"));
        }
    }
    Ok(())
}

pub(super) fn url(key: impl Into<String>, url: String) -> Found<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|it| it.split(['/', '?', '#']).next().unwrap_or_default());
    let plain = url.chars().all(|it| it.is_ascii_graphic()) && url.len() <= 2 * KIB;
    match host {
        Some(host) if host.contains('@') => {
            wrong(key, "must hold no name and password; keys have places of their own")
        }
        Some(host) if plain && !host.is_empty() => Ok(url),
        Some(_) | None => wrong(key, "must be an http or https URL"),
    }
}

/// The name of a provider or of a server.
pub(super) fn is_name(key: &str, name: &str) -> Found<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let outer = !name.starts_with('-') && !name.ends_with('-');
    if (1..=32).contains(&name.len()) && name.chars().all(plain) && outer {
        return Ok(());
    }
    let said = "its name must have 1 to 32 characters: lowercase letters, digits and, between \
                them, -";
    wrong(key, said)
}

fn is_model_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.len() <= 128 && name.chars().all(plain)
}

pub(super) fn is_tool_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.chars().all(|it| it.is_ascii_graphic())
}

fn is_pattern(pattern: &str) -> Found<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-*".contains(c);
    if (1..=MAX_TOOL).contains(&pattern.len()) && pattern.chars().all(plain) {
        return Ok(());
    }
    let said = "a rule must have 1 to 64 characters: letters, digits, _, - and *, which stands \
                for any letters";
    wrong(format!("tools.rules.{pattern}"), said)
}

/// A list of different names.
pub(super) fn names(key: &str, names: Vec<String>, fits: fn(&str) -> bool) -> Found<Vec<String>> {
    for (at, (key, name)) in named(&names, key)?.enumerate() {
        if !fits(name) {
            return wrong(key, "is no name: 1 to 128 visible characters");
        }
        if names[..at].contains(name) {
            return wrong(key, format!("`{name}` is there twice"));
        }
    }
    Ok(names)
}

/// The members of a list, each with its key.
pub(super) fn named<'a, T>(
    list: &'a [T],
    key: &str,
) -> Found<impl Iterator<Item = (String, &'a T)> + use<'a, T>> {
    let key = key.to_owned();
    let list = bounded(list.iter(), &key)?;
    Ok(list.enumerate().map(move |(at, it)| (format!("{key}[{at}]"), it)))
}

pub(super) fn bounded<I: ExactSizeIterator>(list: I, key: &str) -> Found<I> {
    match list.len() {
        0..=MAX_LISTED => Ok(list),
        many => wrong(key, format!("must be at most {MAX_LISTED}, not {many}")),
    }
}

fn number<T: TryFrom<i64>>(
    key: impl Into<String>,
    value: i64,
    range: RangeInclusive<i64>,
) -> Found<T> {
    let fits = within(key, value, &range)?;
    T::try_from(fits).or_else(|_too_large| wrong("", "is too large for this machine"))
}

pub(super) fn time(
    key: impl Into<String>,
    value: Time,
    range: RangeInclusive<Duration>,
) -> Found<Duration> {
    let (least, most) = range.into_inner();
    within(key, value, &(Time(least)..=Time(most))).map(|it| it.0)
}

fn size(key: &str, value: Size, range: RangeInclusive<usize>) -> Found<usize> {
    let (least, most) = range.into_inner();
    within(key, value, &(Size(least)..=Size(most))).map(|it| it.0)
}

fn within<T: PartialOrd + fmt::Display>(
    key: impl Into<String>,
    value: T,
    range: &RangeInclusive<T>,
) -> Found<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    wrong(key, format!("must be {} to {}, not {value}", range.start(), range.end()))
}
