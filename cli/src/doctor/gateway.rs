//! The gateway that a client would ask: whether it is one, is ready, is of our
//! version, has the same time, knows who asks, and has heard of an agent.

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::Value;

use super::finding::Finding;
use super::near;
use crate::access;
use crate::flags::{Doctor, Peer};
use crate::visit::{Answer, Unanswered, Visit};

const CHECK: &str = "gateway";
const VERSION: &str = "version";
const CLOCK: &str = "clock";
const ACCESS: &str = "access";
pub(super) const AGENTS: &str = "agents";
/// What clients take for where a gateway is when nobody says otherwise: then
/// it is looked for where this machine's own would be.
const USUAL: &str = "http://127.0.0.1:8080";
/// Tokens count only between two moments; this much apart may be too much.
const APART: SignedDuration = SignedDuration::from_secs(30);

pub(super) async fn look(flags: &Doctor) -> Vec<Finding> {
    let given = flags.peer.server.trim_end_matches('/') != USUAL;
    let server = match (given, flags.edge.http.port()) {
        (true, _) => flags.peer.server.clone(),
        (false, 0) => {
            return vec![Finding::off(CHECK, "--http takes any free port; name one with --server")];
        }
        (false, _) => near(flags.edge.http, flags.edge.tls.cert.is_some()),
    };
    let place = access::shown(&server);
    let visit = match Visit::to(&Peer { server, ..flags.peer.clone() }) {
        Ok(visit) => visit,
        Err(error) => {
            let advice = "correct --server, --ca, --api-key-file";
            return vec![Finding::fail(CHECK, format!("{error:#}"), advice)];
        }
    };
    let ready = match visit.ready().await {
        Ok(ready) => ready,
        Err(none) => return vec![judge_silence(&place, &none, given)],
    };
    let first = judge_ready(&place, &ready);
    let (Ok(answer) | Err(answer)) = ready;
    if !is_weir(&answer) {
        return vec![first];
    }
    let clock = judge_clock(answer.date, now());
    let (me, status) = tokio::join!(visit.get("/v1/me"), visit.get("/v1/status"));
    let known = judge_me(me, flags.peer.access.has_key());
    let running = judge_status(status);
    std::iter::once(first).chain(clock).chain(known).chain(running).collect()
}

fn now() -> Timestamp {
    SignedDuration::try_from(process::clock::now())
        .ok()
        .and_then(|it| Timestamp::from_duration(it).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whether this is what a gateway answers when it is asked whether it is ready.
fn is_weir(answer: &Answer) -> bool {
    answer.is_problem() || (answer.status == StatusCode::OK && answer.body["status"] == "ready")
}

fn judge_silence(place: &str, none: &Unanswered, given: bool) -> Finding {
    match none {
        Unanswered::Unconnected(_) if !given => Finding::note(
            CHECK,
            format!("none runs at {place}"),
            "start one with `weir up` or `weir gateway`, or name one with --server",
        ),
        Unanswered::Unconnected(why) if why.contains("certificate") => Finding::fail(
            CHECK,
            format!("{place} is not believed: {why}"),
            "name who vouches for it with --ca, and the name in its certificate with --server",
        ),
        Unanswered::Unconnected(why) => Finding::fail(
            CHECK,
            format!("nothing answers at {place}: {why}"),
            "start it with `weir up` or `weir gateway`, or correct --server",
        ),
        Unanswered::Silent => Finding::fail(
            CHECK,
            format!("what listens at {place} does not answer in time"),
            "if it is a gateway, it hangs: look at its log; else something else has that port",
        ),
        Unanswered::Broken(why) => Finding::fail(
            CHECK,
            format!("what listens at {place} gives no answer of HTTP: {why}"),
            "https:// if it speaks TLS; else something else has that port: choose another with \
             --http",
        ),
    }
}

fn judge_ready(place: &str, ready: &Result<Answer, Answer>) -> Finding {
    match ready {
        Ok(_) => Finding::ok(CHECK, format!("{place} is ready")),
        Err(no) if is_weir(no) => Finding::fail(
            CHECK,
            format!("{place} is not ready: {}", no.why()),
            "look at what it keeps everything in, below, and at its log",
        ),
        Err(no) => Finding::fail(
            CHECK,
            format!("what listens at {place} is not Weir ({})", no.status),
            "choose another port with --http, or correct --server",
        ),
    }
}

fn judge_clock(there: Option<Timestamp>, here: Timestamp) -> Option<Finding> {
    let apart = there?.duration_since(here).abs();
    let seconds = apart.as_secs();
    Some(if apart > APART {
        Finding::warn(
            CLOCK,
            format!("this machine and the gateway are {seconds} s apart"),
            "set both by NTP: tokens and keys count from one moment to another",
        )
    } else {
        Finding::ok(CLOCK, format!("{seconds} s from the gateway's"))
    })
}

/// Nothing where the page says what only a gateway of another version would.
fn judge_me(me: Result<Answer, Unanswered>, has_key: bool) -> Option<Finding> {
    let me = me.ok()?;
    if me.status == StatusCode::UNAUTHORIZED {
        let advice = if has_key {
            "show one that counts: --api-key-file or WEIR_API_KEY; `weir keys create` makes them"
        } else {
            "show a key: --api-key-file or WEIR_API_KEY; `weir keys create` makes them"
        };
        let detail = format!("the gateway wants to know who asks: {}", me.why());
        return Some(if has_key {
            Finding::fail(ACCESS, detail, advice)
        } else {
            Finding::note(ACCESS, detail, advice)
        });
    }
    let on = me.body["authentication"].as_bool()?;
    let text = |name: &str| me.body[name].as_str();
    Some(match (on, text("userId"), text("expiresAt")) {
        (false, _, _) => Finding::ok(ACCESS, "authentication is off: a request names its user"),
        (true, user, ends) => {
            let role = text("role").unwrap_or("user");
            let ends = ends.map(|it| format!(", until {it}")).unwrap_or_default();
            Finding::ok(ACCESS, format!("you are {} ({role}){ends}", user.unwrap_or("nobody")))
        }
    })
}

fn judge_status(status: Result<Answer, Unanswered>) -> Vec<Finding> {
    let status = match status {
        Ok(answer) if answer.status == StatusCode::OK => answer.body,
        // Who asks is told above.
        Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => return Vec::new(),
        Ok(answer) => {
            let advice = "look at what it keeps everything in, below, and at its log";
            return vec![Finding::fail(AGENTS, answer.why(), advice)];
        }
        Err(_none) => {
            let advice = "look at the gateway's log";
            return vec![Finding::fail(AGENTS, "the gateway does not say how it is", advice)];
        }
    };
    vec![
        judge_version(status["version"].as_str().unwrap_or("unknown")),
        judge_agents(status["agents"].as_array().map_or(&[], Vec::as_slice)),
    ]
}

fn judge_version(theirs: &str) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        return Finding::ok(VERSION, format!("{ours}, here and there"));
    }
    let detail = format!("the gateway is {theirs}, this is {ours}");
    Finding::warn(VERSION, detail, "bring both to one version")
}

fn judge_agents(agents: &[Value]) -> Finding {
    let mut models: Vec<_> =
        agents.iter().filter_map(|it| it["models"].as_array()).flatten().collect();
    models.dedup();
    let models: Vec<_> = models.iter().filter_map(|it| it.as_str()).collect();
    match agents.len() {
        0 => Finding::warn(
            AGENTS,
            "no agent has said that it runs",
            "start one with `weir agent`, with the same --nats as the gateway",
        ),
        1 => Finding::ok(AGENTS, format!("one, with {}", models.join(", "))),
        many => Finding::ok(AGENTS, format!("{many}, with {}", models.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    use serde_json::json;

    fn answer(status: u16, body: Value) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), date: None, body }
    }

    #[test]
    fn who_listens_is_told_from_who_should() {
        let weir =
            answer(503, json!({"type": "urn:weir:problem:unavailable", "detail": "no room"}));
        let found = judge_ready("http://a", &Err(weir));
        assert_eq!((found.outcome, found.detail.ends_with("no room")), (Outcome::Fail, true));
        let found = judge_ready("http://a", &Err(answer(404, Value::Null)));
        assert!(found.detail.contains("is not Weir (404"), "{found:?}");
        let found = judge_ready("http://a", &Err(answer(200, json!({"status": "fine"}))));
        assert_eq!(found.outcome, Outcome::Fail);
        assert_eq!(judge_ready("a", &Ok(answer(200, Value::Null))).outcome, Outcome::Ok);
    }

    #[test]
    fn a_gateway_that_nobody_named_may_be_away() {
        let away = || Unanswered::Unconnected("refused".to_owned());
        let untrusted = Unanswered::Unconnected("invalid peer certificate: Expired".to_owned());
        for (none, given, outcome, told) in [
            (away(), false, Outcome::Note, "weir up"),
            (away(), true, Outcome::Fail, "--server"),
            (untrusted, true, Outcome::Fail, "--ca"),
            (Unanswered::Silent, false, Outcome::Fail, "hangs"),
            (Unanswered::Broken(String::new()), false, Outcome::Fail, "--http"),
        ] {
            let found = judge_silence("http://a", &none, given);
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert!(found.advice.as_ref().unwrap().contains(told), "{found:?}");
        }
    }

    #[test]
    fn clocks_may_be_half_a_minute_apart() {
        let here: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        for (seconds, outcome) in [
            (0, Outcome::Ok),
            (30, Outcome::Ok),
            (-30, Outcome::Ok),
            (31, Outcome::Warn),
            (-31, Outcome::Warn),
        ] {
            let there = here + SignedDuration::from_secs(seconds);
            assert_eq!(judge_clock(Some(there), here).unwrap().outcome, outcome, "{seconds}");
        }
        assert_eq!(judge_clock(None, here), None);
    }

    #[test]
    fn who_asks_is_told_and_a_bad_key_fails() {
        let me = |status, body| Ok(answer(status, body));
        let no = || json!({"type": "urn:weir:problem:unauthenticated", "detail": "show a key"});
        for (me, has_key, outcome) in [
            (me(401, no()), true, Some(Outcome::Fail)),
            (me(401, no()), false, Some(Outcome::Note)),
            (me(200, json!({"authentication": false})), false, Some(Outcome::Ok)),
            (me(404, Value::Null), false, None),
            (Err(Unanswered::Silent), false, None),
        ] {
            assert_eq!(judge_me(me, has_key).map(|it| it.outcome), outcome);
        }
        let known = json!({"authentication": true, "userId": "ada", "role": "operator"});
        assert_eq!(judge_me(me(200, known), true).unwrap().detail, "you are ada (operator)");
    }

    #[test]
    fn versions_and_agents_are_compared_and_counted() {
        assert_eq!(judge_version(env!("CARGO_PKG_VERSION")).outcome, Outcome::Ok);
        assert_eq!(judge_version("9.9.9").outcome, Outcome::Warn);
        assert_eq!(judge_agents(&[]).outcome, Outcome::Warn);
        let one = json!({"models": ["openai/a", "extractive"]});
        assert_eq!(judge_agents(&[one]).detail, "one, with openai/a, extractive");
        let found = judge_status(Ok(answer(200, json!({"version": "9", "agents": []}))));
        assert_eq!(found.len(), 2);
        assert_eq!(judge_status(Ok(answer(401, Value::Null))), []);
        assert_eq!(judge_status(Ok(answer(503, Value::Null)))[0].outcome, Outcome::Fail);
    }
}
