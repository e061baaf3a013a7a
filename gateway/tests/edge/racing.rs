//! Two things at the same moment, over and over: whoever is first, all agree.

use std::collections::HashSet;

use futures::future::join_all;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::harness::{Edge, Frames, frames, problem};

/// Rounds of each race.
const ROUNDS: usize = 40;

async fn two() -> [Edge; 2] {
    let edge = Edge::start().await;
    let other = edge.another().await;
    [edge, other]
}

fn ask(edge: &Edge, session: &str, input: &str, admission: &str) -> RequestBuilder {
    let body = json!({"userId": "u", "input": input, "admission": admission});
    let request = edge.post(&format!("/v1/sessions/{session}/turns"), &body);
    request.header("prefer", "respond-async")
}

/// Sends all at once.
async fn at_once(requests: impl IntoIterator<Item = RequestBuilder>) -> Vec<Response> {
    let answers = join_all(requests.into_iter().map(RequestBuilder::send)).await;
    answers.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn one_key_on_two_gateways_at_once_is_one_turn() {
    let edges = two().await;
    for admission in ["reject", "enqueue", "interrupt"] {
        for round in 0..ROUNDS {
            let (session, key) = (format!("{admission}{round}"), format!("{admission}-{round}"));
            let requests = (0..4).map(|it| {
                let request = ask(&edges[it % 2], &session, "Why?", admission);
                request.header("idempotency-key", &key)
            });
            let mut turns = HashSet::new();
            for answer in at_once(requests).await {
                assert_eq!(answer.status(), 202, "{admission} {round}");
                let receipt: Value = answer.json().await.unwrap();
                turns.insert(receipt["turnId"].to_string());
            }
            assert_eq!(turns.len(), 1, "{admission} {round}");
            let work = edges[0].work().await;
            assert_eq!(
                json!(work.delivery.turn.to_string()).to_string(),
                *turns.iter().next().unwrap()
            );
            let log = &edges[0].broker.log;
            let last = log.last(&work.delivery.session).await.unwrap().unwrap();
            assert!(last.entry.state.unwrap().cancels.is_empty(), "{admission} {round}");
            work.settle().await;
            assert_eq!(edges[0].broker.queue.depth().await.unwrap(), 0, "{admission} {round}");
        }
    }
}

#[tokio::test]
async fn one_key_for_two_questions_at_once_is_one_turn_and_a_refusal() {
    let edges = two().await;
    for round in 0..ROUNDS {
        let session = format!("s{round}");
        let requests = (0..4).map(|it| {
            let input = if it < 2 { "One?" } else { "Two?" };
            let request = ask(&edges[it % 2], &session, input, "enqueue");
            request.header("idempotency-key", format!("k{round}"))
        });
        let answers = at_once(requests).await;
        let statuses: Vec<_> = answers.iter().map(|it| it.status().as_u16()).collect();
        assert!(
            [[202, 202, 422, 422], [422, 422, 202, 202]]
                .contains(&statuses[..].try_into().unwrap()),
            "{statuses:?}"
        );
        edges[0].work().await.settle().await;
        assert_eq!(edges[0].broker.queue.depth().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_question_right_behind_an_end_is_never_refused() {
    let edges = two().await;
    edges[0].accepted("First?").await;
    for round in 0..ROUNDS {
        let mut work = edges[0].work().await;
        work.complete().await;
        // Its acknowledgement is under way.
        let next = ask(&edges[round % 2], "s", "Next?", "reject").send();
        let (answer, ()) = tokio::join!(next, work.settle());
        assert_eq!(answer.unwrap().status(), 202, "round {round}");
    }
}

#[tokio::test]
async fn of_two_questions_at_once_one_is_refused_with_the_other() {
    let edges = two().await;
    for round in 0..ROUNDS {
        let session = format!("s{round}");
        let requests = edges.iter().map(|it| ask(it, &session, "Why?", "reject"));
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for answer in at_once(requests).await {
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap();
            if status == 202 { accepted.push(body) } else { refused.push((status, body)) }
        }
        assert_eq!((accepted.len(), refused.len()), (1, 1), "{accepted:?} {refused:?}");
        assert_eq!(refused[0].0, 409);
        assert_eq!(refused[0].1["turnId"], accepted[0]["turnId"]);
    }
}

#[tokio::test]
async fn a_cancel_that_races_the_end_agrees_with_the_log() {
    let [edge, other] = two().await;
    let (mut stopped, mut late) = (0, 0);
    for round in 0..ROUNDS * 3 {
        let turn = edge.accepted("Why?").await["turnId"].clone();
        let mut work = edge.work().await;
        let cancel = other.post("/v1/sessions/s/cancel", &json!({"userId": "u", "turnId": turn}));
        let yields = round % 30;
        let end = async {
            for _ in 0..yields * 20 {
                tokio::task::yield_now().await;
            }
            work.try_to_complete().await
        };
        let (answer, ended) = tokio::join!(cancel.send(), end);
        let answer = answer.unwrap();
        if ended.is_some() {
            late += 1;
            let refusal = problem(answer, 409).await;
            assert_eq!((&refusal["turnId"], &refusal["turnStatus"]), (&turn, &json!("completed")));
        } else {
            stopped += 1;
            assert_eq!(answer.status(), 202);
            work.catch_up().await;
            let cancelled = proto::event::Kind::Cancelled(proto::Cancelled {});
            work.say(vec![cancelled]).await;
        }
        work.settle().await;
    }
    assert!(stopped > 0 && late > 0, "{stopped} stopped, {late} too late: no race was seen");
}

#[tokio::test]
async fn an_interruption_that_finds_no_room_stops_nothing() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let work = edge.work().await;
    let waits = ask(&edge, "s", "Two?", "enqueue").send().await.unwrap();
    assert_eq!(waits.status(), 202);
    problem(ask(&edge, "s", "Three?", "interrupt").send().await.unwrap(), 429).await;
    assert!(edge.last().await.entry.state.unwrap().cancels.is_empty());
    drop(work);
}

#[tokio::test]
async fn an_interruption_that_races_the_end_never_stops_itself() {
    let [edge, other] = two().await;
    edge.accepted("First?").await;
    for round in 0..ROUNDS {
        let mut work = edge.work().await;
        let mine = work.delivery.turn.to_string();
        let next = ask(&other, "s", "Next?", "interrupt").send();
        let yields = round * 10;
        let end = async {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            let ended = work.try_to_complete().await;
            if ended.is_none() {
                work.catch_up().await;
                work.say(vec![proto::event::Kind::Cancelled(proto::Cancelled {})]).await;
            }
            work.settle().await;
        };
        let (answer, ()) = tokio::join!(next, end);
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 202, "round {round}");
        let next: Value = answer.json().await.unwrap();
        let cancels = edge.last().await.entry.state.unwrap().cancels;
        assert!(!cancels.iter().any(|it| json!(it) == next["turnId"]), "{mine} {cancels:?}");
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_at_the_instant_of_the_end_gets_it_once() {
    let [edge, other] = two().await;
    for round in 0..ROUNDS {
        let key = format!("k{round}");
        let again = |edge: &Edge| {
            let request = edge.ask("Why?").header("idempotency-key", &key);
            request.header("accept", "text/event-stream")
        };
        let mut first = Frames::of(again(&edge).send().await.unwrap());
        let mut work = edge.work().await;
        work.text("Because").await;
        let had = first.until("text").await.pop().unwrap().id.unwrap();
        drop(first);
        let turn = again(&other).header("last-event-id", &had).send();
        let session = other.get("/v1/sessions/s/events?userId=u").header("last-event-id", &had);
        let end = async {
            for _ in 0..round * 10 {
                tokio::task::yield_now().await;
            }
            work.complete().await;
        };
        let (turn, session, ()) = tokio::join!(turn, session.send(), end);
        let turn = frames(&turn.unwrap().text().await.unwrap());
        let kinds: Vec<_> = turn[1..].iter().map(|it| it.event.clone().unwrap()).collect();
        assert_eq!(kinds, ["completed"], "round {round}");
        let told = Frames::of(session.unwrap()).until("completed").await;
        assert_eq!(told, turn[1..], "round {round}");
        work.settle().await;
    }
}
