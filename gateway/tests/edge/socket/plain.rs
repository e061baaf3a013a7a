//! Text in, text out.

use proto::event;
use serde_json::json;

use super::{Client, refused};
use crate::harness::{Edge, PATIENCE};

#[tokio::test]
async fn a_question_is_answered_with_its_text_as_it_comes() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("Why 你好?").await;
    let mut work = edge.work().await;
    assert_eq!(work.delivery.job.messages.last().unwrap().content, "Why 你好?");
    assert_eq!((&*work.delivery.job.user_id, &*work.delivery.job.session_id), ("u", "s"));
    work.text("Be").await;
    assert_eq!(client.text().await, "Be");
    work.text("cause\n").await;
    assert_eq!(client.text().await, "cause\n");
    work.complete().await;
    work.settle().await;
    client.say("And?").await;
    let mut work = edge.work().await;
    work.text("So.").await;
    assert_eq!(client.text().await, "So.");
}

#[tokio::test]
async fn questions_wait_behind_each_other_and_one_too_many_is_an_error() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    for question in ["One?", "Two?", "Three?"] {
        client.say(question).await;
    }
    assert!(client.text().await.starts_with("Error: the session has as many waiting turns"));
    for (question, answer) in [("One?", "1"), ("Two?", "2")] {
        let mut work = edge.work().await;
        assert_eq!(work.delivery.job.messages.last().unwrap().content, question);
        work.text(answer).await;
        assert_eq!(client.text().await, answer);
        work.complete().await;
        work.settle().await;
    }
    client.say("Three?").await;
    edge.work().await.text("3").await;
    assert_eq!(client.text().await, "3");
}

#[tokio::test]
async fn failures_and_refusals_are_errors_and_the_socket_stays() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("  ").await;
    assert_eq!(client.text().await, "Error: input must not be empty");
    client.say("Why?").await;
    let mut work = edge.work().await;
    work.text("Be").await;
    let failed = proto::Failed { message: "The model is gone.".into(), ..Default::default() };
    work.say(vec![event::Kind::Failed(failed)]).await;
    work.settle().await;
    client.whole("Be").await;
    assert_eq!(client.text().await, "Error: The model is gone.");
    client.say("Why?").await;
    edge.work().await.text("Because").await;
    client.whole("Because").await;
}

#[tokio::test]
async fn text_that_is_taken_back_and_said_again_is_not_doubled() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("Why?").await;
    let mut work = edge.work().await;
    work.text("one ").await;
    work.text("two ").await;
    client.whole("one two ").await;
    work.say(vec![event::Kind::Rewind(proto::Rewind { to: 0 })]).await;
    work.text("one two three").await;
    client.whole("three").await;
    work.say(vec![event::Kind::Rewind(proto::Rewind { to: 0 })]).await;
    work.text("other").await;
    client.whole("\n\n[The answer begins again.]\n\nother").await;
}

#[tokio::test]
async fn only_what_was_asked_here_is_told_here() {
    let edge = Edge::start().await;
    let (mut one, mut two) = (Client::plain(&edge).await, Client::plain(&edge).await);
    for (client, question) in [(&mut one, "One?"), (&mut two, "Two?")] {
        client.say(question).await;
        let mut work = edge.work().await;
        work.text(question).await;
        client.whole(question).await;
        work.complete().await;
        work.settle().await;
    }
    one.say("Three?").await;
    edge.work().await.text("3").await;
    one.whole("3").await;
}

#[tokio::test]
async fn a_tool_that_waits_is_told_with_the_way_to_decide() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("Send it.").await;
    let mut work = edge.work().await;
    let call = proto::PendingCall {
        call_id: "c1".into(),
        name: "send".into(),
        summary: "sends a letter".into(),
        ..Default::default()
    };
    let interrupted = proto::Interrupted { calls: vec![call], expires: None };
    work.say(vec![event::Kind::Interrupted(interrupted)]).await;
    let told = client.text().await;
    assert!(told.contains("send: sends a letter (callId c1"), "{told}");
    assert!(told.contains("POST /v1/sessions/s/decisions for user u"), "{told}");
}

#[tokio::test]
async fn a_socket_without_names_has_a_session_of_its_own() {
    let edge = Edge::start().await;
    let mut seen = Vec::new();
    for query in ["", "?sessionId=s", "?sessionId="] {
        let mut client = Client::open(&edge, query, &[]).await.unwrap();
        client.say("Why?").await;
        let mut work = edge.work().await;
        seen.push((work.delivery.job.user_id.clone(), work.delivery.job.session_id.clone()));
        work.text("Because").await;
        client.whole("Because").await;
    }
    assert_eq!(seen[1].1, "s");
    assert!(seen[0].0 != seen[1].0 && seen[1].0 != seen[2].0 && seen[0].1 != seen[2].1, "{seen:?}");
    let (status, body) = refused(&edge, "?userId=&sessionId=s", &[]).await;
    assert!(status == 400 && body.contains("userId"), "{body}");
    let (status, _) = refused(&edge, &format!("?userId={}", "x".repeat(129)), &[]).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn an_erased_session_is_told_and_the_socket_goes_on() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("Why?").await;
    let mut work = edge.work().await;
    work.text("Because").await;
    client.whole("Because").await;
    work.complete().await;
    work.settle().await;
    client.say("And?").await;
    // Accepted once the other socket, which came later, is.
    let mut other = Client::native(&edge).await;
    other.command(json!({"type": "ping"})).await;
    other.until("pong").await;
    let response = edge.erase("s").send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let told = client.text().await;
    assert_eq!(told, "Error: The session was deleted.");
    client.say("Again?").await;
    let mut work = edge.work().await;
    work.text("Yes").await;
    client.whole("Yes").await;
}

#[tokio::test]
async fn a_question_that_comes_after_the_erasure_of_its_session_is_still_answered() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("Why?").await;
    let mut other = Client::native(&edge).await;
    other.command(json!({"type": "ping"})).await;
    other.until("pong").await;
    let job = tokio::time::timeout(PATIENCE, edge.broker.queue.next()).await.unwrap().unwrap();
    // Its job is there, and what the session had before is erased.
    let gone = vec![event::Kind::Deleted(proto::Deleted {}).into()];
    let tombstone = proto::Entry::after(None, "", 0, gone);
    let log = edge.broker.log.as_ref();
    broker::append(log, &job.session, &tombstone).await.unwrap();
    let mut work = edge.take(job).await;
    work.text("Because").await;
    client.whole("Because").await;
}
