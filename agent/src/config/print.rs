//! A configuration written as a file again, for the eyes of the operator. No
//! secret is in it: what a key is stays masked, and only that there is one is
//! told.

use std::collections::BTreeMap;

use process::amount::{Size, Time, Until};
use secrecy::SecretString;
use tool::mcp;

use super::Config;
use super::file::{
    File, Knowledge, Limits, Memory, Provider, Review, Server, Spoken, Times, Tools,
};
use super::secret::{Address, Written};

/// What stands for a secret.
const MASK: &str = "********";

impl Config {
    /// All of it, as a configuration file would say it. A provider's key, the
    /// name and password of its proxy, and everything in `env` and `headers` is
    /// masked; `args` and `extra` are not.
    pub fn shown(&self) -> String {
        let file = File { model: Some(self.standard()), ..File::of(self) };
        let mut text = toml::to_string_pretty(&file).unwrap_or_else(|error| error.to_string());
        for (name, provider) in &self.providers {
            if provider.key.is_some() {
                let head = format!("[providers.{name}]\n");
                text = text.replacen(&head, &format!("{head}# key = {MASK}\n"), 1);
            }
        }
        text
    }
}

impl File {
    pub(super) fn of(config: &Config) -> Self {
        let providers = config.providers.iter().map(|(name, it)| (name.clone(), Provider::of(it)));
        let servers = config.servers.iter().map(|(name, it)| (name.clone(), Server::of(it)));
        let rules = config.tools.rules.iter().map(|(name, it)| (name.clone(), (*it).into()));
        Self {
            model: config.model.clone(),
            fallback: config.fallback.clone(),
            system: config.system.clone(),
            system_file: None,
            grace: Time(config.grace),
            pins: config.pins.clone(),
            times: Times::of(&config.times),
            limits: Limits::of(&config.limits),
            providers: providers.collect(),
            knowledge: Knowledge { folders: config.knowledge.folders.clone() },
            mcp: servers.collect(),
            tools: Tools {
                otherwise: config.tools.otherwise.map(Into::into),
                rules: rules.collect(),
            },
            review: Review { expires: Until(config.review_expires) },
            memory: Memory {
                budget: Size(config.memory.budget),
                embeddings: config.memory.embeddings.clone(),
            },
        }
    }
}

impl Times {
    fn of(times: &super::Times) -> Self {
        Self {
            first_token: Time(times.first_token),
            between_tokens: Time(times.between_tokens),
            turn: Time(times.turn),
            retries: times.retries.into(),
            retry_pause: Time(times.retry_pause),
        }
    }
}

impl Limits {
    fn of(limits: &super::Limits) -> Self {
        Self {
            steps: limits.steps.into(),
            tokens: limits.tokens.try_into().unwrap_or(i64::MAX),
            calls: limits.calls.try_into().unwrap_or(i64::MAX),
            parallel: limits.parallel.try_into().unwrap_or(i64::MAX),
            output: Size(limits.output),
        }
    }
}

impl Provider {
    pub(super) fn of(provider: &model::Provider) -> Self {
        let field = provider.max_output_field.as_str();
        Self {
            protocol: Spoken::from(provider.protocol),
            base_url: provider.base_url.as_deref().map(bare),
            key_env: None,
            key_file: None,
            models: provider.models.clone(),
            window: provider.window.into(),
            max_output: provider.max_output.map(Into::into),
            max_output_field: if field.is_empty() { "max_tokens" } else { field }.to_owned(),
            extra: provider.extra.clone(),
            proxy: provider.proxy.clone().map(Address),
        }
    }
}

impl Server {
    fn of(server: &mcp::Server) -> Self {
        let shared = Self {
            timeout: Time(server.timeout),
            trusted: server.trusted,
            tools: server.tools.clone(),
            ..Self::default()
        };
        match &server.transport {
            mcp::Transport::Stdio { command, args, env } => Self {
                command: Some(command.clone()),
                args: args.clone(),
                env: masked(env),
                ..shared
            },
            mcp::Transport::Http { url, headers } => {
                Self { url: Some(bare(url)), headers: masked(headers), ..shared }
            }
        }
    }
}

fn masked(secrets: &BTreeMap<String, SecretString>) -> BTreeMap<String, Written> {
    secrets.keys().map(|name| (name.clone(), Written::Plain(MASK.into()))).collect()
}

/// A URL without what may be secret in it: a password, and the query.
fn bare(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?********"));
    let Some((scheme, rest)) = url.split_once("://") else { return format!("{url}{query}") };
    let end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{scheme}://{host}{}{query}", &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (url, is) in [
            ("http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/"),
            ("http://me:secret@host/v1", "http://host/v1"),
            ("http://me:s@cret@host", "http://host"),
            ("https://host/mcp?key=secret", "https://host/mcp?********"),
            ("https://host/a@b", "https://host/a@b"),
        ] {
            assert_eq!(bare(url), is);
        }
    }
}
