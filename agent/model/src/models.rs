//! The models that requests may name, and what is behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connection::Connection;
use crate::{Embeddings, Error, Model, Protocol, Provider, WITH_KEY, dashscope, openai};

/// The longest model name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// The models that a request may name.
#[derive(Debug)]
pub struct Models {
    standard: String,
    /// Models that need no provider, under their names.
    own: BTreeMap<String, Arc<dyn Model>>,
    providers: BTreeMap<String, Arc<Connection>>,
}

impl Models {
    /// Sets the providers up, under their names, and checks that `standard` can
    /// be asked for. `own` models need no provider; each has its own name.
    pub fn new(
        standard: &str,
        own: Vec<Arc<dyn Model>>,
        providers: BTreeMap<String, Provider>,
    ) -> Result<Self, Error> {
        let connect = |(name, provider): (String, Provider)| {
            let connection = Connection::new(&name, provider)?;
            Ok((name, Arc::new(connection)))
        };
        let models = Self {
            standard: standard.to_owned(),
            own: own.into_iter().map(|it| (it.name().to_owned(), it)).collect(),
            providers: providers.into_iter().map(connect).collect::<Result<_, _>>()?,
        };
        match models.named(standard) {
            Some(_) => Ok(models),
            None => Err(models.unknown(standard)),
        }
    }

    /// The model of that name, the standard one when empty; `None` when there
    /// is none.
    pub fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        let name = self.or_standard(name);
        if let Some(own) = self.own.get(name) {
            return Some(Arc::clone(own));
        }
        let (connection, model) = self.provided(name)?;
        let connection = connection.offers(model).then(|| Arc::clone(connection))?;
        Some(match connection.provider().protocol {
            Protocol::OpenAi => openai::OpenAi::shared(connection, model),
            Protocol::DashScope => dashscope::DashScope::shared(connection, model),
        })
    }

    /// The embeddings of that name, `provider/name`; `None` when there is no such
    /// provider. Which models requests may ask for does not matter here.
    pub fn embeddings(&self, name: &str) -> Option<Embeddings> {
        let (connection, model) = self.provided(name)?;
        Some(Embeddings::new(Arc::clone(connection), model))
    }

    /// The URL of the provider of that model, the standard one when empty, for
    /// people: without password and query. `None` for a model that needs no
    /// provider, or that is none.
    pub fn place(&self, name: &str) -> Option<String> {
        let (connection, _) = self.provided(self.or_standard(name))?;
        Some(connection.place())
    }

    /// What may be named, the standard model first; `<name>` stands for any.
    pub fn names(&self) -> Vec<String> {
        let standard = std::iter::once(&self.standard).cloned();
        let others = self.offered().into_iter().filter(|it| *it != self.standard);
        standard.chain(others).collect()
    }

    /// What may be named, in words.
    pub fn allowed(&self) -> String {
        in_words(&self.offered())
    }

    fn or_standard<'a>(&'a self, name: &'a str) -> &'a str {
        if name.is_empty() { &self.standard } else { name }
    }

    /// The provider that a name begins with, and the rest of the name.
    fn provided<'a>(&self, name: &'a str) -> Option<(&Arc<Connection>, &'a str)> {
        let (provider, model) = name.split_once('/')?;
        let connection = self.providers.get(provider)?;
        is_name(model).then_some((connection, model))
    }

    fn offered(&self) -> Vec<String> {
        let provided = self.providers.values().flat_map(|it| it.offered());
        self.own.keys().cloned().chain(provided).collect()
    }

    /// Why the standard model cannot be had.
    fn unknown(&self, name: &str) -> Error {
        let provider = name.split_once('/').map_or(name, |(provider, _)| provider);
        let usual = WITH_KEY.iter().any(|(known, _)| *known == provider);
        if usual && name.contains('/') && !self.providers.contains_key(provider) {
            return Error::NoKey(provider.to_owned());
        }
        let mut offered = self.offered();
        if self.providers.is_empty() {
            offered.push("openai/<name>".to_owned());
        }
        Error::Unknown { name: name.to_owned(), allowed: in_words(&offered) }
    }
}

fn in_words(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(plain)
}
