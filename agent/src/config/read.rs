//! Reads the file, and finds the line of whatever is wrong with it.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::file::File;
use super::resolve::{Place, Problem};
use super::secret::{self, Variables, WRITTEN};
use super::{Config, Error, environment};

/// The most bytes that the file may have.
const MAX_BYTES: u64 = 1024 * 1024;

impl Config {
    /// Reads a configuration file; relative paths in it start at its folder.
    /// Secrets are fetched from where the file says they are. Providers that
    /// the environment names are added, unless the file has one of that name.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = secret::text(path, MAX_BYTES).map_err(Error::Unreadable)?;
        let variables = |name: &str| process::environment::get(name);
        let (config, unused) = read(path, &text, &variables)?;
        for name in unused {
            tracing::warn!(
                file = %path.display(),
                "{name} is not used: the file has a provider of that name"
            );
        }
        Ok(config)
    }

    /// What is used without a file: the defaults, and the providers that the
    /// environment names.
    pub fn environment() -> Result<Self, Error> {
        let mut config = Self::default();
        let variables = |name: &str| process::environment::get(name);
        environment::add(&mut config.providers, &super::BTreeSet::new(), &variables)?;
        Ok(config)
    }
}

/// The configuration, and the variables that a provider of the file displaced.
pub(super) fn read(
    path: &Path,
    text: &str,
    variables: Variables<'_>,
) -> Result<(Config, Vec<String>), Error> {
    let source = Source { file: path.display().to_string(), text };
    let file = source.parse()?;
    let used = environment::used(&file);
    let folder = path.parent().unwrap_or(Path::new(""));
    let wrong = |problem| source.value(problem);
    let mut config = Place { folder, variables }.resolve(file).map_err(wrong)?;
    let unused = environment::add(&mut config.providers, &used, variables)?;
    if let Some(problem) = config.missing().filter(|it| !it.may_come) {
        return Err(source.value(problem.problem));
    }
    Ok((config, unused))
}

/// The text of a file.
struct Source<'a> {
    file: String,
    text: &'a str,
}

impl Source<'_> {
    fn parse(&self) -> Result<File, Error> {
        let source = Deserializer::parse(self.text).map_err(|it| self.syntax(&it))?;
        serde_path_to_error::deserialize(source).map_err(|error| {
            let key = error.path().to_string();
            let mut parts = key.split('.');
            let hidden = parts.next() == Some("mcp")
                && parts.nth(1).is_some_and(|it| it == "env" || it == "headers");
            // What serde says quotes the value, which may be a secret here.
            let said = if hidden {
                format!("must be {WRITTEN}, each under a name")
            } else {
                error.inner().message().replace('\n', ", ")
            };
            let line = error.inner().span().map_or_else(|| self.line_of(&key), |it| self.line(&it));
            let file = self.file.clone();
            if key == "." {
                return Error::Syntax { file, line, said };
            }
            Error::Value { file, line, key, said }
        })
    }

    fn syntax(&self, error: &toml::de::Error) -> Error {
        let line = error.span().map_or(1, |it| self.line(&it));
        let said = error.message().replace('\n', ", ");
        Error::Syntax { file: self.file.clone(), line, said }
    }

    fn value(&self, problem: Problem) -> Error {
        let line = self.line_of(&problem.key);
        Error::Value { file: self.file.clone(), line, key: problem.key, said: problem.said }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    /// The line of a key, or of the innermost table around it that there is.
    fn line_of(&self, key: &str) -> usize {
        let Ok(table) = DeTable::parse(self.text) else { return 1 };
        let mut span = None;
        let mut table = Some(table.get_ref());
        for part in key.split('.') {
            let (name, at) = part.split_once('[').unwrap_or((part, ""));
            let Some((key, value)) = table.and_then(|it| it.get_key_value(name)) else { break };
            span = Some(key.span());
            if let Some(value) = member(value, at) {
                span = Some(value.span());
            }
            table = value.get_ref().as_table();
        }
        span.map_or(1, |it| self.line(&it))
    }
}

/// The member of a list, by its number with a bracket behind it.
fn member<'a, 'i>(value: &'a Spanned<DeValue<'i>>, at: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    let at: usize = at.trim_end_matches(']').parse().ok()?;
    value.get_ref().as_array()?.get(at)
}
