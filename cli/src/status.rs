//! `weir status`: how a gateway says that it is.

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::client::Client;
use crate::flags::Status;
use crate::visit::{Answer, Unanswered, Visit};
use crate::{Ended, output, plain};

/// Ready is success; everything else is none, and says why.
pub(crate) async fn run(flags: Status) -> Ended {
    process::telemetry("warn");
    let (visit, client) = (Visit::to(&flags.peer)?, Client::new(&flags.peer)?);
    let place = client.place();
    let ready = visit.ready().await.map_err(|none| anyhow!("{}", away(&place, &none)))?;
    let (status, me) = tokio::join!(client.status(), client.me());
    let told = Told {
        unready: ready.err().map(|it| why(&it)),
        withheld: status.as_ref().err().map(ToString::to_string),
        status: status.unwrap_or_default(),
        me: me.ok(),
    };
    if flags.json {
        output::json(&told.json())?;
    } else {
        output::print(&told.lines(&place))?;
    }
    for wrong in [&told.unready, &told.withheld].into_iter().flatten() {
        output::note(&format!("weir: {}", plain::line(wrong)));
    }
    Ok(if told.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn away(place: &str, none: &Unanswered) -> String {
    match none {
        Unanswered::Unconnected(why) => format!("no gateway answers at {place} ({why})"),
        Unanswered::Silent => format!("what listens at {place} does not answer in time"),
        Unanswered::Broken(why) => format!("what listens at {place} is no gateway ({why})"),
    }
}

fn why(no: &Answer) -> String {
    if no.is_problem() { no.why() } else { format!("what answers is not Weir ({})", no.status) }
}

/// What a gateway said.
struct Told {
    /// Why it takes no work.
    unready: Option<String>,
    /// Why it does not say how it is.
    withheld: Option<String>,
    status: Value,
    me: Option<Value>,
}

impl Told {
    fn is_well(&self) -> bool {
        self.unready.is_none() && self.withheld.is_none()
    }

    fn json(&self) -> Value {
        let mut told = json!({ "ready": self.unready.is_none() });
        if self.withheld.is_none() {
            told["status"] = self.status.clone();
        }
        if let Some(me) = &self.me {
            told["me"] = me.clone();
        }
        told
    }

    /// One thing a line, its name first.
    fn lines(&self, place: &str) -> String {
        let ready = if self.unready.is_none() { "ready" } else { "not ready" };
        let mut lines = vec![("gateway", format!("{ready}, at {place}"))];
        if self.withheld.is_none() {
            lines.extend(status(&self.status));
        }
        lines.extend(self.me.as_ref().map(|it| ("you", you(it))));
        let line = |(name, told): &(&str, String)| format!("{name:<10}{}\n", plain::line(told));
        lines.iter().map(line).collect::<Vec<_>>().concat()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("unknown")
}

fn status(status: &Value) -> Vec<(&'static str, String)> {
    let broker = &status["broker"];
    let place = broker["place"].as_str().map(|it| format!(" at {it}")).unwrap_or_default();
    let depth = status["queue"]["depth"].as_u64().unwrap_or_default();
    let agents = status["agents"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines = vec![
        ("version", text(status, "version").to_owned()),
        ("broker", format!("{}{place}", text(broker, "kind"))),
        ("durable", format!("{}: {}", text(broker, "level"), text(broker, "durability"))),
        ("queue", format!("unfinished jobs: {depth}")),
    ];
    if agents.is_empty() {
        lines.push(("agents", "none has said that it runs".to_owned()));
    }
    lines.extend(agents.iter().map(|it| ("agent", agent(it))));
    lines.push(("models", names(&status["models"])));
    lines
}

fn agent(agent: &Value) -> String {
    let since = agent["since"].as_str().map(|it| format!(", since {it}")).unwrap_or_default();
    format!("{}{since}, with {}", text(agent, "version"), names(&agent["models"]))
}

fn names(names: &Value) -> String {
    let names = names.as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn you(me: &Value) -> String {
    if me["authentication"] != true {
        return "whoever a request names: authentication is off".to_owned();
    }
    let ends = me["expiresAt"].as_str().map(|it| format!(", until {it}")).unwrap_or_default();
    format!("{} ({}){ends}", text(me, "userId"), text(me, "role"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        let agent = json!({"version": "1", "models": ["a/b"], "since": "2030-01-01T00:00:00Z"});
        let broker = json!({"kind": "nats", "level": "disk", "durability": "stored in a file"});
        let status = json!({
            "version": "1", "broker": broker, "queue": {"depth": 3}, "agents": [agent],
            "models": ["a/b", "x\u{1b}"],
        });
        let me = Some(json!({"authentication": true, "userId": "ada", "role": "user"}));
        Told { unready: None, withheld: None, status, me }
    }

    #[test]
    fn a_gateway_is_told_in_a_few_lines() {
        let expected = "gateway   ready, at http://a\n\
            version   1\n\
            broker    nats\n\
            durable   disk: stored in a file\n\
            queue     unfinished jobs: 3\n\
            agent     1, since 2030-01-01T00:00:00Z, with a/b\n\
            models    a/b, x\\u{1b}\n\
            you       ada (user)\n";
        assert_eq!(told().lines("http://a"), expected);
    }

    #[test]
    fn what_is_withheld_or_away_is_left_out() {
        let told = Told {
            unready: Some("no broker".to_owned()),
            withheld: Some("no key".to_owned()),
            me: None,
            ..told()
        };
        assert!(!told.is_well());
        assert_eq!(told.lines("http://a"), "gateway   not ready, at http://a\n");
        assert_eq!(told.json(), json!({"ready": false}));
        let none = status(&json!({}));
        assert!(none.contains(&("agents", "none has said that it runs".to_owned())));
        assert_eq!(you(&json!({"authentication": false})), you(&Value::Null));
    }
}
