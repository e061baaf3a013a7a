//! What the tests do all the time.

use std::sync::Arc;
use std::time::Duration;

use broker::nats::{Config, open};
use broker::{
    Admission, Broker, Error, Follow, Followed, From, Outcome, Sequence, Submitted, append,
};
use proto::{Entry, Event, FORMAT, Job, Session, TurnId, event};
use tokio::time::timeout;

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn config(url: &str) -> Config {
    Config::new(url)
}

pub(crate) fn session(id: &str) -> Session {
    Session::parse("test_user", id).expect("an id")
}

pub(crate) fn job(session: &Session) -> Job {
    Job {
        version: FORMAT,
        user_id: session.user.to_string(),
        session_id: session.id.to_string(),
        turn_id: TurnId::new().to_string(),
        ..Job::default()
    }
}

pub(crate) fn entry(follows: Sequence, text: &str) -> Entry {
    Entry {
        version: FORMAT,
        follows: follows.0,
        events: vec![Event::from(event::Kind::Text(text.to_owned()))],
        ..Entry::default()
    }
}

pub(crate) async fn store(
    broker: &Broker,
    session: &Session,
    follows: Sequence,
    text: &str,
) -> Sequence {
    match append(&*broker.log, session, &entry(follows, text)).await.expect("stored or refused") {
        Outcome::Stored(sequence) => sequence,
        Outcome::Refused => panic!("refused"),
    }
}

pub(crate) async fn refusal(config: Config) -> String {
    match open(config).await {
        Err(Error::Unsuitable(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

/// A turn that was refused is not remembered as submitted.
pub(crate) async fn assert_refused_turn_may_come_again(broker: &Broker) {
    let (session, queue) = (session("again"), &broker.queue);
    let (first, second) = (job(&session), job(&session));
    let submit = |job| queue.submit(&session, job, Admission::IfEmpty);
    submit(&first).await.expect("room");
    assert_eq!(submit(&second).await, Err(Error::Busy));
    assert_eq!(queue.clear(&session).await, Ok(1));
    let again = submit(&second).await;
    assert!(matches!(again, Ok(Submitted::Accepted(_))), "{again:?}");
    assert_eq!(queue.clear(&session).await, Ok(1));
}

/// The log holds exactly this many entries, each linked to the one before. (The
/// last one is no measure: a server that wakes tells an older one.)
pub(crate) async fn assert_chain(broker: &Broker, session: &Session, many: usize) {
    let (mut after, mut count) = (Sequence::START, 0);
    let whole = async {
        while count < many {
            for stored in broker.log.read(session, after, 64).await.expect("a read") {
                assert_eq!(stored.entry.follows, after.0);
                (after, count) = (stored.sequence, count + 1);
            }
        }
    };
    timeout(LONG, whole).await.expect("the whole log");
    assert_eq!(count, many);
    let last = broker.log.last(session).await.expect("a last entry");
    assert!(last.is_some_and(|it| it.sequence <= after), "more than {many}");
}

/// A reader from the start sees this many entries, each once and in order,
/// whatever happens meanwhile.
pub(crate) async fn assert_follows(broker: &Broker, session: &Session, many: usize) {
    let log = Arc::clone(&broker.log);
    let mut follow = Follow::open(log, session.clone(), From::Start).await.expect("a reader");
    let mut after = Sequence::START;
    for _ in 0..many {
        match timeout(LONG, follow.next()).await.expect("the next entry") {
            Ok(Followed::Entry(stored)) => {
                assert_eq!(stored.entry.follows, after.0);
                after = stored.sequence;
            }
            other => panic!("{other:?}"),
        }
    }
}
