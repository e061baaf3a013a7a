//! `GET /v1/sessions/{session}/events` and the session's state.

use std::time::Duration;

use gateway::Config;
use proto::event;
use serde_json::{Value, json};

use crate::harness::{Edge, Frame, problem};

/// Plays a turn whose entries make one frame and several.
async fn play(edge: &Edge) {
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    for n in 0..10 {
        work.text(&format!("t{n} ")).await;
        let text = |it: &str| event::Kind::Text(it.into());
        let citation = proto::Citation { number: n + 1, ..Default::default() };
        work.say(vec![text("a"), event::Kind::Citation(citation), text("b")]).await;
    }
    work.complete().await;
    work.settle().await;
}

fn bytes(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|it| it.raw.as_str()).collect()
}

#[tokio::test]
async fn a_reader_cut_after_any_frame_gets_exactly_the_rest() {
    let edge = Edge::start().await;
    play(&edge).await;
    let whole = edge.events("&after=start").await.until("completed").await;
    assert_eq!(whole.len(), 2 + 10 * 4);
    for cut in 1..whole.len() {
        let last = whole[cut - 1].id.clone().unwrap();
        // The header wins over the parameter.
        let request = edge.get("/v1/sessions/s/events?userId=u&after=now");
        let response = request.header("last-event-id", &last).send().await.unwrap();
        let rest = crate::harness::Frames::of(response).until("completed").await;
        assert_eq!(bytes(&rest), bytes(&whole[cut..]), "cut after {last}");
        let rest = edge.events(&format!("&after={last}")).await.until("completed").await;
        assert_eq!(bytes(&rest), bytes(&whole[cut..]), "cut after {last}");
    }
}

#[tokio::test]
async fn a_late_joiner_gets_the_text_so_far_as_one_event_and_then_the_rest() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    for text in ["Be", "ca", "xx"] {
        work.text(text).await;
    }
    work.say(vec![event::Kind::Rewind(proto::Rewind { to: 2 })]).await;
    let mut events = edge.events("").await;
    let so_far = events.until("text").await;
    assert_eq!(so_far.len(), 2);
    assert!(so_far[0].is("started") && so_far[0].id.is_none());
    assert_eq!(so_far[1].data["text"], "Beca");
    work.text("use").await;
    work.complete().await;
    let rest = events.until("completed").await;
    assert_eq!(rest[0].data["text"], "use");
    let last = so_far[1].id.clone().unwrap();
    let again = edge.events(&format!("&after={last}")).await.until("completed").await;
    assert_eq!(bytes(&again), bytes(&rest));
}

#[tokio::test]
async fn a_session_without_a_running_turn_is_watched_from_now_across_turns() {
    let edge = Edge::start().await;
    play(&edge).await;
    let (mut default, mut now) = (edge.events("").await, edge.events("&after=now").await);
    play(&edge).await;
    play(&edge).await;
    for events in [&mut default, &mut now] {
        let (first, second) = (events.until("completed").await, events.until("completed").await);
        assert_eq!((first.len(), second.len()), (42, 42));
        assert_ne!(first[0].data["turnId"], second[0].data["turnId"]);
    }
}

#[tokio::test]
async fn a_position_that_the_log_does_not_have_is_answered_with_a_gap() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    work.text("Because").await;
    let own = edge.events("&after=start").await.until("text").await;
    let epoch = own[0].id.as_deref().unwrap().split_once('-').unwrap().0.to_owned();
    for (position, reason) in [
        ("zz-1".to_owned(), "other_log"),
        ("zz-1.2".to_owned(), "other_log"),
        (format!("{epoch}-999999"), "unknown_position"),
        (format!("{epoch}-999999.3"), "unknown_position"),
    ] {
        let frames = edge.events(&format!("&after={position}")).await.until("text").await;
        assert!(frames[0].is("gap"), "{position}");
        assert_eq!(frames[0].data["gap"]["reason"], reason);
        assert!(frames[0].id.is_none());
        assert_eq!(frames[0].data["gap"]["next"], own[0].id.as_deref().unwrap());
        // The running turn up to now, resumable behind its last frame.
        assert!(frames[1].is("started") && frames[1].id.is_none());
        assert_eq!(bytes(&frames[2..]), bytes(&own[1..]));
    }
}

#[tokio::test]
async fn what_is_no_position_is_refused_by_name() {
    let edge = Edge::start().await;
    for bad in ["", "x", "a-b", "1-1.0", "1-1.x", "%0a", "-"] {
        let path = format!("/v1/sessions/s/events?userId=u&after={bad}");
        let refusal = problem(edge.get(&path).send().await.unwrap(), 400).await;
        assert_eq!(refusal["violations"][0]["field"], "after", "{bad}");
    }
    let request = edge.get("/v1/sessions/s/events?userId=u").header("last-event-id", "x");
    let refusal = problem(request.send().await.unwrap(), 400).await;
    assert_eq!(refusal["violations"][0]["field"], "Last-Event-ID");
    let refusal = problem(edge.get("/v1/sessions/s/events").send().await.unwrap(), 400).await;
    assert_eq!(refusal["violations"][0]["field"], "userId");
}

#[tokio::test]
async fn silence_is_broken_by_comments_without_an_id() {
    let config = Config { keep_alive: Duration::from_millis(20), ..Config::default() };
    let edge = Edge::with(config).await;
    let mut events = edge.events("").await;
    let first = events.next().await.unwrap().unwrap();
    assert_eq!(first.raw, "retry: 1000");
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap().unwrap().raw, ":");
    }
}

#[tokio::test]
async fn two_users_with_the_same_session_id_never_meet() {
    let edge = Edge::start().await;
    play(&edge).await;
    let state: Value =
        edge.get("/v1/sessions/s?userId=v").send().await.unwrap().json().await.unwrap();
    assert_eq!(state["status"], "not_found");
}

#[tokio::test]
async fn the_sessions_state_follows_its_turn() {
    let edge = Edge::start().await;
    let state = async || -> Value {
        let request = edge.get("/v1/sessions/s?userId=u");
        request.send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(state().await, json!({"sessionId": "s", "status": "not_found", "unfinished": 0}));
    let turn = edge.accepted("Why?").await["turnId"].clone();
    assert_eq!(state().await["status"], "queued");
    let mut work = edge.work().await;
    assert_eq!(state().await["status"], "running");
    assert_eq!(state().await["turnId"], turn);
    work.complete().await;
    assert_eq!(state().await["status"], "idle");
    assert_eq!(state().await["ending"], "completed");
    work.settle().await;
    assert_eq!(state().await["unfinished"], 0);
}

#[tokio::test]
async fn there_are_no_more_open_streams_than_there_may_be() {
    let config = Config { streams: 1, ..Config::default() };
    let edge = Edge::with(config).await;
    let mut only = edge.events("&after=start").await;
    let path = "/v1/sessions/s/events?userId=u";
    let refusal = edge.get(path).send().await.unwrap();
    assert_eq!(refusal.headers()["retry-after"], "1");
    problem(refusal, 503).await;
    problem(edge.ask("Why?").send().await.unwrap(), 503).await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0, "room first");
    play(&edge).await;
    only.until("completed").await;
}
