//! What is configured: whether each file can be read and used, as a start would.

use std::time::Duration;

use agent::Config;
use gateway::auth::Verifier;
use gateway::auth::keys::{File, Key};
use jiff::Timestamp;
use tokio::time::timeout;

use super::finding::Finding;
use crate::flags::{Doctor, Edge};
use crate::{edge, secure};

const AGENT: &str = "agent file";
const EDGE: &str = "edge";
const KEYS: &str = "API keys";
const TOKENS: &str = "tokens";
const TLS: &str = "certificates";
/// How long fetching the keys of tokens may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// `mind` is what the agent's configuration comes to.
pub(super) async fn look(flags: &Doctor, mind: &anyhow::Result<Config>) -> Vec<Finding> {
    let mut findings = vec![agent_file(flags, mind), edge_file(&flags.edge)];
    findings.extend(keys(&flags.edge));
    findings.extend(tokens(&flags.edge).await);
    findings.extend(certificates(flags));
    findings
}

fn agent_file(flags: &Doctor, mind: &anyhow::Result<Config>) -> Finding {
    let named = flags.mind.file.config.as_ref().map(|it| it.display().to_string());
    match (mind, named) {
        (Ok(_), Some(name)) => Finding::ok(AGENT, format!("{name} can be used")),
        (Ok(_), None) => Finding::off(AGENT, "none: the defaults, and what the environment says"),
        (Err(error), named) => Finding::fail(AGENT, format!("{error:#}"), place(error, named)),
    }
}

/// Where the agent's configuration is to be mended.
fn place(error: &anyhow::Error, named: Option<String>) -> String {
    match (error.downcast_ref::<agent::config::Error>(), named) {
        (
            Some(
                agent::config::Error::Syntax { file, line, .. }
                | agent::config::Error::Value { file, line, .. },
            ),
            _,
        ) => format!("mend line {line} of {file}"),
        (_, Some(name)) => format!("mend {name}, or the variable or flag of that name"),
        (_, None) => "correct the variable or flag of that name".to_owned(),
    }
}

fn edge_file(flags: &Edge) -> Finding {
    let named = flags.gateway_config.as_ref().map(|it| it.display().to_string());
    let used = edge::permitted(flags, &flags.auth.config()).and_then(|()| edge::read(flags));
    match (used, named) {
        (Ok(_), Some(name)) => Finding::ok(EDGE, format!("{name} can be used")),
        (Ok(_), None) => Finding::off(EDGE, "no file: the defaults"),
        (Err(error), Some(name)) => {
            Finding::fail(EDGE, format!("{error:#}"), format!("mend {name}, or correct --http"))
        }
        (Err(error), None) => {
            Finding::fail(EDGE, format!("{error:#}"), "correct --http, or give one of these flags")
        }
    }
}

fn keys(flags: &Edge) -> Option<Finding> {
    let file = File::at(flags.auth.config().keys?);
    let name = file.path().display().to_string();
    Some(match file.keys() {
        Ok(keys) => judge_keys(&name, (keys.len(), ended(&keys)), file.is_open_to_others()),
        Err(error) => {
            let advice = "`weir keys create --api-keys FILE --user ID` makes a file and a key";
            Finding::fail(KEYS, error.to_string(), advice)
        }
    })
}

/// How many do not count any more.
fn ended(keys: &[Key]) -> usize {
    let now = i64::try_from(process::clock::now().as_secs()).unwrap_or(i64::MAX);
    let now = Timestamp::from_second(now).unwrap_or(Timestamp::MAX);
    keys.iter().filter(|it| it.expires.is_some_and(|it| it <= now)).count()
}

fn judge_keys(name: &str, (all, ended): (usize, usize), open: bool) -> Finding {
    if open {
        let detail = format!("{name} may be changed or read by others than its owner");
        return Finding::warn(KEYS, detail, format!("chmod 600 {name}"));
    }
    let detail = format!("{name}: {all}, of which {ended} have ended");
    if all == ended {
        let advice = "nobody can ask: `weir keys create` makes a key";
        return Finding::warn(KEYS, detail, advice);
    }
    Finding::ok(KEYS, detail)
}

async fn tokens(flags: &Edge) -> Option<Finding> {
    let config = flags.auth.config();
    let source = config.jwt.as_ref()?.keys.to_string();
    let config = gateway::auth::Config { keys: None, ..config };
    Some(match timeout(PATIENCE, Verifier::open(&config)).await {
        Ok(Ok(_)) => Finding::ok(TOKENS, format!("the keys in {source} can be used")),
        Ok(Err(error)) => {
            let advice = "correct --jwt-secret-file or --jwt-jwks";
            Finding::fail(TOKENS, error.to_string(), advice)
        }
        Err(_elapsed) => {
            let detail = format!("{source} does not answer within {PATIENCE:?}");
            Finding::fail(TOKENS, detail, "look at who issues the tokens, and at --jwt-jwks")
        }
    })
}

/// Nothing where none are configured.
fn certificates(flags: &Doctor) -> Vec<Finding> {
    let edge = secure::edge(&flags.edge.tls).map(|it| it.is_some());
    let grpc = secure::grpc(&flags.grpc).map(|it| it.is_some());
    let all = [("of the edge", edge), ("of the agent's gRPC", grpc)];
    all.into_iter().filter_map(|(what, used)| judge_certificate(what, used)).collect()
}

fn judge_certificate(what: &str, used: anyhow::Result<bool>) -> Option<Finding> {
    match used {
        Ok(false) => None,
        Ok(true) => Some(Finding::ok(TLS, format!("that {what} can be used"))),
        Err(error) => {
            let advice = "correct the files that the flags of that name say";
            Some(Finding::fail(TLS, format!("{error:#}"), advice))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn keys_must_be_their_owners_and_one_of_them_must_count() {
        for (counts, open, outcome) in [
            ((3, 1), false, Outcome::Ok),
            ((3, 3), false, Outcome::Warn),
            ((0, 0), false, Outcome::Warn),
            ((3, 1), true, Outcome::Warn),
        ] {
            assert_eq!(judge_keys("keys.toml", counts, open).outcome, outcome, "{counts:?}");
        }
    }

    #[test]
    fn certificates_are_told_only_where_there_are_some() {
        assert_eq!(judge_certificate("of a", Ok(false)), None);
        assert_eq!(judge_certificate("of a", Ok(true)).unwrap().outcome, Outcome::Ok);
        let bad = judge_certificate("of a", Err(anyhow::anyhow!("no key"))).unwrap();
        assert_eq!((bad.outcome, bad.detail.as_str()), (Outcome::Fail, "no key"));
    }
}
