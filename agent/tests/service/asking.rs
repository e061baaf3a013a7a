//! The edge: what is refused and how, health and reflection.

use std::time::Duration;

use agent::{Agent, Config};
use hyper_util::rt::TokioIo;
use process::Lifecycle;
use proto::{AskRequest, CancelRequest, Decision, Resume, ToolCall};
use testkit::model::Script;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::world::{Answer, Client, World, message, question, records, script};

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn wrong(status: &tonic::Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let fields = &details.bad_request().expect("BadRequest details").field_violations;
    fields.iter().map(|it| it.field.clone()).collect()
}

/// Requests with the fields that are wrong in them.
fn wrong_requests() -> Vec<(AskRequest, &'static [&'static str])> {
    let with = |change: fn(&mut AskRequest)| {
        let mut request = question("hello");
        change(&mut request);
        request
    };
    vec![
        (AskRequest::default(), &["userId", "sessionId", "messages"]),
        (with(|it| it.user_id = "x".repeat(300)), &["userId"]),
        (with(|it| it.session_id = "a\u{7}".into()), &["sessionId"]),
        (with(|it| it.turn_id = "7".into()), &["turnId"]),
        (with(|it| it.model = "gpt".into()), &["model"]),
        (with(|it| it.model = "openai/a b".into()), &["model"]),
        (with(|it| it.resume_after = u32::MAX), &["resumeAfter"]),
        (with(|it| it.messages[0].content = " \n".into()), &["messages[0].content"]),
        (with(|it| it.messages[0].content = "x".repeat(524_289)), &["messages"]),
        (with(|it| it.system = "x".repeat(524_289)), &["messages"]),
        (with(|it| it.messages = vec![message("user", "a"); 2_001]), &["messages"]),
        (with(|it| it.messages = vec![message("tool", "a")]), &["messages[0].role"]),
        (with(|it| it.messages.insert(0, message("bot", "a"))), &["messages[0].role"]),
        (with(|it| drop(it.metadata.insert("k".into(), "x".repeat(20_000)))), &["metadata"]),
    ]
}

/// The same, of decisions and of the tools in a history.
fn wrong_calls() -> Vec<(AskRequest, &'static [&'static str])> {
    let with = |change: fn(&mut AskRequest)| {
        let mut request = question("hello");
        change(&mut request);
        request
    };
    vec![
        (
            with(|it| it.resume = Some(Resume::default())),
            &["messages", "resume.turnId", "resume.decisions"],
        ),
        (
            with(|it| {
                it.turn_id = "0192f0c1-0000-7000-8000-000000000001".into();
                let turn_id = it.turn_id.to_uppercase();
                let decisions = vec![Decision { r#type: "edit".into(), ..Decision::default() }];
                (it.messages, it.resume) = (vec![], Some(Resume { turn_id, decisions }));
            }),
            &[
                "resume.decisions[0].callId",
                "resume.decisions[0].argumentsHash",
                "resume.decisions[0].arguments",
                "resume.turnId",
            ],
        ),
        (
            with(|it| it.messages[0].tool_calls = vec![ToolCall::default()]),
            &[
                "messages[0].toolCalls",
                "messages[0].toolCalls[0].callId",
                "messages[0].toolCalls[0].name",
            ],
        ),
        (with(|it| it.messages[0].tool_call_id = "x".into()), &["messages[0].toolCallId"]),
        (
            with(|it| {
                let arguments = "x".repeat(524_289);
                let call = ToolCall { call_id: "1".into(), name: "t".into(), arguments };
                it.messages.insert(0, message("assistant", ""));
                it.messages[0].tool_calls.push(call);
            }),
            &["messages"],
        ),
    ]
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let world = World::new().await;
    for (request, fields) in wrong_requests().into_iter().chain(wrong_calls()) {
        let refused = world.ask(request).await.unwrap_err();
        assert_eq!(wrong(&refused), fields, "{refused:?}");
    }
    let mut many = question("hello");
    many.messages = vec![message("bot", "a"); 2_000];
    let refused = world.ask(many).await.unwrap_err();
    assert_eq!(wrong(&refused).len(), 8, "a refusal fits in trailers");
    let cancel = world.client.clone().cancel(CancelRequest::default()).await;
    assert_eq!(wrong(&cancel.unwrap_err()), ["userId", "sessionId", "turnId"]);
    assert!(world.model.calls().is_empty());
}

#[tokio::test]
async fn a_request_past_every_size_is_refused_and_the_connection_lives_on() {
    let world = World::new().await;
    let huge = question(&"x".repeat(10 * 1024 * 1024));
    let refused = world.ask(huge).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert!(world.answer(question("hello")).await.completed());
}

#[tokio::test]
async fn many_streams_of_small_deltas_share_one_connection() {
    let world = World::new().await;
    let asked = |session: usize| AskRequest {
        session_id: session.to_string(),
        ..script(&Script { tokens: Some(100), ..Script::default() })
    };
    let answers = (0..200).map(|session| world.answer(asked(session)));
    for answer in futures::future::join_all(answers).await {
        assert!(answer.completed());
        assert!(answer.text().ends_with(" t99 "));
    }
}

#[tokio::test]
async fn the_agent_is_served_over_a_pipe_like_over_a_socket() {
    let life = Lifecycle::new();
    let agent = Agent::new(Config::default(), records().await, life.clone());
    let agent = agent.await.unwrap();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    life.serve("agent", async move {
        let incoming = futures::stream::iter([Ok(theirs)]);
        agent.serve(incoming).await
    });
    let mut ours = Some(TokioIo::new(ours));
    let connect = tower::service_fn(move |_| std::future::ready(ours.take().ok_or(Closed)));
    let endpoint = Endpoint::from_static("http://pipe");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    let answer = Client::new(channel).ask(question("What is Weir?")).await;
    assert!(Answer::read(answer.unwrap().into_inner()).await.completed());
    life.drain();
    assert_eq!(life.wait(LONG).await, Ok(process::Outcome::Drained));
}

#[derive(Debug, thiserror::Error)]
#[error("the pipe can be taken once")]
struct Closed;

#[tokio::test]
async fn a_turn_without_an_id_gets_one_and_the_caller_is_told() {
    let world = World::new().await;
    let mut asked = question("hello");
    asked.turn_id.clear();
    let answer = world.client.clone().ask(asked.clone()).await.unwrap();
    let id = answer.metadata().get("weir-turn-id").unwrap();
    asked.turn_id = id.to_str().unwrap().to_owned();
    asked.turn_id.parse::<proto::TurnId>().unwrap();
    let again = world.answer(asked).await;
    assert!(again.completed());
    assert_eq!(world.model.calls().len(), 1, "it named the running turn");
}

#[tokio::test]
async fn health_is_told_for_the_whole_and_for_the_service_until_the_drain() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in ["", "weir.v1.KnowledgeAgent"] {
        let service = service.to_owned();
        let told = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(told.into_inner().status(), ServingStatus::Serving);
    }
    let service = "weir.v1.KnowledgeAgent".to_owned();
    let told = health.watch(HealthCheckRequest { service }).await.unwrap();
    let mut told = told.into_inner();
    let first = told.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    world.life.drain();
    let second = told.message().await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
}

macro_rules! services {
    ($version:ident, $channel:expr) => {{
        use pb::server_reflection_request::MessageRequest;
        use pb::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version as pb;
        let request = pb::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = pb::server_reflection_client::ServerReflectionClient::new($channel);
        let answer = client.server_reflection_info(futures::stream::iter([request])).await;
        let answer = answer.unwrap().into_inner().message().await.unwrap().unwrap();
        match answer.message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                list.service.into_iter().map(|it| it.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    let world = World::new().await;
    for services in
        [services!(v1, world.channel.clone()), services!(v1alpha, world.channel.clone())]
    {
        for name in ["weir.v1.KnowledgeAgent", "grpc.health.v1.Health"] {
            assert!(services.iter().any(|it| it == name), "{services:?}");
        }
    }
}
