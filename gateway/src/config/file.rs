//! Reads the edge's configuration file, and writes what is used as one. Refuses
//! keys that it does not know and values past their bounds, by name and line.

use std::fmt::{Display, Write as _};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use process::amount::{Size, Time};
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Config;
use super::keys::{Listed, Walk, walk};

/// The longest file, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Why a configuration file cannot be used: one line that names the file, the
/// line in it or the key, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {said}")]
pub struct Error {
    file: String,
    said: String,
}

impl Config {
    /// The configuration that a file describes; what it does not say is the
    /// default. docs/limits.md has every key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |said: String| Error { file: path.display().to_string(), said };
        let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if length > MAX_BYTES {
            return Err(wrong(format!("has {length} bytes and may have {MAX_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// The configuration that a text describes, or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed: Result<Table, _> = toml::from_str(text);
        let table = parsed.map_err(|error| {
            let line = error.span().map_or(1, |it| line(text, it.start));
            format!("line {line}: {}", error.message())
        })?;
        let mut reader = Reader { table, section: "", wrong: None };
        let mut config = Self::default();
        walk(&mut config, &mut reader);
        match reader.wrong() {
            None => Ok(config),
            Some((key, said)) => Err(format!("line {}: {key}: {said}", place(text, &key))),
        }
    }

    /// All of it, as a configuration file would say it.
    pub fn shown(&self) -> String {
        let mut writer = Writer::default();
        walk(&mut self.clone(), &mut writer);
        writer.0
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|it| *it == b'\n').count() + 1
}

/// The line that a key, as `section.name`, stands in.
fn place(text: &str, key: &str) -> usize {
    let Ok(root) = DeTable::parse(text) else { return 1 };
    let mut at = 0;
    let mut table: Option<&DeTable<'_>> = Some(root.get_ref());
    for name in key.split('.') {
        let Some((spanned, value)) = table.and_then(|it| it.get_key_value(name)) else { break };
        at = Spanned::span(spanned).start;
        table = if let DeValue::Table(inner) = value.get_ref() { Some(inner) } else { None };
    }
    line(text, at)
}

/// Takes what it reads out of the file, so that what is left is not known.
struct Reader {
    table: Table,
    section: &'static str,
    /// The first key that is wrong, and why.
    wrong: Option<(String, String)>,
}

impl Reader {
    fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let section = self.table.get_mut(self.section)?;
        let Value::Table(section) = section else {
            let name = self.section.to_owned();
            self.wrong.get_or_insert((name, "must be a section".to_owned()));
            return None;
        };
        match section.remove(key)?.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(key, error.message());
                None
            }
        }
    }

    fn refuse(&mut self, key: &str, said: impl Display) {
        let name = format!("{}.{key}", self.section);
        self.wrong.get_or_insert((name, said.to_string()));
    }

    fn within<T: PartialOrd + Copy>(
        &mut self,
        key: &'static str,
        found: T,
        range: &RangeInclusive<T>,
        shown: impl Fn(T) -> String,
    ) -> bool {
        if range.contains(&found) {
            return true;
        }
        let (least, most) = (shown(*range.start()), shown(*range.end()));
        self.refuse(key, format!("must be {least} to {most}, not {}", shown(found)));
        false
    }

    /// What is wrong, or not known.
    fn wrong(self) -> Option<(String, String)> {
        let unknown = |key: String| Some((key, "is not known".to_owned()));
        self.wrong.or_else(|| {
            self.table.into_iter().find_map(|(section, left)| {
                let Value::Table(left) = left else { return unknown(section) };
                match left.into_iter().next() {
                    Some((key, _)) => unknown(format!("{section}.{key}")),
                    None if SECTIONS.contains(&section.as_str()) => None,
                    None => unknown(section),
                }
            })
        })
    }
}

const SECTIONS: [&str; 5] = ["network", "connections", "requests", "users", "streams"];

impl Walk for Reader {
    fn section(&mut self, name: &'static str) {
        self.section = name;
    }

    fn number(&mut self, key: &'static str, value: &mut usize, range: RangeInclusive<usize>) {
        let Some(found) = self.take(key) else { return };
        if self.within(key, found, &range, |it| it.to_string()) {
            *value = found;
        }
    }

    fn rate(&mut self, key: &'static str, value: &mut NonZeroU32) {
        if let Some(found) = self.take(key) {
            *value = found;
        }
    }

    fn size(&mut self, key: &'static str, value: &mut Size, range: RangeInclusive<usize>) {
        let Some(found) = self.take::<Size>(key) else { return };
        if self.within(key, found.0, &range, |it| Size(it).to_string()) {
            *value = found;
        }
    }

    fn time(&mut self, key: &'static str, value: &mut Time, range: RangeInclusive<Duration>) {
        let Some(found) = self.take::<Time>(key) else { return };
        if self.within(key, found.0, &range, |it| Time(it).to_string()) {
            *value = found;
        }
    }

    fn list<T: Listed>(&mut self, key: &'static str, value: &mut Vec<T>) {
        let Some(found) = self.take::<Vec<String>>(key) else { return };
        match found.iter().map(|it| T::read(it).ok_or(it)).collect() {
            Ok(read) => *value = read,
            Err(text) => self.refuse(key, format!("{text:?} is not {}", T::KIND)),
        }
    }
}

/// Writes every key with its value.
#[derive(Default)]
struct Writer(String);

impl Writer {
    fn write(&mut self, key: &str, value: impl Display) {
        let _infallible = writeln!(self.0, "{key} = {value}");
    }
}

impl Walk for Writer {
    fn section(&mut self, name: &'static str) {
        let apart = if self.0.is_empty() { "" } else { "\n" };
        let _infallible = writeln!(self.0, "{apart}[{name}]");
    }

    fn number(&mut self, key: &'static str, value: &mut usize, _: RangeInclusive<usize>) {
        self.write(key, value);
    }

    fn rate(&mut self, key: &'static str, value: &mut NonZeroU32) {
        self.write(key, value);
    }

    fn size(&mut self, key: &'static str, value: &mut Size, _: RangeInclusive<usize>) {
        self.write(key, format_args!("\"{value}\""));
    }

    fn time(&mut self, key: &'static str, value: &mut Time, _: RangeInclusive<Duration>) {
        self.write(key, format_args!("\"{value}\""));
    }

    fn list<T: Listed>(&mut self, key: &'static str, value: &mut Vec<T>) {
        let texts: Vec<_> = value.iter().map(Listed::written).collect();
        self.write(key, format_args!("{texts:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_and_names_every_section() {
        let config = Config {
            hosts: vec!["chat.example.org".parse().unwrap()],
            origins: vec!["https://app.example.org".parse().unwrap()],
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Config::default()
        };
        let shown = config.shown();
        assert_eq!(Config::parse(&shown).unwrap().shown(), shown);
        for section in SECTIONS {
            assert!(shown.contains(&format!("[{section}]\n")), "{section}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_is_allowed() {
        for (text, expected) in [
            ("[users]\n\nturns = 0", "line 3: users.turns: "),
            ("[users]\nturn = 1", "line 2: users.turn: is not known"),
            ("[user]\nturns = 1", "line 2: user.turns: is not known"),
            ("[user]", "line 1: user: is not known"),
            ("turns = 1", "line 1: turns: is not known"),
            ("users = 1", "line 1: users: must be a section"),
            ("[requests]\nbody = \"1B\"", "line 2: requests.body: must be 16KiB to 16MiB, not 1B"),
            ("[requests]\nbody = 5", "line 2: requests.body: "),
            (
                "[connections]\nhead_timeout = \"2h\"",
                "line 2: connections.head_timeout: must be 10ms to 1m, not 2h",
            ),
            ("[network]\nproxies = [\"x\"]", "line 2: network.proxies: \"x\" is not a network"),
            (
                "[network]\norigins = [\"*\"]",
                "line 2: network.origins: \"*\" is not an origin, such as https://app.example.org",
            ),
            ("[network]\nhosts = [\"a/b\"]", "line 2: network.hosts: \"a/b\" is not a host"),
            ("[users\n", "line 1: "),
        ] {
            let said = Config::parse(text).unwrap_err();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}
