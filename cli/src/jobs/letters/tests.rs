//! Dead letters over the broker in memory, and over one that breaks off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use broker::sqlite::{Place, open};
use broker::{Delivery, Expected, Limits, Record};
use bytes::Bytes;
use proto::{Entry, Event, Message, Started, event};

use super::*;

const BURIED: u64 = 1_700_000_000;

async fn memory() -> Broker {
    open(Place::Memory, Limits::default()).await.unwrap()
}

fn letter(session: &str, turn: TurnId) -> DeadLetter {
    let message = Message { role: "user".into(), content: "why?".into(), ..Message::default() };
    DeadLetter {
        job: Some(Job {
            version: FORMAT,
            user_id: "ann".into(),
            session_id: session.into(),
            turn_id: turn.to_string(),
            messages: vec![message],
            model: "openai/x".into(),
            fingerprint: Bytes::from_static(b"of the request"),
            replaces: TurnId::new().to_string(),
            behind: Some(String::new()),
            ..Job::default()
        }),
        code: "attempts_exhausted".into(),
        reason: "5 attempts in a row made no progress".into(),
        buried: Some(proto::timestamp(std::time::Duration::from_secs(BURIED))),
        ..DeadLetter::default()
    }
}

async fn file(broker: &Broker, letter: &DeadLetter, name: &str) -> String {
    let session = letter.job.as_ref().map_or("s", |it| &it.session_id);
    let key = Key::session(&Session::parse("ann", session).unwrap()).child(name);
    let value = letter.encode_to_vec().into();
    broker.records.put(Bucket::DeadLetters, &key, value, Expected::Any).await.unwrap();
    key.to_string()
}

/// A letter about a turn of a session; its key.
async fn buried(broker: &Broker, session: &str, turn: TurnId) -> String {
    file(broker, &letter(session, turn), &turn.to_string()).await
}

async fn retry(broker: &Broker, job: &str) -> Result<Done, String> {
    let answered = answer(broker, Request::Retry { job: job.to_owned() }).await;
    if let Answer::Refused(why) = answered {
        return Err(why);
    }
    let Answer::Done(done) = answered else { panic!("{answered:?}") };
    Ok(done)
}

async fn keys(broker: &Broker) -> Vec<String> {
    let keys = broker.records.all(Bucket::DeadLetters).await.unwrap();
    keys.iter().map(ToString::to_string).collect()
}

async fn job(broker: &Broker) -> Delivery {
    broker.queue.next().await.unwrap()
}

#[tokio::test]
async fn a_letter_is_put_back_as_a_new_turn_with_the_same_question() {
    let (broker, turn) = (memory().await, TurnId::new());
    buried(&broker, "s", turn).await;
    let done = retry(&broker, &turn.to_string()).await.unwrap();
    assert!(!done.repeated);
    assert!(keys(&broker).await.is_empty());

    let delivery = job(&broker).await;
    assert_eq!(Some(delivery.turn.to_string()), done.turn);
    assert_ne!(delivery.turn, turn);
    let asked = letter("s", turn).job.unwrap();
    assert_eq!(delivery.job.messages, asked.messages);
    assert_eq!((delivery.job.model, delivery.job.fingerprint), (asked.model, Bytes::new()));
    assert!(delivery.job.submitted.is_some());
    let place = (delivery.job.replaces.as_str(), delivery.job.behind);
    assert_eq!(place, ("", None), "it takes nothing away that was said since");
    let gone = retry(&broker, &turn.to_string()).await.unwrap_err();
    assert!(gone.contains("weir jobs list"), "{gone}");
}

/// Records whose deletions fail while they are told to: a process that is
/// killed right before one.
#[derive(Debug)]
struct Breaking {
    inner: Arc<dyn Records>,
    broken: AtomicBool,
}

#[async_trait]
impl Records for Breaking {
    async fn get(&self, bucket: Bucket, key: &Key) -> broker::Result<Option<Record>> {
        self.inner.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> broker::Result<u64> {
        self.inner.put(bucket, key, value, expected).await
    }

    async fn delete(&self, bucket: Bucket, key: &Key) -> broker::Result<()> {
        if self.broken.swap(false, Ordering::SeqCst) {
            return Err(broker::Error::Unavailable("on purpose".to_owned()));
        }
        self.inner.delete(bucket, key).await
    }

    async fn list(&self, bucket: Bucket, prefix: &Key) -> broker::Result<Vec<Key>> {
        self.inner.list(bucket, prefix).await
    }

    async fn all(&self, bucket: Bucket) -> broker::Result<Vec<Key>> {
        self.inner.all(bucket).await
    }
}

/// Puts a letter back by a process that dies before it removes the letter.
async fn put_back_and_die(broker: &mut Broker, turn: TurnId) {
    buried(broker, "s", turn).await;
    let inner = Arc::clone(&broker.records);
    broker.records = Arc::new(Breaking { inner, broken: true.into() });
    let died = retry(broker, &turn.to_string()).await.unwrap_err();
    assert!(died.contains("on purpose"), "{died}");
    assert_eq!(keys(broker).await.len(), 1);
}

#[tokio::test]
async fn who_dies_before_the_letter_is_removed_puts_it_back_once_all_the_same() {
    let (mut broker, turn) = (memory().await, TurnId::new());
    put_back_and_die(&mut broker, turn).await;
    let done = retry(&broker, &turn.to_string()).await.unwrap();
    assert!(done.repeated);
    assert_eq!(broker.queue.depth().await, Ok(1));
    assert!(keys(&broker).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_was_put_back_and_ran_long_ago_does_not_run_again() {
    let (mut broker, turn) = (memory().await, TurnId::new());
    put_back_and_die(&mut broker, turn).await;
    let delivery = job(&broker).await;
    let (mut last, session) = (None, delivery.session.clone());
    // It ran, and much was said in the session since.
    for number in 0..2 * READ {
        let again = delivery.turn.to_string();
        let turn = if number == READ / 2 { again } else { TurnId::new().to_string() };
        let event = Event::from(event::Kind::Started(Started::default()));
        let before = last.as_ref().map(|(sequence, state)| (*sequence, state));
        let entry = Entry::after(before, &turn, 1, vec![event]);
        let stored = broker::append(&*broker.log, &session, &entry).await.unwrap();
        let broker::Outcome::Stored(sequence) = stored else { panic!("{stored:?}") };
        last = Some((sequence.0, entry.state.unwrap()));
    }
    delivery.lease.acknowledge().await.unwrap();
    // The queue's own memory is shorter than this.
    let cleared = memory().await;
    let broker = Broker { queue: cleared.queue, ..broker };
    let done = retry(&broker, &turn.to_string()).await.unwrap();
    assert!(done.repeated);
    assert_eq!(broker.queue.depth().await, Ok(0));
    assert!(keys(&broker).await.is_empty());
}

#[tokio::test]
async fn a_letter_whose_turn_has_not_ended_waits() {
    let (broker, turn) = (memory().await, TurnId::new());
    let key = buried(&broker, "s", turn).await;
    let (session, job_of) = (Session::parse("ann", "s").unwrap(), letter("s", turn).job.unwrap());
    broker.queue.submit(&session, &job_of, Admission::Enqueue).await.unwrap();
    let refused = retry(&broker, &key).await.unwrap_err();
    assert!(refused.contains("has not ended"), "{refused}");
    job(&broker).await.lease.acknowledge().await.unwrap();
    retry(&broker, &key).await.unwrap();
    assert_ne!(job(&broker).await.turn, turn);
}

#[tokio::test]
async fn a_full_session_keeps_its_letter() {
    let (broker, turn) = (memory().await, TurnId::new());
    let key = buried(&broker, "s", turn).await;
    let session = Session::parse("ann", "s").unwrap();
    for _ in 0..Limits::default().queue_depth {
        let other = letter("s", TurnId::new()).job.unwrap();
        broker.queue.submit(&session, &other, Admission::Enqueue).await.unwrap();
    }
    let refused = retry(&broker, &key).await.unwrap_err();
    assert!(refused.contains("try again when some have ended"), "{refused}");
    assert_eq!(keys(&broker).await, [key]);
}

#[tokio::test]
async fn what_cannot_be_read_is_shown_and_dropped_and_not_put_back() {
    let broker = memory().await;
    let garbage = DeadLetter {
        payload: Bytes::from_static(b"\x1b]garbage"),
        code: "unreadable".into(),
        reason: "not a job".into(),
        ..DeadLetter::default()
    };
    let unreadable = file(&broker, &garbage, "17").await;
    let mut foreign = letter("s", TurnId::new());
    foreign.job.get_or_insert_default().version = FORMAT + 1;
    let foreign = file(&broker, &foreign, "18").await;
    let key: Key = "unknown.18".parse().unwrap();
    let value = Bytes::from_static(b"\xff no letter");
    broker.records.put(Bucket::DeadLetters, &key, value, Expected::Any).await.unwrap();

    let Answer::Letters { letters, next: None } =
        answer(&broker, Request::List { after: None }).await
    else {
        panic!("no list");
    };
    let owners: Vec<_> = letters.iter().map(|it| (it.user.as_str(), it.turn.as_ref())).collect();
    assert_eq!((owners[0], owners[2]), (("ann", None), ("", None)));
    for name in [unreadable.as_str(), &foreign, "unknown.18"] {
        let refused = retry(&broker, name).await.unwrap_err();
        assert!(refused.contains(&format!("weir jobs drop {name}")), "{refused}");
        let shown = answer(&broker, Request::Show { job: name.to_owned() }).await;
        assert!(matches!(shown, Answer::Letter { .. }), "{shown:?}");
        let dropped = answer(&broker, Request::Drop { job: name.to_owned() }).await;
        assert!(matches!(dropped, Answer::Done(Done { turn: None, .. })), "{dropped:?}");
    }
    assert!(keys(&broker).await.is_empty());
}

#[tokio::test]
async fn a_turn_in_two_keys_must_be_named_whole() {
    let (broker, turn) = (memory().await, TurnId::new());
    let first = buried(&broker, "s", turn).await;
    let second = buried(&broker, "t", turn).await;
    let refused = retry(&broker, &turn.to_string()).await.unwrap_err();
    assert!(refused.contains("several"), "{refused}");
    assert_eq!(retry(&broker, &second).await.unwrap().key, second);
    assert_eq!(keys(&broker).await, [first]);
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_each_letter_once() {
    let broker = memory().await;
    let mut all = Vec::new();
    for number in 0..=2 * PAGE {
        all.push(buried(&broker, &format!("s{number}"), TurnId::new()).await);
    }
    all.sort();
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let Answer::Letters { letters, next } = answer(&broker, Request::List { after }).await
        else {
            panic!("no list");
        };
        assert!(letters.len() <= PAGE);
        seen.extend(letters.into_iter().map(|it| it.key));
        pages += 1;
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (all, 3));
}

#[test]
fn requests_and_answers_read_back() {
    for request in [
        Request::List { after: Some("a".into()) },
        Request::Retry { job: "b".into() },
        Request::Depth {},
    ] {
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    }
    let done = Answer::Done(Done { key: "k".into(), turn: None, repeated: false });
    let text = serde_json::to_string(&done).unwrap();
    assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), done);
}
