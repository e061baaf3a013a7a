//! The contracts of the systems that Weir replaces.

use proto::event;
use serde_json::json;

use crate::harness::{Edge, Frames, frames, problem};

#[tokio::test]
async fn chat_streams_messages_and_closes_with_end() {
    let edge = Edge::start().await;
    let body = json!({"userId": "test_user", "unknown": 1,
                      "messages": [{"role": "user", "content": "帕金森的治疗方案有哪些?"}]});
    let response = edge.post("/chat", &body).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut work = edge.work().await;
    work.text("多巴").await;
    work.text("胺").await;
    work.complete().await;
    let frames = frames(&response.text().await.unwrap());
    let kinds: Vec<_> = frames.iter().map(|it| it.event.clone().unwrap()).collect();
    assert_eq!(kinds, ["session", "message", "message", "end"]);
    let session = work.delivery.session.id.to_string();
    let turn = work.delivery.turn.to_string();
    assert_eq!(frames[0].data, json!({"sessionId": session, "turnId": turn}));
    assert_eq!(
        frames[1].data,
        json!({"sessionId": session, "turnId": turn, "type": "text_chunk", "content": "多巴"})
    );
    assert_eq!(
        frames[3].data,
        json!({"sessionId": session, "turnId": turn, "status": "completed"})
    );
}

#[tokio::test]
async fn chat_passes_earlier_messages_on_as_history() {
    let edge = Edge::start().await;
    let messages = json!([{"role": "system", "content": "Be brief."},
                          {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                          {"role": "system", "content": "Be kind."},
                          {"role": "user", "content": "c"}]);
    let body = json!({"userId": "u", "sessionId": "s", "messages": messages});
    let response = edge.post("/chat", &body).send().await.unwrap();
    let mut work = edge.work().await;
    assert_eq!(work.delivery.job.messages.len(), 3);
    assert_eq!(work.delivery.job.system, "Be brief.\n\nBe kind.");
    let failed = proto::Failed { message: "It broke.".into(), ..Default::default() };
    work.say(vec![event::Kind::Failed(failed)]).await;
    let frames = frames(&response.text().await.unwrap());
    let end = &frames.last().unwrap().data;
    assert_eq!((&end["status"], &end["message"]), (&json!("error"), &json!("It broke.")));
}

#[tokio::test]
async fn chat_refuses_what_is_no_conversation() {
    let edge = Edge::start().await;
    for body in [
        json!({"userId": "u"}),
        json!({"userId": "u", "messages": []}),
        json!({"userId": "u", "messages": [{"role": "assistant", "content": "x"}]}),
        json!({"userId": "u", "messages": [{"role": "function", "content": "x"}, {"role": "user", "content": "x"}]}),
        json!({"userId": "", "messages": [{"role": "user", "content": "x"}]}),
        json!({"messages": [{"role": "user", "content": "x"}]}),
    ] {
        problem(edge.post("/chat", &body).send().await.unwrap(), 400).await;
    }
}

#[tokio::test]
async fn stream_repeats_all_text_so_far_and_closes_with_end() {
    let edge = Edge::start().await;
    for round in ["one", "two"] {
        let request = edge.get("/stream").query(&[("username", "u"), ("query", round)]);
        let response = request.send().await.unwrap();
        let mut work = edge.work().await;
        assert_eq!(work.delivery.session.id.as_str(), "stream");
        work.text("a\n").await;
        work.text("b").await;
        work.complete().await;
        work.settle().await;
        let body = response.text().await.unwrap();
        let frames = frames(&body);
        assert_eq!(frames[0].raw, "data: {\"message\":\"a\\n\"}");
        assert_eq!(frames[1].raw, "data: {\"message\":\"a\\nb\"}");
        assert!(frames[2].is("end"));
        assert_eq!(frames.len(), 3);
    }
    problem(edge.get("/stream?username=u").send().await.unwrap(), 400).await;
    let head = edge.http.head(format!("http://{}/stream?username=u&query=x", edge.address));
    assert_eq!(head.send().await.unwrap().status(), 405);
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn an_event_source_that_comes_back_by_itself_does_not_ask_again() {
    let edge = Edge::start().await;
    let get = |last: Option<&str>| {
        let request =
            edge.get("/stream?username=u&query=Why").header("accept", "text/event-stream");
        match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        }
    };
    let mut first = Frames::of(get(None).send().await.unwrap());
    let mut work = edge.work().await;
    let opening = first.next().await.unwrap().unwrap();
    assert_eq!(opening.raw, format!("id: {}", work.delivery.turn), "no event, but an id");
    // Cut before anything was said: it comes back with this.
    drop(first);
    let mut first = Frames::of(get(opening.id.as_deref()).send().await.unwrap());
    work.text("a").await;
    let cut = first.next().await.unwrap().unwrap().id.unwrap();
    assert_eq!(cut, format!("{}.1", work.delivery.turn));
    drop(first);
    let back = get(Some(&cut)).send().await.unwrap();
    work.text("b").await;
    work.complete().await;
    work.settle().await;
    let frames = frames(&back.text().await.unwrap());
    // What it has is not told again.
    assert_eq!((frames.len(), &frames[0].data["message"]), (2, &json!("ab")));
    let ended = frames.last().unwrap().id.clone().unwrap();
    assert_eq!(get(Some(&ended)).send().await.unwrap().status(), 204);
    let unknown = "00000000-0000-7000-8000-000000000001";
    assert_eq!(get(Some(unknown)).send().await.unwrap().status(), 204);
    for bad in ["x", "x.1", &format!("{}.x", cut.split_once('.').unwrap().0), &format!("{cut}.1")] {
        problem(get(Some(bad)).send().await.unwrap(), 400).await;
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}
