//! The edge: what is refused and how, health and reflection.

use proto::{AskRequest, CancelRequest, Resume};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::world::{World, message, question};

fn wrong(status: &tonic::Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let fields = &details
        .bad_request()
        .expect("BadRequest details")
        .field_violations;
    fields.iter().map(|it| it.field.clone()).collect()
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let world = World::new().await;
    let base = || question("hello");
    let long = "x".repeat(300);
    let cases: Vec<(AskRequest, &[&str])> = vec![
        (AskRequest::default(), &["userId", "sessionId", "messages"]),
        (
            AskRequest {
                user_id: long,
                ..base()
            },
            &["userId"],
        ),
        (
            AskRequest {
                session_id: "a\u{7}".into(),
                ..base()
            },
            &["sessionId"],
        ),
        (
            AskRequest {
                turn_id: "7".into(),
                ..base()
            },
            &["turnId"],
        ),
        (
            AskRequest {
                model: "gpt".into(),
                ..base()
            },
            &["model"],
        ),
        (
            AskRequest {
                model: "openai/a b".into(),
                ..base()
            },
            &["model"],
        ),
        (
            AskRequest {
                resume_after: u32::MAX,
                ..base()
            },
            &["resumeAfter"],
        ),
        (
            AskRequest {
                resume: Some(Resume::default()),
                ..base()
            },
            &["resume"],
        ),
        (
            AskRequest {
                messages: vec![message("user", " \n")],
                ..base()
            },
            &["messages[0].content"],
        ),
        (
            AskRequest {
                messages: vec![message("bot", "a"), message("assistant", "b")],
                ..base()
            },
            &["messages[0].role", "messages[1].role"],
        ),
        (
            AskRequest {
                messages: vec![message("user", "a"); 2_001],
                ..base()
            },
            &["messages"],
        ),
        (
            AskRequest {
                messages: vec![message("user", &"x".repeat(524_289))],
                ..base()
            },
            &["messages"],
        ),
        (
            AskRequest {
                messages: vec![message("bot", "a"); 2_000],
                ..base()
            },
            &["messages[0].role"],
        ),
    ];
    for (request, fields) in cases {
        let refused = world.ask(request).await.unwrap_err();
        assert!(
            wrong(&refused)
                .starts_with(&fields.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "{refused:?}"
        );
    }
    let cancel = world.client.clone().cancel(CancelRequest::default()).await;
    assert_eq!(
        wrong(&cancel.unwrap_err()),
        ["userId", "sessionId", "turnId"]
    );
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
        let answer = client
            .server_reflection_info(futures::stream::iter([request]))
            .await;
        let answer = answer
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        match answer.message_response {
            Some(MessageResponse::ListServicesResponse(list)) => list
                .service
                .into_iter()
                .map(|it| it.name)
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_the_service_in_both_versions() {
    let world = World::new().await;
    for services in [
        services!(v1, world.channel.clone()),
        services!(v1alpha, world.channel.clone()),
    ] {
        for name in ["weir.v1.KnowledgeAgent", "grpc.health.v1.Health"] {
            assert!(services.iter().any(|it| it == name), "{services:?}");
        }
    }
}
