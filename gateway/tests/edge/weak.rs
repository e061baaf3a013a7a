//! A broker that forgets, or whose live tail loses what it should say.

use std::sync::Arc;

use async_trait::async_trait;
use broker::{
    Admission, AppendError, Broker, Delivery, Epoch, Limits, Live, Log, Pending, Queue, Sequence,
    Stored, Submitted,
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gateway::Config;
use proto::{Job, Session, TurnId};
use serde_json::{Value, json};

use crate::harness::{Edge, frames, problem};

/// A queue that forgets a turn as soon as its job is done.
#[derive(Debug)]
struct Forgetful(Arc<dyn Queue>);

#[async_trait]
impl Queue for Forgetful {
    async fn submit(
        &self,
        session: &Session,
        job: &Job,
        admission: Admission,
    ) -> broker::Result<Submitted> {
        let submitted = self.0.submit(session, job, admission).await?;
        let pending = self.0.pending(session).await?;
        let waits = pending.iter().any(|it| it.turn.to_string() == job.turn_id);
        if submitted != Submitted::Duplicate || waits {
            return Ok(submitted);
        }
        let turn_id = TurnId::new().to_string();
        let job = Job { turn_id, ..job.clone() };
        self.0.submit(session, &job, admission).await
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
        self.0.depth().await
    }
}

/// A log whose live tail says nothing.
#[derive(Debug)]
struct Mute(Arc<dyn Log>);

#[async_trait]
impl Log for Mute {
    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError> {
        self.0.append(session, follows, entry).await
    }

    async fn last(&self, session: &Session) -> broker::Result<Option<Stored>> {
        self.0.last(session).await
    }

    async fn read(
        &self,
        session: &Session,
        after: Sequence,
        most: usize,
    ) -> broker::Result<Vec<Stored>> {
        self.0.read(session, after, most).await
    }

    async fn live(&self, _session: &Session) -> broker::Result<Live> {
        Ok(stream::pending().boxed())
    }

    async fn purge(&self, session: &Session, before: Sequence) -> broker::Result<u64> {
        self.0.purge(session, before).await
    }
}

async fn broker() -> Broker {
    let place = broker::sqlite::Place::Memory;
    let broker = broker::sqlite::open(place, Limits::default()).await;
    broker.unwrap()
}

#[tokio::test]
async fn a_key_that_the_queue_forgot_starts_nothing_again() {
    let mut broker = broker().await;
    broker.queue = Arc::new(Forgetful(broker.queue));
    let edge = Edge::on(Config::default(), broker).await;
    let ask = |input: &str, admission: &str| {
        let body = json!({"userId": "u", "input": input, "admission": admission});
        edge.post("/v1/sessions/s/turns", &body)
            .header("idempotency-key", "k1")
            .header("accept", "text/event-stream")
    };
    let play = async |text: &str| {
        let mut work = edge.work().await;
        work.text(text).await;
        work.complete().await;
        work.settle().await;
    };
    let first = ask("One?", "reject").send().await.unwrap();
    play("first").await;
    edge.accepted("Two?").await;
    play("second").await;
    let whole = first.text().await.unwrap();
    for admission in ["reject", "enqueue", "interrupt"] {
        let again = ask("One?", admission).send().await.unwrap();
        assert_eq!(edge.broker.queue.depth().await.unwrap(), 0, "{admission}");
        assert_eq!(again.text().await.unwrap(), whole, "{admission}");
        let other = ask("Else?", admission).send().await.unwrap();
        problem(other, 422).await;
    }
}

#[tokio::test]
async fn a_turn_whose_live_entries_are_lost_is_told_from_the_log() {
    let mut broker = broker().await;
    broker.log = Arc::new(Mute(broker.log));
    let edge = Edge::on(Config::default(), broker).await;
    let ask = |accept: &str| {
        let request = edge.ask("Why?").header("idempotency-key", "k1");
        request.header("accept", accept).send()
    };
    let events = ask("text/event-stream").await.unwrap();
    let play = async {
        let mut work = edge.work().await;
        work.text("Because").await;
        work.complete().await;
        work.settle().await;
    };
    let read = async { events.text().await.unwrap() };
    let wait = async { ask("application/json").await.unwrap().json().await.unwrap() };
    let (body, whole, ()): (_, Value, _) = tokio::join!(read, wait, play);
    assert_eq!(frames(&body).len(), 4);
    assert_eq!(whole["text"], "Because");
}
