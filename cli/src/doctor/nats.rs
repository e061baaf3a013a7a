//! The NATS servers: what is at their addresses, whether the login counts, and
//! whether all that Weir keeps is there and fit. Declares nothing.

use std::time::Duration;

use broker::nats::{Greeted, Greeting, greet};
use broker::{Broker, Durability, Profile};
use tokio::time::{Instant, timeout};

use super::finding::Finding;
use crate::flags::{Declare, Doctor};
use crate::store;

const CHECK: &str = "nats";
const DURABILITY: &str = "durability";
/// How long a server may take to greet, and how long all else may take.
const GREETING: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(5);
/// A server that takes longer makes every question wait.
const SLOW: Duration = Duration::from_millis(500);

/// What came of looking at everything on the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Looked {
    /// All is there; how long one question about the queue took.
    Fit(Profile, Duration),
    /// Why not, in the broker's words.
    Unfit(String),
    /// No answer in time.
    Silent,
}

pub(super) async fn look(flags: &Doctor) -> Vec<Finding> {
    let Some(url) = &flags.store.nats else {
        return vec![Finding::off(CHECK, "not configured: everything is kept on this machine")];
    };
    let greeted = match greet(url, GREETING).await {
        Ok(greeted) => greeted,
        Err(error) => {
            return vec![Finding::fail(CHECK, error.to_string(), "correct --nats or NATS_URL")];
        }
    };
    let mut findings: Vec<_> = greeted.iter().map(judge_greeting).collect();
    if !greeted.iter().all(|it| matches!(it.found, Greeting::Unreached(_) | Greeting::Stranger)) {
        let looked = timeout(PATIENCE, all(flags)).await.unwrap_or(Looked::Silent);
        findings.extend(judge(&looked, flags.store.servers.declare));
    }
    findings
}

async fn all(flags: &Doctor) -> Looked {
    match store::look(&flags.store).await {
        Ok(Some(broker)) => asked(broker).await,
        Ok(None) => Looked::Silent,
        Err(error) => Looked::Unfit(format!("{error:#}")),
    }
}

async fn asked(broker: Broker) -> Looked {
    let began = Instant::now();
    match broker.queue.depth().await {
        Ok(_depth) => Looked::Fit(broker.profile, began.elapsed()),
        Err(error) => Looked::Unfit(error.to_string()),
    }
}

fn judge_greeting(greeted: &Greeted) -> Finding {
    let Greeted { place, found, took } = greeted;
    match found {
        Greeting::Server { version, .. } if *took > SLOW => Finding::warn(
            CHECK,
            format!("nats-server {version} at {place} took {took:.1?} to greet"),
            "look at its load and at the network between here and there",
        ),
        Greeting::Server { version, .. } => {
            Finding::ok(CHECK, format!("nats-server {version} at {place}, in {took:.1?}"))
        }
        Greeting::Unreached(why) => Finding::fail(
            CHECK,
            format!("nothing answers at {place}: {why}"),
            "start nats-server with -js there, or correct --nats or NATS_URL",
        ),
        Greeting::Stranger => Finding::fail(
            CHECK,
            format!("what answers at {place} is no NATS server"),
            "correct the port in --nats or NATS_URL: that of clients, usually 4222",
        ),
        Greeting::Silent => Finding::note(
            CHECK,
            format!("{place} says nothing by itself"),
            "that is right if it shakes hands for TLS first; else it hangs",
        ),
    }
}

fn judge(looked: &Looked, declare: Declare) -> Vec<Finding> {
    match looked {
        Looked::Fit(profile, took) => fit(profile, *took),
        Looked::Unfit(why) => vec![unfit(why, declare)],
        Looked::Silent => vec![Finding::fail(
            CHECK,
            format!("it does not answer within {PATIENCE:?}"),
            "look at its load, its disk and the network; in a cluster, whether it has a leader",
        )],
    }
}

fn fit(profile: &Profile, took: Duration) -> Vec<Finding> {
    let there = "login accepted; streams, consumer and buckets are as they must be";
    let answered = if took > SLOW {
        let advice = "look at its load, its disk and the network between here and there";
        Finding::warn(CHECK, format!("{there}, but it took {took:.1?} to answer"), advice)
    } else {
        Finding::ok(CHECK, format!("{there}; it answers in {took:.1?}"))
    };
    let worth = format!("{}: {}", profile.level, profile.durability);
    let durable = match profile.level {
        Durability::Memory => Finding::warn(DURABILITY, worth, "keep the streams in files"),
        Durability::Disk | Durability::Replicated | Durability::Fsynced => {
            Finding::ok(DURABILITY, worth)
        }
    };
    vec![answered, durable]
}

/// What the broker says is wrong, with what mends it. Its words are its own:
/// those that none of these knows are told without advice of their kind.
fn unfit(why: &str, declare: Declare) -> Finding {
    let has = |words: &[&str]| words.iter().any(|it| why.to_lowercase().contains(it));
    if has(&["is not there, and this process may not declare it"]) {
        let missing = why.split(", and this process").next().unwrap_or(why);
        return match declare {
            Declare::Missing => Finding::note(
                CHECK,
                format!("login accepted; {missing}"),
                "the first start makes what is missing; `weir nats apply` does so now",
            ),
            Declare::Never => {
                let advice = "make it, as somebody who may: `weir nats apply`";
                Finding::fail(CHECK, format!("login accepted; {missing}"), advice)
            }
        };
    }
    let advice = if has(&["no jetstream"]) {
        "start it with -js, or with `jetstream {}` in its configuration"
    } else if has(&["is version"]) {
        "install a newer nats-server"
    } else if has(&["max_payload"]) {
        "raise max_payload in its configuration"
    } else if has(&["authorization", "authentication", "credentials", "password", "nkey"]) {
        "correct the login: --nats-creds, --nats-nkey, --nats-user with its password, or the URL"
    } else if has(&["certificate", "tls", "handshake"]) {
        "name who vouches for it with --nats-ca; --nats-cert and --nats-key show who you are"
    } else if has(&["permissions violation", "$js.api", "nats refused"]) {
        "this login may not look at everything: ask with that of an operator"
    } else if has(&["but must be"]) {
        "bring it up to date: `weir nats apply`; what that refuses to change somebody else set"
    } else if has(&["durability"]) {
        "have the servers sync, or replicate more: see --durability, --replicas, --nats-monitor"
    } else if has(&["does not answer"]) {
        "look at its load, its disk and the network; in a cluster, whether it has a leader"
    } else {
        "`weir nats check` says the same; the server's log may say more"
    };
    Finding::fail(CHECK, why, advice)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use broker::Synced;

    fn greeted(found: Greeting, took: u64) -> Greeted {
        Greeted { place: "a:4222".to_owned(), found, took: Duration::from_millis(took) }
    }

    #[test]
    fn what_is_at_an_address_is_told_with_what_to_do() {
        let server = || Greeting::Server { version: "2.15.1".to_owned(), jetstream: true };
        for (found, took, outcome) in [
            (server(), 3, Outcome::Ok),
            (server(), 900, Outcome::Warn),
            (Greeting::Unreached("refused".to_owned()), 3, Outcome::Fail),
            (Greeting::Stranger, 3, Outcome::Fail),
            (Greeting::Silent, 3_000, Outcome::Note),
        ] {
            let finding = judge_greeting(&greeted(found, took));
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            assert!(finding.detail.contains("a:4222"), "{finding:?}");
        }
    }

    #[test]
    fn each_trouble_has_its_own_advice() {
        for (why, advice) in [
            ("cannot connect to NATS at a:1: authorization violation", "correct the login"),
            ("nats-server is version 2.10.0, but must be at least 2.14.5", "newer nats-server"),
            ("nats-server has no JetStream here: not enabled; start it with -js", "start it with"),
            ("nats-server: max_payload is 1, but must be at least 2", "raise max_payload"),
            ("cannot connect: invalid peer certificate: UnknownIssuer", "--nats-ca"),
            ("NATS refused: Permissions Violation for Publish to x", "of an operator"),
            ("stream LOG: max_age is 1, but must be 2", "weir nats apply"),
            ("durability fsynced is asked for, but the nats broker at a", "have the servers sync"),
            ("the broker does not answer: cannot connect: timed out", "look at its load"),
            ("the moon is full", "weir nats check"),
        ] {
            let finding = unfit(why, Declare::Missing);
            assert_eq!(finding.outcome, Outcome::Fail, "{why}");
            assert!(finding.advice.as_ref().unwrap().contains(advice), "{why}: {finding:?}");
        }
    }

    #[test]
    fn what_is_missing_fails_only_where_no_start_may_make_it() {
        let why = "stream JOBS is not there, and this process may not declare it: `x` does";
        let made = unfit(why, Declare::Missing);
        assert_eq!(made.outcome, Outcome::Note);
        assert!(made.detail.ends_with("stream JOBS is not there"), "{made:?}");
        assert_eq!(unfit(why, Declare::Never).outcome, Outcome::Fail);
    }

    #[test]
    fn a_fit_server_is_told_with_what_it_promises_and_a_slow_one_warned_of() {
        let profile = |level| Profile {
            kind: "nats",
            place: "a".to_owned(),
            durability: "stored in a file".to_owned(),
            level,
            copies: 1,
            synced: Synced::Never,
        };
        let outcomes = |looked| -> Vec<_> {
            judge(&looked, Declare::Missing).iter().map(|it| it.outcome).collect()
        };
        let (quick, slow) = (Duration::from_millis(2), Duration::from_millis(700));
        let disk = || profile(Durability::Disk);
        assert_eq!(outcomes(Looked::Fit(disk(), quick)), [Outcome::Ok, Outcome::Ok]);
        assert_eq!(outcomes(Looked::Fit(disk(), slow)), [Outcome::Warn, Outcome::Ok]);
        let memory = Looked::Fit(profile(Durability::Memory), quick);
        assert_eq!(outcomes(memory), [Outcome::Ok, Outcome::Warn]);
        assert_eq!(outcomes(Looked::Silent), [Outcome::Fail]);
    }
}
