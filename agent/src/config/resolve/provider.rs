//! Providers: where each is, what it is given, and how much it may be asked.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{
    Found, KIB, Place, Problem, bounded, is_model_name, is_name, names, number, url, wrong,
};
use crate::config::check;
use crate::config::file::Provider;
use crate::config::secret;

/// What requests are made of, in either protocol.
const OWN: [&str; 8] = [
    "model",
    "messages",
    "input",
    "stream",
    "stream_options",
    "incremental_output",
    "result_format",
    "tools",
];

impl Place<'_> {
    pub(super) fn providers(
        self,
        written: BTreeMap<String, Provider>,
    ) -> Found<BTreeMap<String, model::Provider>> {
        let provider = |(name, it): (String, Provider)| {
            let key = format!("providers.{name}");
            is_name(&key, &name)?;
            let secret = if it.key_env.is_some() { "key_env" } else { "key_file" };
            let provider = self.provider(&key, it)?;
            check::provider(&name, &provider, &format!("{key}.{secret}"))?;
            Ok((name, provider))
        };
        bounded(written.into_iter(), "providers")?.map(provider).collect()
    }

    fn provider(self, key: &str, written: Provider) -> Found<model::Provider> {
        let secret = self.key(key, &written)?;
        let window = number(format!("{key}.window"), written.window, 1_024..=10_000_000)?;
        let most = |it| max_output(format!("{key}.max_output"), it, window);
        let models = names(&format!("{key}.models"), written.models, is_model_name)?;
        let field = written.max_output_field;
        if !secret::is_variable(&field) {
            return wrong(format!("{key}.max_output_field"), "must be letters, digits and _");
        }
        extra(&format!("{key}.extra"), &written.extra, &field)?;
        Ok(model::Provider {
            protocol: written.protocol.into(),
            base_url: written.base_url.map(|it| url(format!("{key}.base_url"), it)).transpose()?,
            key: secret,
            models,
            window,
            max_output: written.max_output.map(most).transpose()?,
            max_output_field: field,
            extra: written.extra,
            proxy: written.proxy.map(|it| it.0),
        })
    }

    /// The key, from where it is said to be.
    fn key(self, key: &str, written: &Provider) -> Found<Option<SecretString>> {
        Ok(match (&written.key_env, &written.key_file) {
            (None, None) if written.base_url.is_none() => {
                return wrong(
                    key,
                    "needs key_env or key_file, or the base_url of a server that needs no key",
                );
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                return wrong(format!("{key}.key_file"), "key_env is given as well; leave one out");
            }
            (Some(name), None) => {
                let secret = secret::variable(name, self.variables);
                Some(secret.or_else(|said| wrong(format!("{key}.key_env"), said))?)
            }
            (None, Some(file)) => {
                let key = format!("{key}.key_file");
                let file = self.path(&key, file)?;
                Some(secret::file(&file).or_else(|said| wrong(key, said))?)
            }
        })
    }
}

/// The most of one answer. What is read must fit beside it: a provider refuses a
/// question that leaves no room for the answer that it asks for.
fn max_output(key: String, written: i64, window: u32) -> Found<u32> {
    let half = i64::from(window / 2);
    number(key, written, 1..=half).map_err(|it| {
        let said = format!("{}: half of `window` at most", it.said);
        Problem { said, ..it }
    })
}

/// What is sent as it is must not take the place of what the agent sends.
fn extra(
    key: &str,
    extra: &serde_json::Map<String, serde_json::Value>,
    max_output_field: &str,
) -> Found<()> {
    let mut own = OWN.into_iter().chain([max_output_field]);
    if let Some(name) = own.find(|it| extra.contains_key(*it)) {
        return wrong(format!("{key}.{name}"), "is set by the agent; leave it out");
    }
    let text = serde_json::Value::Object(extra.clone()).to_string();
    if text.contains("$__toml_private_datetime") {
        return wrong(key, "holds a date; write it as a text");
    }
    if text.len() > 16 * KIB {
        return wrong(key, "must have at most 16 KiB");
    }
    Ok(())
}
