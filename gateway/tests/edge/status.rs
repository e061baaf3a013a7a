//! What the process says of itself: to whom, and how often.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use broker::{
    Admission, Broker, Delivery, Limits, Pending, Queue, Sequence, Submitted, sqlite::Place,
};
use gateway::Config;
use gateway::auth::keys::Role;
use proto::{Job, Session};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::harness::{Edge, PATIENCE, problem};
use crate::tokens::Keys;

/// A queue that counts how often its depth is looked at.
#[derive(Debug)]
struct Counted(Arc<dyn Queue>, Arc<AtomicU64>);

#[async_trait]
impl Queue for Counted {
    async fn submit(
        &self,
        session: &Session,
        job: &Job,
        admission: Admission,
    ) -> broker::Result<Submitted> {
        self.0.submit(session, job, admission).await
    }

    async fn next(&self) -> broker::Result<Delivery> {
        self.0.next().await
    }

    async fn first(&self, session: &Session) -> broker::Result<Option<Sequence>> {
        self.0.first(session).await
    }

    async fn pending(&self, session: &Session) -> broker::Result<Vec<Pending>> {
        self.0.pending(session).await
    }

    async fn clear(&self, session: &Session) -> broker::Result<u64> {
        self.0.clear(session).await
    }

    async fn busy(&self, user: &proto::UserId) -> broker::Result<Vec<(proto::SessionId, u64)>> {
        self.0.busy(user).await
    }

    async fn depth(&self) -> broker::Result<u64> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.depth().await
    }
}

#[tokio::test]
async fn the_broker_is_asked_once_a_second_at_most_whether_it_is_there() {
    let broker = broker::sqlite::open(Place::Memory, Limits::default()).await.unwrap();
    let looks = Arc::new(AtomicU64::new(0));
    let queue = Arc::new(Counted(Arc::clone(&broker.queue), Arc::clone(&looks)));
    let edge = Edge::on(Config::default(), Broker { queue, ..broker }).await;
    let began = Instant::now();
    let ready = async || edge.get("/readyz").send().await.unwrap().status().as_u16();
    for _ in 0..50 {
        assert_eq!(ready().await, 200);
    }
    let looked = looks.load(Ordering::Relaxed);
    assert!(looked <= 1 + began.elapsed().as_secs(), "{looked}");
    let again = async {
        while looks.load(Ordering::Relaxed) == looked {
            assert_eq!(ready().await, 200);
        }
    };
    timeout(PATIENCE, again).await.expect("it is asked again");
}

#[tokio::test]
async fn requests_about_nobodys_things_count_as_those_of_who_asks() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    for path in ["/v1/status", "/v1/me", "/v1/models", "/v1/models/weir"] {
        let [user_requests, user_burst] = [1, 2].map(|it| NonZeroU32::new(it).unwrap());
        let config = Config { user_requests, user_burst, ..keys.config(None).await };
        let edge = Edge::with(config).await;
        let get = || edge.get(path).bearer_auth(&key).send();
        for _ in 0..2 {
            assert_eq!(get().await.unwrap().status(), 200, "{path}");
        }
        assert_eq!(get().await.unwrap().status(), 429, "{path}");
        let asked = json!({"userId": "u"});
        let sessions = edge.get("/v1/sessions").bearer_auth(&key).query(&asked);
        problem(sessions.send().await.unwrap(), 429).await;
    }
}

#[tokio::test]
async fn where_everything_is_kept_is_told_to_operators_only() {
    let keys = Keys::new();
    let [(_, user), (_, operator)] =
        [("u", Role::User), ("root", Role::Operator)].map(|(user, role)| keys.make(user, role));
    let edge = Edge::with(keys.config(None).await).await;
    let agent = proto::AgentRecord {
        version: proto::FORMAT,
        until: Some(proto::timestamp(process::clock::now() + PATIENCE * 6)),
        ..Default::default()
    };
    let name = broker::Key::agents().child("agent-7");
    let value = prost::Message::encode_to_vec(&agent).into();
    let bucket = broker::Bucket::Agents;
    edge.broker.records.put(bucket, &name, value, broker::Expected::Any).await.unwrap();
    let told = async |key: Option<&str>, edge: &Edge| -> Value {
        let mut request = edge.get("/v1/status");
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.unwrap().json().await.unwrap()
    };
    let off = Edge::on(Config::default(), edge.broker.clone()).await;
    for (told, expected) in [
        (told(Some(&user), &edge).await, false),
        (told(Some(&operator), &edge).await, true),
        (told(None, &off).await, true),
    ] {
        assert_eq!(told["broker"].get("place").is_some(), expected, "{told}");
        assert_eq!(told["agents"][0].get("id").is_some(), expected, "{told}");
        assert!(told["broker"]["durability"].is_string(), "{told}");
    }
}
