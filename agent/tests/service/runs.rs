//! One turn at several agents: what a reader has in the end is one run's text.

use proto::ask_event::Kind;
use proto::{AskEvent, AskRequest};
use testkit::model::{FakeModel, Script};

use crate::world::{Answer, World, next, openai, question, records, script, until};

/// Two agents with one store and one model, whose every word names the call.
async fn two() -> (World, World, FakeModel) {
    let (store, model) = (records().await, FakeModel::start().await.unwrap());
    let url = model.base_url();
    let at = |config: &mut agent::Config| config.providers = openai(Some("k"), Some(&url));
    let first = World::with(at, std::sync::Arc::clone(&store)).await;
    let second = World::with(at, store).await;
    (first, second, model)
}

/// What somebody has who reads a turn wherever it is.
#[derive(Default)]
struct Has {
    events: Vec<AskEvent>,
}

impl Has {
    fn take(&mut self, events: impl IntoIterator<Item = AskEvent>) {
        for event in events {
            if let Some(Kind::Rewind(back)) = &event.kind {
                self.events.retain(|it| it.index <= back.to);
            } else {
                self.events.push(event);
            }
        }
    }

    /// The same turn, for somebody who has this.
    fn go_on(&self, asked: &AskRequest) -> AskRequest {
        let last = self.events.last();
        AskRequest {
            resume_after: last.map_or(0, |it| it.index),
            resume_run: last.map_or(0, |it| it.run),
            ..asked.clone()
        }
    }

    fn last(&self) -> usize {
        self.events.last().map_or(0, |it| it.index as usize)
    }

    fn text(&self) -> String {
        crate::world::texts(&self.events)
    }
}

fn words(call: usize, count: usize) -> String {
    (0..count).map(|it| format!("w/{call}/{it} ")).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn from_one_agent_to_another_and_back_the_text_is_that_of_one_run() {
    for (at_first, at_second) in [(3, 2), (2, 5), (5, 5), (1, 1), (5, 0)] {
        let (first, second, model) = two().await;
        let named = Script { name: Some("w".to_owned()), tokens: Some(8), ..Script::default() };
        let asked = script(&Script { hold_after: Some(5), ..named });
        let mut has = Has::default();
        let mut events = first.ask(asked.clone()).await.unwrap();
        has.take(until(&mut events, at_first).await);
        drop(events);
        assert_eq!(has.text(), words(1, has.last()));
        if at_second > 0 {
            let mut events = second.ask(has.go_on(&asked)).await.unwrap();
            let back = next(&mut events).await;
            assert!(matches!(back.kind, Some(Kind::Rewind(proto::Rewind { to: 0 }))), "{back:?}");
            has.take([back]);
            has.take(until(&mut events, at_second).await);
            assert_eq!(has.text(), words(2, has.last()));
        }
        model.release();
        let rest = Answer::read(first.ask(has.go_on(&asked)).await.unwrap()).await;
        has.take(rest.events);
        assert_eq!(has.text(), words(1, 8), "{at_first} there, {at_second} elsewhere");
        let calls = model.calls().len();
        assert_eq!(calls, if at_second > 0 { 2 } else { 1 }, "the first run was kept");
    }
}

#[tokio::test]
async fn every_event_names_its_run_and_another_agent_has_another_name() {
    let (first, second, _model) = two().await;
    let asked = question("hello");
    let mut runs = Vec::new();
    for world in [&first, &second] {
        let answer = world.answer(asked.clone()).await;
        let run = answer.events[0].run;
        assert!(run != 0 && answer.events.iter().all(|it| it.run == run));
        runs.push(run);
    }
    assert_ne!(runs[0], runs[1]);
}

#[tokio::test]
async fn an_agent_that_drains_finishes_its_turns_while_new_ones_go_elsewhere() {
    let (first, second, model) = two().await;
    let asked = script(&Script { tokens: Some(9), hold_after: Some(3), ..Script::default() });
    let mut has = Has::default();
    let mut events = first.ask(asked.clone()).await.unwrap();
    has.take(until(&mut events, 3).await);
    first.life.drain();
    first.ask(question("hello")).await.expect_err("it takes no new turn");
    let elsewhere = AskRequest { session_id: "another".to_owned(), ..question("hello") };
    assert!(second.answer(elsewhere).await.completed());
    model.release();
    has.take(Answer::read(events).await.events);
    let whole = (0..9).map(|it| format!("t{it} ")).collect::<Vec<_>>().concat();
    assert_eq!(has.text(), whole, "not one word is lost or doubled");
    // Who lost his stream in the drain is served elsewhere, and told so.
    let again = Answer::read(second.ask(has.go_on(&asked)).await.unwrap()).await;
    has.take(again.events);
    assert_eq!(has.text(), whole);
}
