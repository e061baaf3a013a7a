//! Whether what was put together can be used: every provider set up and every
//! model found, as at a start, up to the first connection.

use std::sync::Arc;

use knowledge::Library;
use model::{Model, Models, Provider};

use super::environment::KNOWN;
use super::resolve::{Found, Problem, wrong};
use super::{Config, Error, offers};
use crate::extractive::{EXTRACTIVE, Extractive};

/// A model that nobody offers.
pub(super) struct Missing {
    pub(super) problem: Problem,
    /// A flag may still name the provider.
    pub(super) may_come: bool,
}

impl Config {
    /// Whether every provider can be set up, and every model that is named is
    /// offered by one that is there. Connects nowhere and reads no knowledge.
    pub fn check(&self) -> Result<(), Error> {
        let checked = match self.missing() {
            Some(missing) => Err(missing.problem),
            None => self.models(),
        };
        checked.map_err(|Problem { key, said }| Error::Setting { key, said })
    }

    /// Sets all models up, as a start does.
    fn models(&self) -> Found<()> {
        for (name, it) in &self.providers {
            provider(name, it, &format!("providers.{name}"))?;
        }
        let own = Arc::new(Extractive::new(Library::new(Vec::new()))) as Arc<dyn Model>;
        let models = Models::new(&self.standard(), vec![own], self.providers.clone());
        let models = models.or_else(|error| wrong("model", error.to_string()))?;
        let unknown = |key: String, name: &str| {
            let said = format!("unknown model `{name}`; allowed are {}", models.allowed());
            wrong(key, said)
        };
        for (at, name) in self.fallback.iter().enumerate() {
            if models.named(name).is_none() {
                return unknown(format!("fallback[{at}]"), name);
            }
        }
        match &self.memory.embeddings {
            Some(name) if models.embeddings(name).is_none() => {
                unknown("memory.embeddings".to_owned(), name)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The first model that is named and not offered.
    pub(super) fn missing(&self) -> Option<Missing> {
        let fallback = self.fallback.iter().enumerate();
        let fallback = fallback.map(|(at, it)| (format!("fallback[{at}]"), it, true));
        let model = self.model.iter().map(|it| ("model".to_owned(), it, true));
        let embeddings = self.memory.embeddings.iter();
        let embeddings = embeddings.map(|it| ("memory.embeddings".to_owned(), it, false));
        let mut all = model.chain(fallback).chain(embeddings);
        all.find_map(|(key, name, answers)| {
            if answers && name == EXTRACTIVE {
                return None;
            }
            let (provider, model) = name.split_once('/').unwrap_or((name, ""));
            let Some(found) = self.providers.get(provider) else {
                let said = self.unknown(name);
                return Some(Missing {
                    problem: Problem { key, said },
                    may_come: provider == KNOWN[0].name,
                });
            };
            let offered = !answers || offers(found, model);
            let said = || format!("`{provider}` offers {} only", found.models.join(", "));
            (!offered).then(|| Missing { problem: Problem { key, said: said() }, may_come: false })
        })
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<_> = self.providers.keys().map(|it| format!("`{it}/<name>`")).collect();
        let hint = "define its provider, or set OPENAI_API_KEY or DASHSCOPE_API_KEY";
        let allowed = [vec![format!("`{EXTRACTIVE}`")], names].concat().join(" and ");
        format!("unknown model `{name}`; allowed are {allowed} ({hint})")
    }
}

/// Whether a provider can be set up; its key is at `secret`.
pub(super) fn provider(name: &str, provider: &Provider, secret: &str) -> Found<()> {
    let Err(error) = provider.check(name) else { return Ok(()) };
    let at = |key: &str| format!("providers.{name}.{key}");
    if let model::Error::Reserved { field, .. } = &error {
        if provider.extra.contains_key(field) {
            return wrong(at(&format!("extra.{field}")), "is set by the agent; leave it out");
        }
        let said = format!("`{field}` is set by the agent; name the field that limits an answer");
        return wrong(at("max_output_field"), said);
    }
    let bad_url = matches!(error, model::Error::BadUrl { .. });
    let bad_proxy = matches!(error, model::Error::BadProxy(_));
    let bad_key = matches!(error, model::Error::BadKey(_));
    let named = [(bad_url, at("base_url")), (bad_proxy, at("proxy")), (bad_key, secret.to_owned())];
    let key = named.into_iter().find(|(it, _)| *it).map(|(_, key)| key);
    wrong(key.unwrap_or_else(|| format!("providers.{name}")), error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::SecretString;
    use serde_json::Value;

    use super::*;
    use crate::config::Memory;

    #[test]
    fn what_fails_at_the_start_fails_in_the_check() {
        let key = || Some(SecretString::from("key"));
        let usable = Provider { key: key(), ..Provider::default() };
        let bad_key = Provider { key: Some("canary\nkey".into()), ..Provider::default() };
        let field = Provider { max_output_field: "messages".to_owned(), ..usable.clone() };
        let extra = [("stream_options".to_owned(), Value::Null)].into_iter().collect();
        let extra = Provider { extra, ..usable.clone() };
        let base_url = Provider { base_url: Some("nowhere".to_owned()), ..usable.clone() };
        let proxy = Provider { proxy: Some("http://me:canary@x/y".into()), ..usable.clone() };
        for (provider, key) in [
            (Provider::default(), "providers.openai: "),
            (bad_key, "providers.openai: "),
            (field, "providers.openai.max_output_field: "),
            (extra, "providers.openai.extra.stream_options: "),
            (base_url, "providers.openai.base_url: "),
            (proxy, "providers.openai.proxy: "),
        ] {
            let providers = [("openai".to_owned(), provider)].into();
            let error = Config { providers, ..Config::default() }.check().unwrap_err().to_string();
            assert!(error.starts_with(key) && !error.contains("canary"), "{error}");
        }
        let providers: BTreeMap<_, _> = [("openai".to_owned(), usable)].into();
        let all = || Config { providers: providers.clone(), ..Config::default() };
        all().check().unwrap();
        let bad = || "openai/a b".to_owned();
        let memory = Memory { embeddings: Some(bad()), ..Memory::default() };
        for (config, key) in [
            (Config { model: Some(bad()), ..all() }, "model: unknown model `openai/a b`"),
            (Config { fallback: vec![bad()], ..all() }, "fallback[0]: unknown model `openai/a b`"),
            (Config { memory, ..all() }, "memory.embeddings: unknown model `openai/a b`"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
