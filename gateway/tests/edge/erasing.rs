//! `DELETE /v1/sessions/{session}`, while somebody asks, waits and reads.

use broker::{Bucket, Key, Outcome};
use proto::{Deleted, Entry, event};
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{Edge, Frames, frames, problem, session};

async fn erased(edge: &Edge, session: &str) {
    assert_eq!(edge.erase(session).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_erased_session_starts_empty_and_its_readers_stay() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let mut work = edge.work().await;
    work.text("secret").await;
    let mut events = edge.events("&after=start").await;
    let before = events.until("text").await;
    erased(&edge, "s").await;
    assert_eq!(work.try_to_complete().await, None, "the worker is fenced");
    let told = events.until("deleted").await;
    assert_eq!(told[0].data, json!({"sessionId": "s", "deleted": {}}));
    let state = edge.get("/v1/sessions/s?userId=u").send().await.unwrap();
    assert_eq!(state.json::<Value>().await.unwrap()["status"], "not_found");

    edge.accepted("Two?").await;
    let mut work = edge.work().await;
    work.text("new").await;
    work.complete().await;
    let rest = events.until("completed").await;
    assert_eq!(rest[0].data["started"]["input"], "Two?");
    let (old, tombstone) = (before[1].id.as_deref().unwrap(), told[0].id.as_deref().unwrap());
    for (after, first) in [("start", "deleted"), (old, "deleted"), (tombstone, "started")] {
        let again = edge.events(&format!("&after={after}")).await.until("completed").await;
        assert!(again[0].is(first), "after {after}: {again:?}");
        assert!(again.iter().all(|it| !it.raw.contains("secret")), "after {after}");
        assert_eq!(again.last(), rest.last());
    }
}

/// What a client of this dialect asks, and in which session.
async fn ask(edge: &Edge, dialect: &str) -> (&'static str, Response) {
    let chat =
        json!({"userId": "u", "sessionId": "s", "messages": [{"role": "user", "content": "Why?"}]});
    let (session, request) = match dialect {
        "chat" => ("s", edge.post("/chat", &chat)),
        "stream" => ("stream", edge.get("/stream?username=u&query=Why")),
        _native => ("s", edge.ask("Why?").header("accept", "text/event-stream")),
    };
    (session, request.send().await.unwrap())
}

#[tokio::test]
async fn a_turn_that_is_erased_ends_in_every_dialect() {
    for dialect in ["native", "chat", "stream"] {
        for runs in [true, false] {
            let edge = Edge::start().await;
            let (session, response) = ask(&edge, dialect).await;
            if runs {
                edge.work().await.text("secret").await;
            }
            erased(&edge, session).await;
            // A clean end: the body is complete.
            let said = frames(&response.text().await.unwrap());
            let last = said.last().unwrap();
            if dialect == "native" {
                assert!(last.is("deleted") && last.id.is_some(), "{last:?}");
            } else {
                assert!(last.is("end"), "{last:?}");
                assert_eq!(last.data["status"], "cancelled");
                assert_eq!(last.data["message"], "The session was deleted.");
            }
            assert_eq!(edge.broker.queue.depth().await.unwrap(), 0, "{dialect} {runs}");
        }
    }
}

#[tokio::test]
async fn who_waits_for_json_is_told_that_the_turn_was_erased() {
    for runs in [true, false] {
        let edge = Edge::start().await;
        let mut events = edge.events("&after=start").await;
        let asking = edge.ask("Why?").send();
        let erasing = async {
            // Asked for and waiting, as far as the queue knows.
            while edge.broker.queue.depth().await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
            if runs {
                edge.work().await.text("secret").await;
                events.until("text").await;
            }
            erased(&edge, "s").await;
        };
        let (response, ()) = tokio::join!(asking, erasing);
        let answer: Value = response.unwrap().json().await.unwrap();
        assert_eq!((&answer["status"], &answer["text"]), (&json!("cancelled"), &json!("")));
        assert_eq!(answer["error"]["code"], "session_deleted");
    }
}

#[tokio::test]
async fn a_question_that_is_accepted_during_an_erasure_comes_after_it() {
    let edge = Edge::start().await;
    let response = edge.ask("Why?").header("accept", "text/event-stream").send().await.unwrap();
    let mut turn = Frames::of(response);
    // The queue was cleared a moment before: the tombstone is not this turn's.
    let deleted = event::Kind::Deleted(Deleted {});
    let tombstone = Entry::after(None, "", 0, vec![deleted.into()]);
    let stored = broker::append(edge.broker.log.as_ref(), &session(), &tombstone).await;
    assert!(matches!(stored, Ok(Outcome::Stored(_))));
    let mut work = edge.work().await;
    work.text("Because").await;
    work.complete().await;
    let said = turn.until("completed").await;
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(turn.next().await.unwrap(), None);
}

#[tokio::test]
async fn there_is_nothing_to_erase_in_a_session_that_never_was_or_is_erased() {
    let edge = Edge::start().await;
    let refusal = problem(edge.erase("s").send().await.unwrap(), 404).await;
    assert_eq!(refusal["type"], "urn:weir:problem:not_found");
    edge.accepted("Why?").await;
    let others = json!({"userId": "v", "input": "Mine?"});
    let request = edge.post("/v1/sessions/s/turns", &others).header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
    erased(&edge, "s").await;
    problem(edge.erase("s").send().await.unwrap(), 404).await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 1, "another user's stays");
    let nobody = edge.http.delete(format!("http://{}/v1/sessions/s", edge.address));
    let refusal = problem(nobody.send().await.unwrap(), 400).await;
    assert_eq!(refusal["violations"][0]["field"], "userId");
}

#[tokio::test]
async fn an_erasure_takes_the_idempotency_keys_along() {
    let edge = Edge::start().await;
    let request = edge.ask("Why?").header("idempotency-key", "k").header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let keys = async || {
        edge.broker.records.list(Bucket::Keys, &Key::session(&session())).await.unwrap().len()
    };
    assert_eq!(keys().await, 1);
    erased(&edge, "s").await;
    assert_eq!(keys().await, 0);
}

#[tokio::test]
async fn many_erasures_at_once_are_one() {
    let (edge, other) = {
        let edge = Edge::start().await;
        let other = edge.another().await;
        (edge, other)
    };
    for _ in 0..10 {
        edge.accepted("Why?").await;
        let mut events = edge.events("&after=now").await;
        edge.work().await.text("secret").await;
        let erasures = (0..4).map(|it| [&edge, &other][it % 2].erase("s").send());
        let answers = futures::future::join_all(erasures).await;
        let statuses: Vec<_> = answers.into_iter().map(|it| it.unwrap().status()).collect();
        assert!(statuses.iter().all(|it| [200, 404].contains(&it.as_u16())), "{statuses:?}");
        assert!(statuses.iter().any(|it| *it == 200), "{statuses:?}");
        events.until("deleted").await;
        assert!(edge.last().await.entry.is_tombstone());
    }
}
