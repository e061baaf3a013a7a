//! A store that fails once, at each place in a turn where it is asked: whatever
//! it did and said, the tool with an effect is called once, or a human is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use broker::{Bucket, Error, Expected, Key, Record, Records, Result};
use bytes::Bytes;
use futures::StreamExt as _;
use proto::ask_event::Kind;
use proto::{AskEvent, AskRequest};
use serde_json::json;
use testkit::mcp::Server;
use testkit::model::Script;
use tokio::sync::Notify;

use crate::tools::{allowing, beside, calls, deciding, decision, pending};
use crate::world::{World, records, script};

/// What the store does when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It writes, and its client dies before it hears so.
    WritesAndHangs,
    /// It does not even write before that.
    Hangs,
    /// It writes, and says that it is not there.
    WritesUnheard,
    /// It does not write.
    Refuses,
    /// It writes, and says that somebody else did.
    WritesAndConflicts,
    /// It does not read.
    DoesNotRead,
}

const FAULTS: [Fault; 6] = [
    Fault::WritesAndHangs,
    Fault::Hangs,
    Fault::WritesUnheard,
    Fault::Refuses,
    Fault::WritesAndConflicts,
    Fault::DoesNotRead,
];

/// More questions to the store than a turn has.
const PLACES: usize = 20;

/// Fails the n-th time that it is asked.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn Records>,
    fault: Fault,
    at: usize,
    asked: AtomicUsize,
    hangs: Notify,
}

impl Failing {
    fn fails(&self, reading: bool) -> bool {
        let mine = reading == (self.fault == Fault::DoesNotRead);
        mine && self.asked.fetch_add(1, Ordering::SeqCst) == self.at
    }

    fn has_failed(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > self.at
    }
}

#[async_trait]
impl Records for Failing {
    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Record>> {
        if self.fails(true) {
            return Err(Error::Unavailable("on purpose".to_owned()));
        }
        self.inner.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<u64> {
        let put = self.inner.put(bucket, key, value, expected);
        if !self.fails(false) {
            return put.await;
        }
        let unavailable = Error::Unavailable("on purpose".to_owned());
        match self.fault {
            Fault::WritesAndHangs => drop(put.await),
            Fault::Hangs => {}
            Fault::WritesUnheard => return put.await.and(Err(unavailable)),
            Fault::WritesAndConflicts => return put.await.and(Err(Error::Conflict)),
            Fault::Refuses | Fault::DoesNotRead => return Err(unavailable),
        }
        self.hangs.notify_one();
        std::future::pending().await
    }

    async fn delete(&self, bucket: Bucket, key: &Key) -> Result<()> {
        self.inner.delete(bucket, key).await
    }

    async fn list(&self, bucket: Bucket, prefix: &Key) -> Result<Vec<Key>> {
        self.inner.list(bucket, prefix).await
    }

    async fn all(&self, bucket: Bucket) -> Result<Vec<Key>> {
        self.inner.all(bucket).await
    }
}

/// Who lets the call be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Policy,
    Human,
}

/// A turn that counts, over a store that fails at one place, with another agent
/// to go on where the first one died. Whether the place was reached.
async fn counts_over(fault: Fault, at: usize, by: By) -> bool {
    let (inner, server) = (records().await, Server::start().await.unwrap());
    let change = |config: &mut agent::Config| {
        if by == By::Policy {
            allowing(config, "t__count");
        }
    };
    let mut asked = script(&Script {
        text: Some("Counting.".to_owned()),
        tool_calls: calls(&[
            ("a", "t__count", json!({"by": 1})),
            ("b", "t__read", json!({"key": "k"})),
        ]),
        then: vec![Script { text: Some("Done.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    if by == By::Human {
        let world = beside(change, &inner, &server).await;
        let waiting = pending(&world.answer(asked.clone()).await);
        asked = deciding(&asked, vec![decision(&waiting[0], "accept")]);
    }
    let (hangs, records) = (Notify::new(), Arc::clone(&inner));
    let store = Failing { inner: records, fault, at, asked: AtomicUsize::new(0), hangs };
    let store = Arc::new(store);
    let shared = Arc::<Failing>::clone(&store) as Arc<dyn Records>;
    let world = beside(change, &shared, &server).await;
    let mut said = Vec::new();
    let died = heard(&world, &asked, &store, &mut said).await;
    drop(world);
    if died {
        let last = said.last().cloned().unwrap_or_default();
        let rest = AskRequest { resume_run: last.run, resume_after: last.index, ..asked.clone() };
        said.extend(beside(change, &inner, &server).await.answer(rest).await.events);
    }
    check(&said, server.count(), format_args!("{fault:?} at {at}, {by:?}"));
    store.has_failed()
}

/// Hears a turn to its end; whether its agent is to die before.
async fn heard(
    world: &World,
    asked: &AskRequest,
    store: &Failing,
    said: &mut Vec<AskEvent>,
) -> bool {
    let mut events = world.ask(asked.clone()).await.unwrap();
    loop {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(event) => said.push(event.unwrap()),
                None => return false,
            },
            () = store.hangs.notified() => return true,
        }
    }
}

fn check(said: &[AskEvent], count: u64, when: std::fmt::Arguments<'_>) {
    let mut kept: Vec<&AskEvent> = Vec::new();
    for event in said {
        match &event.kind {
            Some(Kind::Rewind(rewind)) => kept.retain(|it| it.index <= rewind.to),
            _ => kept.push(event),
        }
    }
    let text: String =
        kept.iter().map(|it| crate::world::texts(std::slice::from_ref(*it))).collect();
    let end = kept.last().and_then(|it| it.kind.clone()).expect("an end");
    if let Kind::Interrupted(interrupted) = end {
        assert!(count <= 1, "{when}");
        assert_eq!(interrupted.calls[0].reason, "outcome_unknown", "{when}");
        return;
    }
    assert!(matches!(end, Kind::Completed(_)), "{when}: {end:?}");
    assert_eq!(count, 1, "{when}");
    assert!(text.ends_with("Done.") && text.matches("Done.").count() == 1, "{when}: {text}");
}

async fn every_fault_everywhere(by: By) {
    for fault in FAULTS {
        let mut places = 0;
        while counts_over(fault, places, by).await {
            places += 1;
            assert!(places < PLACES, "{fault:?}: a turn asks its store without end");
        }
        assert!(places >= 4, "{fault:?}: only {places} places");
    }
}

#[tokio::test]
async fn a_call_that_the_policy_allows_is_made_once_whatever_the_store_does() {
    every_fault_everywhere(By::Policy).await;
}

#[tokio::test]
async fn a_call_that_a_human_allows_is_made_once_whatever_the_store_does() {
    every_fault_everywhere(By::Human).await;
}
