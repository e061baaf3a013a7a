//! What retention has taken is said aloud, then what is there.

use broker::Sequence;
use proto::event;

use crate::harness::{Edge, Frame, Frames, Work, session};

async fn purge(edge: &Edge, before: Sequence) {
    edge.broker.log.purge(&session(), before).await.unwrap();
}

/// Says texts; where each one stands.
async fn say(edge: &Edge, work: &mut Work, texts: &[&str]) -> Vec<Sequence> {
    let mut places = Vec::new();
    for text in texts {
        work.text(text).await;
        places.push(edge.last().await.sequence);
    }
    places
}

fn check_gap(gap: &Frame, reason: &str, asked: &str, next: &Frame) {
    assert!(gap.is("gap") && gap.id.is_none(), "{gap:?}");
    let said = &gap.data["gap"];
    assert_eq!((&said["reason"], &said["asked"]), (&reason.into(), &asked.into()), "{gap:?}");
    if let Some(id) = &next.id {
        let place = id.split_once('.').map_or(id.as_str(), |it| it.0);
        assert_eq!(said["next"], place, "{gap:?} {next:?}");
    }
}

#[tokio::test]
async fn a_reader_whose_position_expired_gets_a_gap_the_text_so_far_and_then_live() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let mut work = edge.work().await;
    let first = say(&edge, &mut work, &["a", "b", "c"]).await;
    work.complete().await;
    work.settle().await;
    let had = edge.events("&after=start").await.until("text").await.pop().unwrap().id.unwrap();
    edge.accepted("Two?").await;
    let mut work = edge.work().await;
    let second = say(&edge, &mut work, &["1", "2", "3"]).await;
    // What is left of the first turn is told as it was said.
    purge(&edge, first[2]).await;
    let mut events = edge.events(&format!("&after={had}")).await;
    let told = events.until("completed").await;
    check_gap(&told[0], "expired", &had, &told[1]);
    assert_eq!(told[1].data["text"], "c");
    let so_far = events.until("text").await;
    assert!(so_far[0].is("started") && so_far[0].id.is_none());
    assert_eq!(so_far[1].data["text"], "123");
    // Nothing is left of it, nor of the running turn's beginning.
    purge(&edge, second[1]).await;
    let mut events = edge.events(&format!("&after={had}")).await;
    let told = events.until("text").await;
    assert_eq!(told.len(), 2);
    check_gap(&told[0], "expired", &had, &Frame { id: None, ..told[1].clone() });
    assert!(told[0].data["gap"]["next"].as_str().unwrap().ends_with(&second[1].to_string()));
    assert_eq!(told[1].data["text"], "23");
    let id = told[1].id.as_deref().unwrap();
    assert!(id.ends_with(&format!("-{}", second[2])), "resumes behind what was merged: {id}");
    work.text("4").await;
    assert_eq!(events.until("text").await[0].data["text"], "4");
}

#[tokio::test]
async fn a_late_joiner_is_told_when_the_beginning_of_the_turn_is_gone() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    let began = edge.events("&after=start").await.until("started").await.pop().unwrap().id.unwrap();
    let places = say(&edge, &mut work, &["1", "2", "3"]).await;
    purge(&edge, places[1]).await;
    let told = edge.events("").await.until("text").await;
    check_gap(&told[0], "expired", &began, &Frame { id: None, ..told[1].clone() });
    assert_eq!(told[1].data["text"], "23");
    let told = edge.events("&after=start").await.until("text").await;
    check_gap(&told[0], "expired", "start", &Frame { id: None, ..told[1].clone() });
}

#[tokio::test]
async fn a_part_of_an_entry_that_is_gone_is_a_gap() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    let texts = ["a", "b"].map(|it| event::Kind::Text(it.into()));
    let citation = event::Kind::Citation(proto::Citation { number: 1, ..Default::default() });
    let [first, second] = texts;
    work.say(vec![first, citation, second]).await;
    let had = edge.events("&after=start").await.until("citation").await.pop().unwrap().id.unwrap();
    let places = say(&edge, &mut work, &["c"]).await;
    purge(&edge, places[0]).await;
    let told = edge.events(&format!("&after={had}")).await.until("text").await;
    check_gap(&told[0], "expired", had.rsplit_once('.').unwrap().0, &told[1]);
    assert_eq!(told[1].data["text"], "c");
}

#[tokio::test]
async fn a_position_of_another_log_with_nothing_running_goes_on_live() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let mut work = edge.work().await;
    work.complete().await;
    work.settle().await;
    let end = edge.last().await.sequence;
    let mut events = edge.events("&after=zz-7").await;
    let told = events.until("gap").await;
    assert_eq!(told[0].data["gap"]["reason"], "other_log");
    assert!(told[0].data["gap"]["next"].as_str().unwrap().ends_with(&format!("-{end}")));
    edge.accepted("Two?").await;
    let mut work = edge.work().await;
    work.text("live").await;
    let told = events.until("text").await;
    assert!(told[0].is("started") && told[0].id.is_some());
}

#[tokio::test]
async fn a_log_that_expires_under_a_slow_reader_is_said_in_the_middle_of_its_stream() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    // Far more than the way to the client holds, and nobody reads yet.
    let request = edge.get("/v1/sessions/s/events?userId=u&after=start");
    let mut slow = Frames::of(request.send().await.unwrap());
    let long = "x".repeat(100 * 1024);
    for _ in 0..60 {
        work.text(&long).await;
    }
    let kept = say(&edge, &mut work, &["kept ", "too"]).await;
    purge(&edge, kept[0]).await;
    let told = slow.until("gap").await;
    assert!(told.len() < 60, "{} frames before the gap", told.len());
    let last = told[told.len() - 2].id.clone().unwrap();
    check_gap(told.last().unwrap(), "expired", &last, &Frame { id: None, ..told[0].clone() });
    let so_far = slow.until("text").await;
    assert_eq!(so_far[0].data["text"], "kept too");
    work.text("live").await;
    work.complete().await;
    let rest = slow.until("completed").await;
    assert_eq!(rest[0].data["text"], "live");
}

#[tokio::test]
async fn who_waits_for_json_is_told_when_a_part_of_the_turn_is_gone() {
    let edge = Edge::start().await;
    let key = || edge.ask("Why?").header("idempotency-key", "k");
    let receipt = key().header("prefer", "respond-async").send().await.unwrap();
    assert_eq!(receipt.status(), 202);
    let mut work = edge.work().await;
    let places = say(&edge, &mut work, &["1", "2"]).await;
    purge(&edge, places[1]).await;
    work.complete().await;
    let refusal = crate::harness::problem(key().send().await.unwrap(), 410).await;
    assert_eq!(refusal["type"], "urn:weir:problem:turn_expired");
    assert_eq!(refusal["turnId"], work.delivery.turn.to_string());
}

#[tokio::test]
async fn a_turn_that_expires_under_its_reader_is_told_anew_once() {
    let edge = Edge::start().await;
    let request = edge.ask("Why?").header("accept", "text/event-stream");
    let mut slow = Frames::of(request.send().await.unwrap());
    let mut work = edge.work().await;
    let long = "x".repeat(100 * 1024);
    for _ in 0..60 {
        work.text(&long).await;
    }
    let kept = say(&edge, &mut work, &["kept ", "too"]).await;
    purge(&edge, kept[0]).await;
    let told = slow.until("gap").await;
    assert!(told.len() < 60, "{} frames before the gap", told.len());
    assert_eq!(slow.until("text").await[0].data["text"], "kept too");
    work.text("live").await;
    work.complete().await;
    let rest = slow.until("completed").await;
    assert_eq!((rest.len(), &rest[0].data["text"]), (2, &"live".into()));
    assert_eq!(slow.next().await.unwrap(), None);
}
