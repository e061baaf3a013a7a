//! The agents: whether something listens, and says that it takes turns.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::finding::{Finding, Outcome};
use super::near;
use crate::flags::Doctor;
use crate::{access, secure};

const CHECK: &str = "agent";
/// How long each of the two steps may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was found at an agent's address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Nothing that a connection can be made to, and why.
    Nothing(String),
    /// It says whether it takes turns.
    Says(bool),
    /// It knows no health check, or no such service.
    Stranger,
    /// It is not believed, or does not believe; or speaks something else.
    Broken(String),
    /// A connection, and no answer in time.
    Silent,
}

pub(super) async fn look(flags: &Doctor) -> Vec<Finding> {
    let given = !flags.agents.is_empty();
    let urls = if given {
        flags.agents.clone()
    } else if flags.grpc.grpc.port() == 0 {
        return vec![Finding::off(CHECK, "--grpc takes any free port; name one with --agent")];
    } else {
        vec![near(flags.grpc.grpc, flags.grpc.tls.cert.is_some())]
    };
    join_all(urls.iter().map(|url| one(flags, url, given))).await
}

async fn one(flags: &Doctor, url: &str, given: bool) -> Finding {
    match found(flags, url).await {
        Ok(found) => judge(&access::shown(url), &found, given),
        Err(error) => {
            Finding::fail(CHECK, format!("{error:#}"), "correct --agent and its certificates")
        }
    }
}

/// Errors: the URL, or a file of a certificate, cannot be used.
async fn found(flags: &Doctor, url: &str) -> anyhow::Result<Found> {
    let agent = secure::agents(&[url.to_owned()], &flags.agent_tls)?.remove(0);
    let parsed: Url = url.parse()?;
    let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = parsed.port_or_known_default().unwrap_or_default();
    match timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Err(_elapsed) => return Ok(Found::Nothing("no connection in time".to_owned())),
        Ok(Err(error)) => return Ok(Found::Nothing(error.to_string())),
        Ok(Ok(_stream)) => {}
    }
    Ok(match timeout(PATIENCE, agent.serves()).await {
        Err(_elapsed) => Found::Silent,
        Ok(Ok(serves)) => Found::Says(serves),
        Ok(Err(status)) => refused(&status),
    })
}

fn refused(status: &Status) -> Found {
    if matches!(status.code(), Code::Unimplemented | Code::NotFound) {
        return Found::Stranger;
    }
    let mut last: &dyn std::error::Error = status;
    while let Some(next) = last.source() {
        last = next;
    }
    Found::Broken(last.to_string())
}

/// Whether an agent that nobody named need not be here, as far as is found.
pub(super) fn is_elsewhere(found: &Finding, others: &[Finding]) -> bool {
    let runs = |it: &Finding| match it.check {
        super::gateway::AGENTS => it.outcome == Outcome::Ok,
        super::disk::STORE => it.detail.starts_with(super::disk::HELD),
        _other => false,
    };
    found.check == CHECK && found.outcome == Outcome::Note && others.iter().any(runs)
}

fn judge(url: &str, found: &Found, given: bool) -> Finding {
    match found {
        Found::Says(true) => Finding::ok(CHECK, format!("{url} takes turns")),
        Found::Says(false) => Finding::warn(
            CHECK,
            format!("{url} takes no turns: it stops"),
            "start it again, or wait for the one that takes its place",
        ),
        Found::Nothing(why) if given => Finding::fail(
            CHECK,
            format!("nothing answers at {url}: {why}"),
            "start it with `weir agent`, or correct --agent",
        ),
        Found::Nothing(_) => Finding::note(
            CHECK,
            format!("not running here ({url})"),
            "start it with `weir up` or `weir agent`",
        ),
        Found::Stranger => Finding::fail(
            CHECK,
            format!("what answers at {url} is no agent of Weir"),
            "correct --agent, or choose another port with --grpc",
        ),
        Found::Broken(why) => Finding::fail(
            CHECK,
            format!("{url} cannot be used: {why}"),
            "if it speaks TLS: https:// with --agent-ca, and --agent-cert where it wants one; \
             else something else has that port",
        ),
        Found::Silent => Finding::fail(
            CHECK,
            format!("{url} takes connections and says nothing"),
            "it hangs, or speaks TLS: then it is an https:// URL",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_runs_elsewhere_is_not_missed() {
        let away = judge("http://a:1", &Found::Nothing("refused".to_owned()), false);
        let seen = Finding::ok("agents", "one");
        let held = Finding::ok("store", "a running weir holds it; unfinished jobs: 0");
        assert!(is_elsewhere(&away, &[seen]) && is_elsewhere(&away, &[held]));
        let free = Finding::ok("store", "there, and nobody uses it");
        let unseen = Finding::warn("agents", "none", "");
        assert!(!is_elsewhere(&away, &[free, unseen]));
        let named = judge("http://a:1", &Found::Nothing("refused".to_owned()), true);
        assert!(!is_elsewhere(&named, &[Finding::ok("agents", "one")]));
    }

    #[test]
    fn an_agent_that_nobody_named_may_be_away() {
        let why = || "refused".to_owned();
        for (found, given, outcome) in [
            (Found::Says(true), false, Outcome::Ok),
            (Found::Says(false), false, Outcome::Warn),
            (Found::Nothing(why()), false, Outcome::Note),
            (Found::Nothing(why()), true, Outcome::Fail),
            (Found::Stranger, false, Outcome::Fail),
            (Found::Broken(why()), false, Outcome::Fail),
            (Found::Silent, true, Outcome::Fail),
        ] {
            let finding = judge("http://a:1", &found, given);
            assert_eq!(finding.outcome, outcome, "{finding:?}");
        }
    }
}
