//! Erasing a session, step by step and all at once.

use broker::{Bucket, Erased, Expected, From, Key, Outcome, Removed, Sequence, erase};
use bytes::Bytes;
use futures::future::join;
use prost::Message as _;
use proto::{Entry, Session, Started, Status, Transcript, TranscriptTurn, event};

use crate::world::{World, sees, soon, text};

/// The records that belong to a session beside its transcript.
const OWN: [Bucket; 5] =
    [Bucket::Sessions, Bucket::Reviews, Bucket::Ledgers, Bucket::Keys, Bucket::DeadLetters];

async fn erases(world: &World, session: &Session) -> Erased {
    soon(erase(&world.broker, session)).await.unwrap()
}

/// Erases what there is to erase.
async fn removes(world: &World, session: &Session) -> Removed {
    match erases(world, session).await {
        Erased::Done(removed) => removed,
        Erased::Nothing => panic!("there was nothing to erase in {session:?}"),
    }
}

async fn transcript(world: &World, session: &Session) -> Option<Transcript> {
    let key = Key::session(session);
    let found = world.broker.records.get(Bucket::Transcripts, &key).await.unwrap();
    found.map(|it| Transcript::decode(it.value).unwrap())
}

async fn remember(world: &World, session: &Session, of: Transcript) {
    let turn = TranscriptTurn { turn_id: "t".to_owned(), ..TranscriptTurn::default() };
    let value = Transcript { turns: vec![turn], ..of }.encode_to_vec();
    let key = Key::session(session);
    let records = &world.broker.records;
    records.put(Bucket::Transcripts, &key, value.into(), Expected::Any).await.unwrap();
}

/// A session with everything that one may have: a turn that runs, one that
/// waits, and records.
async fn lived_in(world: &World, id: &str) -> Session {
    let session = world.session(id);
    world.submit(&session, "runs").await;
    world.submit(&session, "waits").await;
    let mut speaker = world.speaker(&session);
    let last = world.broker.log.last(&session).await.unwrap();
    speaker.last = last.map_or(Sequence::START, |it| it.sequence);
    for number in 0..3 {
        speaker.say(&number.to_string()).await;
    }
    let known = transcript(world, &session).await.unwrap_or_default();
    remember(world, &session, known).await;
    for bucket in OWN {
        for key in [Key::session(&session), Key::session(&session).child("below")] {
            let value = Bytes::from_static(b"v");
            world.broker.records.put(bucket, &key, value, Expected::Any).await.unwrap();
        }
    }
    session
}

/// Nothing of the session is left but what keeps the old from returning.
async fn is_gone(world: &World, session: &Session) {
    let broker = &world.broker;
    assert_eq!(broker.queue.pending(session).await, Ok(vec![]));
    let read = world.read(session, Sequence::START, 1).await;
    assert!(read.len() == 1 && read[0].entry.is_tombstone(), "{read:?}");
    let state = read[0].entry.state.as_ref().unwrap();
    assert_eq!(state.status(), Status::Idle);
    let transcript = transcript(world, session).await.unwrap();
    assert!(transcript.turns.is_empty() && !transcript.erasing, "{transcript:?}");
    for bucket in OWN {
        assert_eq!(broker.records.list(bucket, &Key::session(session)).await, Ok(vec![]));
    }
}

pub(crate) async fn an_erased_session_is_gone_and_others_are_not(world: &World) {
    let session = lived_in(world, "s").await;
    let (other, similar) = (lived_in(world, "other").await, lived_in(world, "s.x").await);
    removes(world, &session).await;
    is_gone(world, &session).await;
    for session in [other, similar] {
        assert_eq!(world.broker.queue.pending(&session).await.unwrap().len(), 2);
        assert_eq!(world.read(&session, Sequence::START, 3).await.len(), 3);
        assert_eq!(transcript(world, &session).await.unwrap().turns.len(), 1);
        erases(world, &session).await;
    }
}

pub(crate) async fn what_a_user_keeps_outlives_his_sessions(world: &World) {
    let session = lived_in(world, "s").await;
    let (records, key) = (&world.broker.records, Key::user(&session.user).child("s"));
    let value = Bytes::from_static(b"v");
    records.put(Bucket::Memory, &key, value, Expected::Any).await.unwrap();
    erases(world, &session).await;
    assert!(records.get(Bucket::Memory, &key).await.unwrap().is_some());
}

pub(crate) async fn a_session_that_never_was_has_nothing_to_erase(world: &World) {
    let session = world.session("never");
    assert_eq!(erases(world, &session).await, Erased::Nothing);
    assert_eq!(world.broker.log.last(&session).await, Ok(None));
    assert_eq!(transcript(world, &session).await, None);
}

pub(crate) async fn erasing_twice_is_erasing_once(world: &World) {
    let session = lived_in(world, "s").await;
    removes(world, &session).await;
    let last = world.broker.log.last(&session).await.unwrap();
    assert_eq!(erases(world, &session).await, Erased::Nothing);
    assert_eq!(world.broker.log.last(&session).await.unwrap(), last);
    let session = lived_in(world, "both").await;
    let both = join(erases(world, &session), erases(world, &session)).await;
    assert!(both.0 != Erased::Nothing || both.1 != Erased::Nothing, "{both:?}");
    is_gone(world, &session).await;
}

pub(crate) async fn an_erasure_tells_how_much_it_removed(world: &World) {
    let session = lived_in(world, "s").await;
    let all = Removed { entries: 3, jobs: 2, turns: 1, records: 10 };
    assert_eq!(removes(world, &session).await, all);
    assert_eq!(erases(world, &session).await, Erased::Nothing);
    world.submit(&session, "again").await;
    // With the tombstone of the first time.
    let one = Removed { entries: 1, jobs: 1, ..Removed::default() };
    assert_eq!(removes(world, &session).await, one);
}

pub(crate) async fn every_part_of_a_session_is_enough_to_erase_it(world: &World) {
    let waits = world.session("waits");
    world.submit(&waits, "waits").await;
    let spoke = world.session("spoke");
    world.chain(&spoke, 1).await;
    let remembered = world.session("remembered");
    remember(world, &remembered, Transcript::default()).await;
    let begun = world.session("begun");
    let half = Transcript { erasing: true, ..Transcript::default() }.encode_to_vec();
    let (records, key) = (&world.broker.records, Key::session(&begun));
    records.put(Bucket::Transcripts, &key, half.into(), Expected::Any).await.unwrap();
    let unreadable = world.session("unreadable");
    let (key, value) = (Key::session(&unreadable), Bytes::from_static(b"\xff"));
    records.put(Bucket::Transcripts, &key, value, Expected::Any).await.unwrap();
    let filed = world.session("filed");
    let (key, value) = (Key::session(&filed).child("t"), Bytes::from_static(b"v"));
    records.put(Bucket::DeadLetters, &key, value, Expected::Any).await.unwrap();
    for session in [waits, spoke, remembered, begun, unreadable, filed] {
        removes(world, &session).await;
        is_gone(world, &session).await;
        assert_eq!(erases(world, &session).await, Erased::Nothing, "{session:?}");
    }
}

pub(crate) async fn a_reader_of_an_erased_session_sees_no_gap(world: &World) {
    let session = lived_in(world, "s").await;
    let mut follow = world.follow(&session, From::Now).await;
    erases(world, &session).await;
    let mut speaker = world.speaker(&session);
    speaker.last = world.broker.log.last(&session).await.unwrap().unwrap().sequence;
    speaker.say("anew").await;
    assert_eq!(sees(&mut follow).await, "deleted");
    assert_eq!(sees(&mut follow).await, "anew");
}

pub(crate) async fn a_session_that_was_erased_may_be_lived_in_and_erased_again(world: &World) {
    let mut before = 0;
    for _ in 0..3 {
        let session = lived_in(world, "s").await;
        removes(world, &session).await;
        is_gone(world, &session).await;
        let generation = transcript(world, &session).await.unwrap().generation;
        assert!(generation > before);
        before = generation;
    }
}

/// Whoever was about to speak when the session was erased is refused, also when
/// nothing had been said yet.
pub(crate) async fn nobody_speaks_behind_a_tombstone_unless_he_knows_it(world: &World) {
    for id in ["silent", "spoke"] {
        let session = world.session(id);
        world.submit(&session, "runs").await;
        if id == "spoke" {
            world.chain(&session, 2).await;
        }
        let last = world.broker.log.last(&session).await.unwrap();
        let state = last.as_ref().and_then(|it| it.entry.state.clone()).unwrap_or_default();
        let last = last.map(|it| (it.sequence.0, &state));
        let started = event::Kind::Started(Started::default());
        let late = Entry::after(last, "late", 1, vec![started.into()]);
        erases(world, &session).await;
        let log = world.broker.log.as_ref();
        assert_eq!(broker::append(log, &session, &late).await, Ok(Outcome::Refused), "{id}");
        is_gone(world, &session).await;
    }
}

/// A turn that speaks as fast as it can is erased all the same, and says
/// nothing behind the tombstone.
pub(crate) async fn a_turn_that_does_not_stop_speaking_is_erased(world: &World) {
    let session = world.session("s");
    world.submit(&session, "runs").await;
    world.chain(&session, 1).await;
    let log = world.broker.log.as_ref();
    let speaks = async {
        let mut speaker = world.speaker(&session);
        speaker.last = log.last(&session).await.unwrap().unwrap().sequence;
        for number in 0.. {
            // A store in memory answers at once.
            tokio::task::yield_now().await;
            let entry = speaker.entry(event::Kind::Text(number.to_string()));
            match broker::append(log, &session, &entry).await.unwrap() {
                Outcome::Stored(sequence) => speaker.last = sequence,
                Outcome::Refused => return,
            }
        }
    };
    let ((), erased) = soon(join(speaks, erase(&world.broker, &session))).await;
    let Ok(Erased::Done(removed)) = erased else { panic!("{erased:?}") };
    assert!(removed.entries > 0, "{removed:?}");
    let last = log.last(&session).await.unwrap().unwrap();
    assert_eq!(text(&last.entry), "deleted");
    is_gone(world, &session).await;
}
