//! The contract of OpenAI's clients, as it is on the wire.

use std::time::Duration;

use broker::{Bucket, Expected, Key};
use gateway::Config;
use prost::Message as _;
use proto::{AgentRecord, Session, event};
use reqwest::{RequestBuilder, Response, header};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::decisions::{call, interrupted};
use crate::harness::{Edge, PATIENCE, problem};

const PATH: &str = "/v1/chat/completions";

fn asking(more: &Value) -> Value {
    let mut body = json!({"model": "weir", "messages": [{"role": "user", "content": "Why?"}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A request of user `u`, in session `s`.
fn ask(edge: &Edge, more: &Value) -> RequestBuilder {
    let mut body = asking(more);
    body["user"] = "u".into();
    edge.post(PATH, &body).header("x-session-id", "s")
}

/// Checks that an answer is an error as OpenAI tells it, and returns it.
async fn fault(response: Response, status: u16) -> Value {
    let kind = response.headers()["content-type"].clone();
    let got = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(kind, "application/json", "{text}");
    let mut told: Value = serde_json::from_str(&text).unwrap();
    let error = told["error"].take();
    assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{text}");
    assert!(error["type"].is_string() && error.get("param").is_some(), "{text}");
    error
}

/// The data of a finished stream; `[DONE]` is a string.
fn data(body: &str) -> Vec<Value> {
    let lines = body.split_terminator("\n\n").filter(|it| *it != ":");
    let parse = |line: &str| match line.strip_prefix("data: ").unwrap() {
        "[DONE]" => json!("[DONE]"),
        line => serde_json::from_str(line).unwrap(),
    };
    lines.map(parse).collect()
}

/// Waits until a session is erased.
async fn gone(edge: &Edge, session: &Session) {
    let erased = async {
        loop {
            let last = edge.broker.log.last(session).await.unwrap();
            if last.is_some_and(|it| it.entry.is_tombstone()) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, erased).await.expect("the session is erased");
}

#[tokio::test]
async fn a_stream_has_chunks_and_ends_with_done() {
    let edge = Edge::start().await;
    let body = json!({"stream": true, "stream_options": {"include_usage": true}});
    let response = ask(&edge, &body).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.headers().contains_key("x-request-id"));
    let mut work = edge.work().await;
    let turn = work.delivery.turn.to_string();
    work.text("你").await;
    work.text("好").await;
    let usage = proto::Usage { input_tokens: 5, output_tokens: 2, ..proto::Usage::default() };
    work.say(vec![event::Kind::Usage(usage)]).await;
    work.complete().await;
    let chunks = data(&response.text().await.unwrap());
    let said: Vec<_> =
        chunks.iter().filter_map(|it| it["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, ["", "你", "好"]);
    assert_eq!(chunks[0]["id"], format!("chatcmpl-{turn}"));
    assert_eq!(chunks[chunks.len() - 2]["usage"]["total_tokens"], 7);
    assert_eq!(chunks.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn what_is_not_streamed_is_one_completion_and_a_failure_has_its_status() {
    let edge = Edge::start().await;
    let answer = ask(&edge, &json!({})).send();
    let play = async {
        let mut work = edge.work().await;
        work.text("Because.").await;
        work.complete().await;
        work.settle().await;
    };
    let (response, ()) = tokio::join!(answer, play);
    let answer: Value = response.unwrap().json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Because.");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["weir"]["sessionId"], "s");
    for (code, status, retry) in [
        ("model_rate_limited", 429, "false"),
        ("model_unknown", 404, "false"),
        ("model_context_length", 400, "false"),
        ("token_timeout", 504, "false"),
        ("model_error", 500, "false"),
    ] {
        let answer = ask(&edge, &json!({})).send();
        let play = async {
            let mut work = edge.work().await;
            let (code, message) = (code.into(), "It broke.".into());
            let failed = proto::Failed { code, message, retryable: true };
            work.say(vec![event::Kind::Failed(failed)]).await;
            work.settle().await;
        };
        let (response, ()) = tokio::join!(answer, play);
        let response = response.unwrap();
        assert_eq!(response.headers()["x-should-retry"], retry, "{code}: it would be asked twice");
        assert_eq!(fault(response, status).await["message"], "It broke.", "{code}");
    }
}

#[tokio::test]
async fn a_conversation_reaches_the_agent_as_it_was_sent() {
    let edge = Edge::start().await;
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [{"type": "text", "text": "c"}]},
    ]);
    let body = json!({"messages": messages, "metadata": {"k": "v"}, "stream": true});
    let _response = ask(&edge, &body).send().await.unwrap();
    let job = edge.work().await.delivery.job;
    let said: Vec<_> =
        job.messages.iter().map(|it| (it.role.as_str(), it.content.as_str())).collect();
    assert_eq!(said, [("user", "a"), ("assistant", "b"), ("user", "c")]);
    assert_eq!((job.system.as_str(), job.model.as_str()), ("Be brief.", ""));
    assert_eq!(job.metadata["k"], "v");
    assert_eq!((job.user_id.as_str(), job.session_id.as_str()), ("u", "s"));
}

#[tokio::test]
async fn what_no_honest_client_sends_is_an_error_that_names_the_field() {
    let edge = Edge::start().await;
    for (more, param) in [
        (json!({"messages": []}), "messages"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "messages[0].content",
        ),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}), "messages"),
        (json!({"tools": [{"type": "function"}]}), "tools"),
        (json!({"n": 2}), "n"),
        (json!({"user": "a\nb"}), "user"),
        (json!({"user": 7}), "user"),
        (json!({"model": "\u{7}"}), "model"),
        (json!({"stream": 1}), "stream"),
    ] {
        let response = edge.post(PATH, &asking(&more)).send().await.unwrap();
        assert_eq!(fault(response, 400).await["param"], param, "{more}");
    }
    let deep = format!("{{\"messages\":{}", "[".repeat(100_000));
    for body in ["", "x", "null", "[]", "{", "{\"messages\":NaN}", &deep] {
        let request = edge.http.post(format!("http://{}{PATH}", edge.address));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        fault(request.body(body.to_owned()).send().await.unwrap(), 400).await;
    }
    let huge = json!({"messages": [{"role": "user", "content": "x".repeat(10 << 20)}]});
    fault(edge.post(PATH, &huge).send().await.unwrap(), 413).await;
    let plain = edge.http.post(format!("http://{}{PATH}", edge.address)).body("{}");
    fault(plain.send().await.unwrap(), 415).await;
    fault(edge.get(PATH).send().await.unwrap(), 405).await;
    for (name, value) in [("x-session-id", "x".repeat(200)), ("idempotency-key", "x".repeat(300))] {
        let request = edge.post(PATH, &asking(&json!({}))).header(name, value);
        let error = fault(request.send().await.unwrap(), 400).await;
        assert_eq!(error["param"].as_str().unwrap().to_lowercase(), name);
    }
    let foreign = edge.post(PATH, &asking(&json!({}))).header("origin", "http://evil.example");
    assert_eq!(fault(foreign.send().await.unwrap(), 403).await["type"], "permission_error");
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn requests_without_a_session_never_meet_and_leave_nothing() {
    let edge = Edge::start().await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let answer = edge.post(PATH, &asking(&json!({}))).send();
        let play = async {
            let mut work = edge.work().await;
            work.text("a").await;
            let listed = edge.get("/v1/sessions?userId=openai").send().await.unwrap();
            assert_eq!(listed.json::<Value>().await.unwrap()["sessions"], json!([]));
            work.complete().await;
            let session = work.delivery.session.clone();
            work.settle().await;
            session
        };
        let (response, session) = tokio::join!(answer, play);
        assert_eq!(response.unwrap().status(), 200);
        assert_eq!(session.user.as_str(), "openai");
        assert!(session.id.as_str().starts_with("chatcmpl-"), "{session:?}");
        sessions.push(session);
    }
    assert_ne!(sessions[0], sessions[1]);
    for session in &sessions {
        gone(&edge, session).await;
    }
}

#[tokio::test]
async fn nobody_may_keep_a_conversation_where_sessions_of_one_request_are() {
    let edge = Edge::start().await;
    let body = json!({"userId": "u", "input": "?"});
    let native = edge.post("/v1/sessions/chatcmpl-diary/turns", &body).send().await.unwrap();
    assert_eq!(problem(native, 400).await["violations"][0]["field"], "sessionId");
    let named = edge.post(PATH, &asking(&json!({"user": "u"})));
    let named = named.header("x-session-id", "chatcmpl-diary").send().await.unwrap();
    assert_eq!(named.status(), 400);
    let user = "u".parse().unwrap();
    assert!(edge.broker.queue.busy(&user).await.unwrap().is_empty());
}

#[tokio::test]
async fn who_leaves_a_request_without_a_session_stops_its_turn() {
    let config = Config { disconnect_grace: Duration::from_millis(10), ..Config::default() };
    let edge = Edge::with(config).await;
    let response = edge.post(PATH, &asking(&json!({"stream": true}))).send().await.unwrap();
    let mut work = edge.work().await;
    work.text("a").await;
    drop(response);
    let session = work.delivery.session.clone();
    let stopped = async {
        loop {
            let last = edge.broker.log.last(&session).await.unwrap().unwrap();
            if !last.entry.state.unwrap().cancels.is_empty() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, stopped).await.expect("somebody asks to stop it");
    work.catch_up().await;
    work.say(vec![event::Kind::Cancelled(proto::Cancelled {})]).await;
    work.settle().await;
    gone(&edge, &session).await;
}

#[tokio::test]
async fn a_key_makes_a_repeated_request_the_same_turn_with_and_without_a_session() {
    let edge = Edge::start().await;
    let alone = || edge.post(PATH, &asking(&json!({"user": "u"})));
    let within = || ask(&edge, &json!({}));
    let requests: [(&str, &dyn Fn() -> RequestBuilder); 2] = [("k", &alone), ("l", &within)];
    for (key, request) in requests {
        let first = request().header("idempotency-key", key).send();
        let play = async {
            let mut work = edge.work().await;
            work.text("once").await;
            work.complete().await;
            work.settle().await;
        };
        let (first, ()) = tokio::join!(first, play);
        let first: Value = first.unwrap().json().await.unwrap();
        let again = request().header("idempotency-key", key).send().await.unwrap();
        let again: Value = again.json().await.unwrap();
        assert_eq!(first["choices"], again["choices"]);
        assert_eq!(first["id"], again["id"]);
        let other = edge.post(PATH, &asking(&json!({"user": "u", "metadata": {"other": "1"}})));
        let other = other.header("idempotency-key", key);
        fault(other.send().await.unwrap(), 422).await;
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn tools_messages_decide_the_calls_that_wait() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let tool = |id: &str, more: &Value| {
        let mut message = json!({"role": "tool", "tool_call_id": id, "content": "42"});
        if let Some(more) = more.as_str() {
            message["weir"] = json!({"decision": more});
        }
        message
    };
    let unknown = json!({"messages": [tool("none", &Value::Null)]});
    assert_eq!(
        fault(ask(&edge, &unknown).send().await.unwrap(), 404).await["code"],
        "nothing_pending"
    );
    let odd = json!({"messages": [tool("a", &json!("perhaps"))]});
    assert_eq!(fault(ask(&edge, &odd).send().await.unwrap(), 400).await["param"], "messages");
    let history = json!({"role": "user", "content": "Write?"});
    let messages = json!([history, tool("a", &Value::Null), tool("b", &json!("accept"))]);
    let answer = ask(&edge, &json!({ "messages": messages })).send();
    let play = async {
        let mut work = edge.work().await;
        let resume = work.delivery.job.resume.clone().unwrap();
        work.text("Done.").await;
        work.complete().await;
        work.settle().await;
        resume
    };
    let (response, resume) = tokio::join!(answer, play);
    let answer: Value = response.unwrap().json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Done.");
    assert_eq!(resume.turn_id, turn.to_string());
    let [first, second] = &resume.decisions[..] else { panic!("{resume:?}") };
    assert_eq!((first.r#type.as_str(), first.message.as_str()), ("respond", "42"));
    assert_eq!((second.r#type.as_str(), second.message.as_str()), ("accept", ""));
    assert_eq!(second.arguments_hash, call(turn, "b").arguments_hash);
}

async fn announce(edge: &Edge, name: &str, models: &[&str], lasts: u64) {
    let now = process::clock::now();
    let record = AgentRecord {
        version: proto::FORMAT,
        software: "1.2.3".to_owned(),
        models: models.iter().map(|it| (*it).to_owned()).collect(),
        since: Some(proto::timestamp(now)),
        until: Some(proto::timestamp(now + Duration::from_secs(lasts))),
    };
    let key = Key::agents().child(name);
    let value = record.encode_to_vec().into();
    edge.broker.records.put(Bucket::Agents, &key, value, Expected::Any).await.unwrap();
}

#[tokio::test]
async fn models_are_those_that_agents_say_they_have() {
    let edge = Edge::start().await;
    let list = async || -> Vec<String> {
        let list: Value = edge.get("/v1/models").send().await.unwrap().json().await.unwrap();
        assert_eq!(list["object"], "list");
        let models = list["data"].as_array().unwrap().iter();
        models.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list().await, ["weir"]);
    announce(&edge, "a", &["openai/x", "free/<name>"], 60).await;
    announce(&edge, "b", &["extractive"], 60).await;
    announce(&edge, "dead", &["old/model"], 0).await;
    assert_eq!(list().await, ["weir", "extractive", "openai/x"]);
    for (path, id) in [
        ("/v1/models/openai/x", "openai/x"),
        ("/v1/models/openai%2Fx", "openai/x"),
        ("/v1/models/weir", "weir"),
    ] {
        let model: Value = edge.get(path).send().await.unwrap().json().await.unwrap();
        assert_eq!((&model["id"], &model["object"]), (&json!(id), &json!("model")));
    }
    for path in ["/v1/models/old/model", "/v1/models/%ff", "/v1/models/"] {
        let status = edge.get(path).send().await.unwrap();
        let expected = status.status().as_u16();
        assert!(matches!(expected, 400 | 404), "{path}: {expected}");
        fault(status, expected).await;
    }
    let unknown = ask(&edge, &json!({"model": "old/model"})).send().await.unwrap();
    let error = fault(unknown, 404).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0, "nothing was asked");
    let free = ask(&edge, &json!({"model": "free/any", "stream": true})).send().await.unwrap();
    assert_eq!(free.status(), 200);
    assert_eq!(edge.work().await.delivery.job.model, "free/any");
    let status: Value = edge.get("/v1/status").send().await.unwrap().json().await.unwrap();
    assert_eq!(status["models"], json!(["weir", "extractive", "openai/x"]));
    assert_eq!(status["agents"].as_array().unwrap().len(), 2);
    assert_eq!(status["agents"][0]["version"], "1.2.3");
}
