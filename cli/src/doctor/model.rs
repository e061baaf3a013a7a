//! What would answer: which model and why, whether its provider has a key, and
//! whether it is there and takes it. Costs nothing, and shows no key.

use std::collections::BTreeSet;
use std::time::Duration;

use agent::{Config, Found, Protocol, Provider, Reach};
use futures::future::join_all;

use super::finding::Finding;
use crate::flags::Doctor;

const CHECK: &str = "model";
const PROVIDER: &str = "provider";
/// The model that needs nothing.
const EXTRACTIVE: &str = "extractive";
/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(flags: &Doctor, config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config else {
        return vec![Finding::off(CHECK, "the agent's configuration cannot be used")];
    };
    let standard = config.standard();
    let file = flags.mind.file.config.is_some();
    let told = flags.mind.model.is_some();
    let chosen = judge_choice(&standard, why(config, told, file), config.providers.is_empty());
    let used = used(config, &standard);
    let reached = used.iter().filter_map(|name| {
        let (provider, model) = name.split_once('/')?;
        Some(reached(provider, model, config.providers.get(provider)?))
    });
    std::iter::once(chosen).chain(join_all(reached).await).collect()
}

/// Why it is that model.
fn why(config: &Config, told: bool, file: bool) -> &'static str {
    match (&config.model, told, file) {
        (Some(_), true, _) => "as --model or WEIR_MODEL says",
        (Some(_), false, _) => "as the configuration says",
        (None, _, _) => "the first provider with a key has it",
    }
}

fn judge_choice(standard: &str, why: &str, nobody: bool) -> Finding {
    if standard != EXTRACTIVE || !nobody {
        return Finding::ok(CHECK, format!("{standard}: {why}"));
    }
    Finding::note(
        CHECK,
        "extractive: no provider has a key; it answers with sentences of the knowledge",
        "for a model that writes, set OPENAI_API_KEY or DASHSCOPE_API_KEY, or OPENAI_BASE_URL for \
         a server of your own with --model openai/<name>",
    )
}

/// One model of each provider that is used: the one that is asked first.
fn used(config: &Config, standard: &str) -> Vec<String> {
    let names = std::iter::once(standard.to_owned()).chain(config.fallback.iter().cloned());
    let mut providers = BTreeSet::new();
    let provider = |it: &String| it.split_once('/').map(|it| it.0.to_owned());
    names
        .chain(config.memory.embeddings.clone())
        .filter(|it| provider(it).is_some_and(|it| providers.insert(it)))
        .collect()
}

async fn reached(name: &str, model: &str, provider: &Provider) -> Finding {
    match provider.reach(name, model, PATIENCE).await {
        Ok(reach) => judge(&Asked { name, model, provider }, &reach),
        Err(error) => Finding::fail(PROVIDER, error.to_string(), "correct its configuration"),
    }
}

/// Who was asked.
struct Asked<'a> {
    name: &'a str,
    model: &'a str,
    provider: &'a Provider,
}

fn judge(asked: &Asked<'_>, reach: &Reach) -> Finding {
    let key = if asked.provider.key.is_some() { "a key" } else { "no key" };
    let at = format!("{} at {} (with {key})", asked.name, reach.place);
    match &reach.found {
        Found::Answered { status, models } => answered(asked, &at, reach, (*status, models)),
        Found::Unresolved(why) => Finding::fail(
            PROVIDER,
            format!("{at}: nobody knows the name of its host: {why}"),
            "correct its base URL; look whether this machine can look up names",
        ),
        Found::Unconnected(why) => Finding::fail(
            PROVIDER,
            format!("{at}: no connection: {why}"),
            "start the server, correct its base URL, or configure the proxy that leads there",
        ),
        Found::Untrusted(why) => Finding::fail(
            PROVIDER,
            format!("{at}: TLS: {why}"),
            "http:// for a server without TLS; else have this machine trust who signed its \
             certificate",
        ),
        Found::Silent => Finding::fail(
            PROVIDER,
            format!("{at}: no answer within {PATIENCE:?}"),
            "look at its load, and whether a firewall or a proxy is in between",
        ),
        Found::Broken(why) => Finding::fail(
            PROVIDER,
            format!("{at}: what it answers is no answer: {why}"),
            "correct its base URL: something else has that port, or breaks off",
        ),
    }
}

fn answered(
    asked: &Asked<'_>,
    at: &str,
    reach: &Reach,
    (status, models): (u16, &Option<Vec<String>>),
) -> Finding {
    let model = asked.model;
    let unlisted = models.as_ref().is_some_and(|it| !it.iter().any(|it| it == model));
    match (asked.provider.protocol, status) {
        (Protocol::OpenAi, 200) if models.is_none() => Finding::warn(
            PROVIDER,
            format!("{at} answers, but with no list of models"),
            "look whether its base URL is that of the API, usually with /v1 at its end",
        ),
        (Protocol::OpenAi, 200) if unlisted => Finding::warn(
            PROVIDER,
            format!("{at} does not list the model {model}"),
            "name one that it has with --model, or have it load that one",
        ),
        // DashScope refuses a question without messages, after it took the key.
        (Protocol::OpenAi, 200) | (Protocol::DashScope, 200 | 400) => {
            Finding::ok(PROVIDER, format!("{at} answers, in {:.0?}", reach.took))
        }
        (_, 401 | 403) => Finding::fail(
            PROVIDER,
            format!("{at}: the key is not accepted ({status})"),
            keys(asked),
        ),
        (_, 404)
            if !reach.place.ends_with("/v1") && asked.provider.protocol == Protocol::OpenAi =>
        {
            let advice = format!("does its base URL lack the version? {}/v1", reach.place);
            Finding::fail(PROVIDER, format!("{at}: there is no API (404)"), advice)
        }
        (Protocol::OpenAi, 404 | 405) => Finding::note(
            PROVIDER,
            format!("{at} answers, and has no list of models ({status})"),
            "some servers have none: ask it something",
        ),
        (_, 402 | 429) => Finding::warn(
            PROVIDER,
            format!("{at} takes no more for now ({status})"),
            "wait, or look at the account's limits",
        ),
        (_, 500..) => Finding::fail(
            PROVIDER,
            format!("{at} fails ({status})"),
            "look at the server's log, or the provider's status page",
        ),
        (_, other) => Finding::fail(
            PROVIDER,
            format!("{at}: an answer that no API gives ({other})"),
            "correct its base URL",
        ),
    }
}

fn keys(asked: &Asked<'_>) -> String {
    let given = if asked.provider.key.is_some() { "correct" } else { "give" };
    match asked.name {
        "openai" => format!("{given} OPENAI_API_KEY, or the key of `openai` in the configuration"),
        "dashscope" => {
            format!("{given} DASHSCOPE_API_KEY, or the key of `dashscope` in the configuration")
        }
        other => format!("{given} the key of `{other}`: key_env or key_file in the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    fn found(protocol: Protocol, found: Found, place: &str) -> Finding {
        let key = Some("canary".into());
        let provider = Provider { protocol, key, ..Provider::default() };
        let asked = Asked { name: "openai", model: "m", provider: &provider };
        let reach = Reach { place: place.to_owned(), found, took: Duration::from_millis(3) };
        let finding = judge(&asked, &reach);
        assert!(!format!("{finding:?}").contains("canary"));
        finding
    }

    #[test]
    fn each_answer_of_a_provider_has_a_meaning() {
        use Protocol::{DashScope, OpenAi};
        let listed = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
        for (protocol, status, models, place, outcome, advice) in [
            (OpenAi, 200, listed(&["m"]), "http://a/v1", Outcome::Ok, ""),
            (OpenAi, 200, listed(&["x"]), "http://a/v1", Outcome::Warn, "--model"),
            (OpenAi, 200, None, "http://a/v1", Outcome::Warn, "/v1 at its end"),
            (OpenAi, 401, None, "http://a/v1", Outcome::Fail, "OPENAI_API_KEY"),
            (OpenAi, 404, None, "http://a", Outcome::Fail, "http://a/v1"),
            (OpenAi, 404, None, "http://a/v1", Outcome::Note, "ask it"),
            (OpenAi, 400, None, "http://a/v1", Outcome::Fail, "base URL"),
            (OpenAi, 429, None, "http://a/v1", Outcome::Warn, "wait"),
            (OpenAi, 503, None, "http://a/v1", Outcome::Fail, "log"),
            (DashScope, 400, None, "http://a", Outcome::Ok, ""),
            (DashScope, 403, None, "http://a", Outcome::Fail, "OPENAI_API_KEY"),
            (DashScope, 404, None, "http://a", Outcome::Fail, "base URL"),
        ] {
            let finding = found(protocol, Found::Answered { status, models }, place);
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            let told = finding.advice.clone().unwrap_or_default();
            assert!(told.contains(advice), "{finding:?}");
        }
    }

    #[test]
    fn each_silence_of_a_provider_has_a_meaning() {
        let why = || "why".to_owned();
        for (silence, advice) in [
            (Found::Unresolved(why()), "look up names"),
            (Found::Unconnected(why()), "start the server"),
            (Found::Untrusted(why()), "without TLS"),
            (Found::Silent, "firewall"),
            (Found::Broken(why()), "something else"),
        ] {
            let finding = found(Protocol::OpenAi, silence, "http://a/v1");
            assert_eq!(finding.outcome, Outcome::Fail);
            assert!(finding.advice.as_ref().unwrap().contains(advice), "{finding:?}");
        }
    }

    #[test]
    fn a_model_without_a_key_is_worth_knowing_and_each_provider_is_asked_once() {
        let mut config = Config::default();
        let choice = judge_choice(&config.standard(), "", true);
        assert_eq!(choice.outcome, Outcome::Note);
        assert_eq!(used(&config, EXTRACTIVE), Vec::<String>::new());
        config.fallback = vec!["b/y".to_owned(), "a/z".to_owned()];
        config.memory.embeddings = Some("c/e".to_owned());
        assert_eq!(used(&config, "a/x"), ["a/x", "b/y", "c/e"]);
        config.model = Some("a/x".to_owned());
        assert!(why(&config, true, false).contains("--model"));
        assert!(why(&config, false, true).contains("configuration"));
    }
}
