//! Appends whose outcome is not known come to a certain end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use broker::{AppendError, Epoch, Live, Log, Outcome, Result, Sequence, Stored};
use bytes::Bytes;
use proto::{Session, event};

use crate::world::{World, soon, texts};

/// What goes wrong with the first tries.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The entry is stored, its acknowledgement is lost.
    AnswerLost,
    /// The entry is lost.
    QuestionLost,
}

/// A log whose first appends end in doubt.
#[derive(Debug)]
struct Doubtful {
    log: Arc<dyn Log>,
    fault: Fault,
    left: AtomicU32,
}

impl Doubtful {
    fn new(world: &World, fault: Fault, times: u32) -> Self {
        Self { log: Arc::clone(&world.broker.log), fault, left: AtomicU32::new(times) }
    }
}

#[async_trait]
impl Log for Doubtful {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return self.log.append(session, follows, entry).await;
        }
        self.left.store(left - 1, Ordering::SeqCst);
        match self.fault {
            Fault::AnswerLost => drop(self.log.append(session, follows, entry).await),
            Fault::QuestionLost => {}
        }
        Err(AppendError::Unknown("lost".to_owned()))
    }

    async fn last(&self, session: &Session) -> Result<Option<Stored>> {
        self.log.last(session).await
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        self.log.read(session, after, most).await
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        self.log.live(session).await
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        self.log.purge(session, before).await
    }
}

pub(crate) async fn an_append_is_stored_or_refused(world: &World) {
    let (log, session) = (world.broker.log.as_ref(), world.session("s"));
    let entry = world.speaker(&session).entry(event::Kind::Text("once".into()));
    let Ok(Outcome::Stored(_)) = broker::append(log, &session, &entry).await else {
        panic!("the first append was not stored");
    };
    // The same once more, without a doubt: somebody else's.
    let again = broker::append(log, &session, &entry).await;
    assert_eq!(again, Ok(Outcome::Refused));
}

pub(crate) async fn an_append_whose_acknowledgement_was_lost_counts_once(world: &World) {
    let session = world.session("s");
    let log = Doubtful::new(world, Fault::AnswerLost, 1);
    let entry = world.speaker(&session).entry(event::Kind::Text("once".into()));
    let outcome = soon(broker::append(&log, &session, &entry)).await.unwrap();
    let read = world.read(&session, Sequence::START, 1).await;
    assert_eq!(outcome, Outcome::Stored(read[0].sequence));
    assert_eq!(texts(&read), ["once"]);
}

pub(crate) async fn an_append_that_was_lost_is_tried_again(world: &World) {
    let session = world.session("s");
    let log = Doubtful::new(world, Fault::QuestionLost, 3);
    let entry = world.speaker(&session).entry(event::Kind::Text("once".into()));
    let outcome = soon(broker::append(&log, &session, &entry)).await.unwrap();
    let read = world.read(&session, Sequence::START, 1).await;
    assert_eq!(outcome, Outcome::Stored(read[0].sequence));
}

pub(crate) async fn an_append_in_doubt_is_refused_when_another_was_first(world: &World) {
    let session = world.session("s");
    let mine = world.speaker(&session).entry(event::Kind::Text("mine".into()));
    world.chain(&session, 2).await;
    for fault in [Fault::AnswerLost, Fault::QuestionLost] {
        let log = Doubtful::new(world, fault, 1);
        let outcome = soon(broker::append(&log, &session, &mine)).await;
        assert_eq!(outcome, Ok(Outcome::Refused));
    }
}

pub(crate) async fn an_append_in_doubt_is_found_behind_a_later_entry(world: &World) {
    let (log, session) = (world.broker.log.as_ref(), world.session("s"));
    let mut speaker = world.speaker(&session);
    let entry = speaker.entry(event::Kind::Text("mine".into()));
    let Ok(Outcome::Stored(mine)) = broker::append(log, &session, &entry).await else {
        panic!("the first append was not stored");
    };
    speaker.last = mine;
    speaker.tell(event::Kind::CancelRequested(proto::CancelRequested {})).await;
    world.read(&session, Sequence::START, 2).await;
    // What a writer does whose first try was stored without its knowing.
    let log = Doubtful::new(world, Fault::QuestionLost, 1);
    let outcome = soon(broker::append(&log, &session, &entry)).await;
    assert_eq!(outcome, Ok(Outcome::Stored(mine)));
}
