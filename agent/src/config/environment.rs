//! The providers that the environment names, so that a key is all it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::{Protocol, Provider};

use super::Error;
use super::file::File;
use super::secret::{self, Variables};

/// A provider that needs no file.
pub(super) struct Known {
    pub(super) name: &'static str,
    protocol: Protocol,
    /// The variables begin with it.
    prefix: &'static str,
    /// The model when none is named.
    pub(super) model: &'static str,
}

/// In the order in which the default model is looked for.
pub(super) const KNOWN: [Known; 2] = [
    Known { name: "openai", protocol: Protocol::OpenAi, prefix: "OPENAI", model: "gpt-4o-mini" },
    Known {
        name: "dashscope",
        protocol: Protocol::DashScope,
        prefix: "DASHSCOPE",
        model: "qwen-plus",
    },
];

impl Known {
    fn key(&self) -> String {
        format!("{}_API_KEY", self.prefix)
    }

    fn key_file(&self) -> String {
        format!("{}_API_KEY_FILE", self.prefix)
    }

    fn base_url(&self) -> String {
        format!("{}_BASE_URL", self.prefix)
    }

    /// What the variables say; `None` when none of them is set.
    fn provider(&self, variables: Variables<'_>) -> Result<Option<Provider>, Error> {
        let base_url = variables(&self.base_url());
        let key = match (variables(&self.key()), variables(&self.key_file())) {
            (None, None) if base_url.is_none() => return Ok(None),
            (None, None) => None,
            (Some(key), None) => Some(key.into()),
            (None, Some(file)) => {
                let wrong = |said| Error::Setting { key: self.key_file(), said };
                Some(secret::file(Path::new(&file)).map_err(wrong)?)
            }
            (Some(_), Some(_)) => {
                let said = format!("{} is set as well; leave one out", self.key());
                return Err(Error::Setting { key: self.key_file(), said });
            }
        };
        Ok(Some(Provider { protocol: self.protocol, base_url, key, ..Provider::default() }))
    }
}

/// Adds what the environment names to what is there, and changes nothing of
/// that. The variables that were not used are told.
pub(super) fn add(
    providers: &mut BTreeMap<String, Provider>,
    used: &BTreeSet<String>,
    variables: Variables<'_>,
) -> Result<Vec<String>, Error> {
    let mut unused = Vec::new();
    for known in &KNOWN {
        if providers.contains_key(known.name) {
            let names = [known.key(), known.key_file(), known.base_url()];
            let idle = |it: &String| variables(it).is_some() && !used.contains(it);
            unused.extend(names.into_iter().filter(idle));
        } else if let Some(provider) = known.provider(variables)? {
            providers.insert(known.name.to_owned(), provider);
        }
    }
    Ok(unused)
}

/// The variables that the providers of a file take their keys from.
pub(super) fn used(file: &File) -> BTreeSet<String> {
    file.providers.values().filter_map(|it| it.key_env.clone()).collect()
}
