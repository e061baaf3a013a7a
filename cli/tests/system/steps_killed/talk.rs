//! One session whose turns are interrupted by deaths, as its reader sees it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::mcp;
use testkit::model::Call;
use testkit::sse::{Frame, Sse, raw};

use super::processes::Stage;
use super::{Point, SAID, Victim, script};
use crate::stage::{Client, is_end};
use crate::tools::decision;

/// Whether a call of the model is about this question.
pub(super) fn asks(call: &Call, question: &str) -> bool {
    let messages = call.body["messages"].as_array();
    let last = messages.and_then(|it| it.iter().rfind(|it| it["role"] == "user"));
    last.is_some_and(|it| it["content"] == question)
}

/// One session's turns, and everything that a reader hears of them.
pub(super) struct Talk {
    client: Client,
    session: String,
    pub(super) point: Point,
    /// Stands in the arguments of its calls.
    pub(super) tag: String,
    /// Where it begins in the log.
    position: String,
    live: Sse,
    pub(super) heard: Vec<Frame>,
}

impl Talk {
    /// Asks, and comes to the point.
    pub(super) async fn reach(
        stage: &Stage,
        session: String,
        point: Point,
        tag: u64,
    ) -> Result<Self> {
        let client = Client::of(&stage.gateway)?;
        let tag = tag.to_string();
        let live = client.events(&session, "now").await?;
        let (_, position) = client.submit(&session, &script(point, &tag).question()).await?;
        let mut talk = Self { client, session, point, tag, position, live, heard: Vec::new() };
        let server = &stage.around.server;
        let (asked, tag) = (format!("{} asked", talk.tag), talk.tag.clone());
        match point {
            Point::FirstText => talk.hear(|it| it.is("text")).await?,
            Point::Reading => {
                talk.hear(|it| it.json()["toolCall"]["callId"] == "read").await?;
                server.wait_for("reading", |calls| made(calls, "key", &tag) == 1).await?;
            }
            Point::Speaking => talk.hear(|it| it.json()["text"] == "Counted ").await?,
            Point::Effect => {
                talk.hear(|it| it.json()["toolCall"]["callId"] == "act").await?;
                server.wait_for("an effect", |calls| made(calls, "name", &tag) == 1).await?;
            }
            Point::Review => talk.hear(is_end).await?,
            Point::Decided => {
                talk.hear(is_end).await?;
                talk.decide().await?;
                talk.hear(|it| it.is("started")).await?;
                server.wait_for("what was asked", |calls| made(calls, "name", &asked) == 1).await?;
            }
        }
        Ok(talk)
    }

    pub(super) async fn hear(&mut self, last: impl Fn(&Frame) -> bool + Send) -> Result<()> {
        let heard = self.live.read_until(last).await;
        self.heard.extend(heard.with_context(|| format!("{:?} {:?}", self.point, self.heard))?);
        Ok(())
    }

    /// Decides what waits: what was never made is accepted, for what may have
    /// been made a human answers.
    pub(super) async fn decide(&mut self) -> Result<()> {
        let shown = self.client.session(&self.session).await?;
        let told = self.heard.last().context("an end")?.json();
        ensure!(shown["pending"] == told["interrupted"]["calls"], "{shown} is not {told}");
        let decided = |it: &Value| match it["reason"].as_str() {
            Some("outcome_unknown") => decision(it, "respond", &json!({ "message": "It was." })),
            _ => decision(it, "accept", &json!({})),
        };
        let calls = shown["pending"].as_array().context("calls")?;
        let decisions: Vec<_> = calls.iter().map(decided).collect();
        let turn = shown["interruptedTurnId"].as_str().context("a turn")?;
        let request = self.client.decide(&self.session, turn, &decisions);
        let accepted = request.header("prefer", "respond-async").send().await?;
        ensure!(accepted.status() == 202, "{:?} {}", self.point, accepted.text().await?);
        Ok(())
    }

    /// Goes on until there is nothing more to do.
    pub(super) async fn finish(&mut self) -> Result<()> {
        loop {
            if !self.heard.last().is_some_and(is_end) {
                self.hear(is_end).await?;
            }
            let end = self.heard.last().context("an end")?;
            if end.is("completed") {
                return Ok(());
            }
            ensure!(end.is("interrupted"), "{:?} {:?}", self.point, self.heard);
            self.decide().await?;
            self.hear(|it| it.is("started")).await?;
        }
    }

    /// How its turns ended, with the reason for an interruption.
    pub(super) fn ends(&self) -> Vec<String> {
        let ends = self.heard.iter().filter(|it| is_end(it)).map(|it| {
            let told = it.json();
            let reason = told["interrupted"]["calls"][0]["reason"].as_str();
            reason.or(it.event.as_deref()).unwrap_or_default().to_owned()
        });
        ends.collect()
    }

    /// What is left when every `rewind` has taken back what it names. Each must
    /// go to exactly the last step before it, or take nothing back: the next step
    /// was written down with the text before it, and its agent died before it was
    /// heard.
    pub(super) fn standing(&self) -> Result<Vec<Value>> {
        let mut turns: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for frame in &self.heard {
            let value = frame.json();
            let turn = turns.entry(value["turnId"].as_str().context("a turn")?.to_owned());
            let turn = turn.or_default();
            if frame.is("rewind") {
                let step = |it: &&Value| it["toolCall"].is_object() || it["toolResult"].is_object();
                let to = value["rewind"]["to"].as_u64().unwrap_or(0);
                let last = turn.iter().rfind(step).map_or(0, index);
                let here = turn.last().map_or(0, index);
                let exact = to == last || to == here;
                ensure!(exact, "{:?}: a rewind to {to}, not {last} or {here}", self.point);
                turn.retain(|it| index(it) <= to);
            } else {
                turn.push(value);
            }
        }
        Ok(turns.into_values().flatten().collect())
    }

    pub(super) async fn check(&mut self, stage: &Stage, victim: Victim) -> Result<()> {
        let (point, agent) = (self.point, victim.agent());
        let expected = match point {
            Point::Effect if agent => &["outcome_unknown", "review", "completed"][..],
            Point::Decided if agent => &["review", "outcome_unknown", "completed"],
            Point::FirstText
            | Point::Reading
            | Point::Speaking
            | Point::Effect
            | Point::Review
            | Point::Decided => &["review", "completed"],
        };
        assert_eq!(self.ends(), expected, "{point:?}");
        let standing = self.standing()?;
        let text: String = standing.iter().filter_map(|it| it["text"].as_str()).collect();
        assert_eq!(text, SAID.concat(), "{point:?}");
        for field in ["toolCall", "toolResult"] {
            let said = standing.iter().filter_map(|it| it[field]["callId"].as_str());
            assert_eq!(said.collect::<Vec<_>>(), ["read", "count", "act", "ask"], "{point:?}");
        }
        self.was_hit(victim);
        self.counted(&stage.around.server.calls(), agent);
        let question = script(point, &self.tag).question();
        let asked = stage.around.model.calls().iter().filter(|it| asks(it, &question)).count();
        let again = agent && matches!(point, Point::FirstText | Point::Speaking);
        assert_eq!(asked, 5 + usize::from(again), "{point:?}");

        let mut late = self.client.events(&self.session, &self.position).await?;
        let mut read = Vec::new();
        while read.len() < self.heard.len() {
            read.push(late.next().await?.context("the log has less than was heard")?);
        }
        assert_eq!(raw(&read), raw(&self.heard), "{point:?}");
        Ok(())
    }

    /// Whoever died had this turn, unless there was nothing to have.
    pub(super) fn was_hit(&self, victim: Victim) {
        let (waits, point) = (self.point == Point::Review, self.point);
        let taken_over = self.heard.iter().any(|it| it.json()["attempt"] == 2);
        assert_eq!(taken_over, victim.worker() && !waits, "{point:?}");
        // Of a call that was just accepted nothing had been said.
        let said = !waits && point != Point::Decided;
        let rewinds = self.heard.iter().filter(|it| it.is("rewind")).count();
        assert_eq!(rewinds, usize::from(victim.agent() && said), "{point:?}");
    }

    /// Every call with an effect was made once; only what reads may be repeated.
    pub(super) fn counted(&self, calls: &[mcp::Call], agent: bool) {
        let (point, tag) = (self.point, &self.tag);
        let number: Value = tag.parse::<u64>().unwrap_or_default().into();
        let counts = calls.iter().filter(|it| it.arguments.get("by") == Some(&number)).count();
        assert_eq!(counts, 1, "{point:?}: count");
        assert_eq!(made(calls, "name", &format!("{tag} asked")), 1, "{point:?}: asked");
        let named = made(calls, "name", tag);
        let keyed = made(calls, "key", tag);
        let reads = 1 + usize::from(agent && point == Point::Reading);
        let early = !matches!(point, Point::Review | Point::Decided);
        let expected = if early { (1, reads) } else { (0, reads + 1) };
        assert_eq!((named, keyed), expected, "{point:?}: act");
    }
}

/// How many calls have this text as this argument.
pub(super) fn made(calls: &[mcp::Call], argument: &str, text: &str) -> usize {
    let has = |it: &&mcp::Call| it.arguments.get(argument).is_some_and(|it| it == text);
    calls.iter().filter(has).count()
}

pub(super) fn index(event: &Value) -> u64 {
    event["index"].as_u64().unwrap_or(0)
}
