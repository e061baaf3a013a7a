//! Conditional append, ordered read, live tail, purge.

use std::sync::Arc;

use broker::{AppendError, Error, MAX_ENTRY_BYTES, Sequence, Signal};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use prost::Message as _;
use proto::{Entry, event};

use crate::world::{World, numbers, soon, text, texts};

/// Ids that mean something to somebody's wire or table.
const ODD: [&str; 12] = ["a.b", "*", ">", "a b", "$JS.API.>", "=", "'", "%", "_", "..", "/", "a/b"];

fn bytes(entry: &Entry) -> Bytes {
    entry.encode_to_vec().into()
}

pub(crate) async fn entries_are_read_back_in_the_order_they_were_chained(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 10).await;
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    let read = world.read(&session, Sequence::START, 10).await;
    assert_eq!(texts(&read), numbers(0..10));
    let mut before = Sequence::START;
    for (stored, place) in read.iter().zip(&places) {
        assert_eq!(stored.sequence, *place);
        assert_eq!(stored.entry.follows, before.0);
        before = *place;
    }
    let last = world.broker.log.last(&session).await.unwrap();
    assert_eq!(last.as_ref(), read.last());
}

pub(crate) async fn a_session_never_written_to_is_empty(world: &World) {
    let (log, session) = (&world.broker.log, world.session("nothing"));
    assert_eq!(log.last(&session).await, Ok(None));
    assert_eq!(log.read(&session, Sequence::START, 10).await, Ok(vec![]));
    assert_eq!(log.purge(&session, Sequence(100)).await, Ok(0));
}

pub(crate) async fn an_append_that_follows_another_entry_than_the_last_is_refused(world: &World) {
    let (log, session) = (&world.broker.log, world.session("s"));
    let speaker = world.speaker(&session);
    let refused = async |follows: Sequence| {
        let mut entry = speaker.entry(event::Kind::Text("no".into()));
        entry.follows = follows.0;
        let outcome = log.append(&session, follows, bytes(&entry)).await;
        assert_eq!(outcome, Err(AppendError::Refused), "after {follows}");
    };
    refused(Sequence(7)).await;
    let places = world.chain(&session, 3).await;
    let beyond = Sequence(places[2].0 + 1);
    for follows in [Sequence::START, places[0], places[1], beyond] {
        refused(follows).await;
    }
    let read = world.read(&session, Sequence::START, 3).await;
    assert_eq!(texts(&read), numbers(0..3));
}

pub(crate) async fn of_many_writers_exactly_one_wins_each_step(world: &World) {
    let (log, session) = (&world.broker.log, world.session("s"));
    let mut last = Sequence::START;
    for step in 0..20 {
        let tries = (0..8).map(|writer| {
            let mut entry =
                world.speaker(&session).entry(event::Kind::Text(format!("{step} by {writer}")));
            entry.follows = last.0;
            let (log, session) = (Arc::clone(log), &session);
            async move { broker::append(log.as_ref(), session, &entry).await.unwrap() }
        });
        let stored: Vec<Sequence> = soon(join_all(tries))
            .await
            .into_iter()
            .filter_map(|it| match it {
                broker::Outcome::Stored(sequence) => Some(sequence),
                broker::Outcome::Refused => None,
            })
            .collect();
        assert_eq!(stored.len(), 1, "step {step}");
        last = stored[0];
    }
    assert_eq!(world.read(&session, Sequence::START, 20).await.len(), 20);
}

pub(crate) async fn sessions_never_meet_whatever_their_ids(world: &World) {
    let long = "中文会话编号".repeat(7);
    let ids = ODD.iter().copied().chain([&long[..126]]);
    let sessions: Vec<_> =
        ids.flat_map(|id| [world.session(id), world.of(id, "plain"), world.of(id, id)]).collect();
    for (number, session) in sessions.iter().enumerate() {
        world.speaker(session).say(&number.to_string()).await;
    }
    for (number, session) in sessions.iter().enumerate() {
        let read = world.read(session, Sequence::START, 1).await;
        assert_eq!(texts(&read), [number.to_string()], "{session:?}");
    }
}

pub(crate) async fn a_read_keeps_to_its_limits(world: &World) {
    let (log, session) = (&world.broker.log, world.session("s"));
    let places = world.chain(&session, 10).await;
    world.read(&session, Sequence::START, 10).await;
    let read = log.read(&session, places[3], 4).await.unwrap();
    assert_eq!(texts(&read), numbers(4..8));
    let middle = Sequence(places[4].0 - 1);
    let read = log.read(&session, middle, 1).await.unwrap();
    assert_eq!(texts(&read), ["4"]);
    for beyond in [places[9], Sequence(places[9].0 + 1_000)] {
        assert_eq!(log.read(&session, beyond, 10).await, Ok(vec![]));
    }
    let large = world.session("large");
    let mut speaker = world.speaker(&large);
    for _ in 0..5 {
        speaker.say(&"x".repeat(400 * 1024)).await;
    }
    world.read(&large, speaker.last.before(), 1).await;
    let read = log.read(&large, Sequence::START, 5).await.unwrap();
    assert!((1..=3).contains(&read.len()), "{} entries", read.len());
}

pub(crate) async fn a_purge_erases_what_is_before_a_place(world: &World) {
    let (log, session, other) = (&world.broker.log, world.session("s"), world.session("other"));
    let places = world.chain(&session, 6).await;
    world.chain(&other, 2).await;
    assert_eq!(log.purge(&session, places[4]).await, Ok(4));
    assert_eq!(log.purge(&session, places[4]).await, Ok(0));
    let read = world.read(&session, Sequence::START, 2).await;
    assert_eq!(texts(&read), ["4", "5"]);
    assert_eq!(world.read(&other, Sequence::START, 2).await.len(), 2);
    let last = log.last(&session).await.unwrap().unwrap();
    assert_eq!(last.sequence, places[5]);
}

pub(crate) async fn after_a_purge_of_everything_the_chain_starts_anew_and_no_place_is_reused(
    world: &World,
) {
    let (log, session) = (&world.broker.log, world.session("s"));
    let places = world.chain(&session, 3).await;
    let end = Sequence(places[2].0 + 1);
    assert_eq!(log.purge(&session, end).await, Ok(3));
    assert_eq!(log.last(&session).await, Ok(None));
    let mut late = world.speaker(&session);
    late.last = places[2];
    let entry = late.entry(event::Kind::Text("late".into()));
    let outcome = log.append(&session, places[2], bytes(&entry)).await;
    assert_eq!(outcome, Err(AppendError::Refused));
    let anew = world.chain(&session, 1).await;
    assert!(anew[0] > places[2], "{anew:?} after {places:?}");
}

pub(crate) async fn an_entry_past_its_limit_is_too_large(world: &World) {
    let (log, session) = (&world.broker.log, world.session("s"));
    let speaker = world.speaker(&session);
    let mut entry = speaker.entry(event::Kind::Text("x".repeat(MAX_ENTRY_BYTES - 1_000)));
    while entry.encoded_len() <= MAX_ENTRY_BYTES {
        let event::Kind::Text(text) = entry.events[0].kind.as_mut().unwrap() else {
            unreachable!("it was made a text");
        };
        text.push('x');
    }
    let too_large =
        Error::TooLarge { what: "entry", size: MAX_ENTRY_BYTES + 1, limit: MAX_ENTRY_BYTES };
    let outcome = log.append(&session, Sequence::START, bytes(&entry)).await;
    assert_eq!(outcome, Err(AppendError::Failed(too_large.clone())));
    let outcome = broker::append(log.as_ref(), &session, &entry).await;
    assert_eq!(outcome, Err(too_large));
    let event::Kind::Text(text) = entry.events[0].kind.as_mut().unwrap() else {
        unreachable!("it was made a text");
    };
    text.pop();
    assert_eq!(entry.encoded_len(), MAX_ENTRY_BYTES);
    let outcome = log.append(&session, Sequence::START, bytes(&entry)).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    let read = world.read(&session, Sequence::START, 1).await;
    assert_eq!(read[0].entry, entry);
}

pub(crate) async fn a_live_tail_brings_what_was_stored_in_order_and_nothing_refused(world: &World) {
    let (log, session) = (&world.broker.log, world.session("s"));
    world.speaker(&session).say("before").await;
    let mut live = log.live(&session).await.unwrap();
    let mut speaker = world.speaker(&session);
    speaker.last = log.last(&session).await.unwrap().unwrap().sequence;
    let other = world.session("other");
    world.chain(&other, 3).await;
    let mut stale = speaker.entry(event::Kind::Text("refused".into()));
    stale.follows = 0;
    for number in 0..20 {
        let refused = log.append(&session, Sequence::START, bytes(&stale)).await;
        assert_eq!(refused, Err(AppendError::Refused));
        speaker.say(&number.to_string()).await;
    }
    let mut before = Sequence::START;
    for number in 0..20 {
        let Some(Signal::Entry(stored)) = soon(live.next()).await else {
            panic!("entry {number} was missed");
        };
        assert_eq!(text(&stored.entry), number.to_string());
        assert!(stored.sequence > before);
        before = stored.sequence;
    }
    let read = world.read(&session, Sequence::START, 21).await;
    assert_eq!(read.last().unwrap().sequence, before);
}

pub(crate) async fn a_live_tail_and_the_last_entry_miss_nothing_between_them(world: &World) {
    let (log, session) = (&world.broker.log, world.session("s"));
    let written = async {
        let mut speaker = world.speaker(&session);
        for number in 0..50 {
            speaker.say(&number.to_string()).await;
        }
        speaker.last
    };
    let listened = async {
        let mut heard = Vec::new();
        for _ in 0..10 {
            let live = log.live(&session).await.unwrap();
            let last = log.last(&session).await.unwrap();
            heard.push((live, last.map_or(Sequence::START, |it| it.sequence)));
            tokio::task::yield_now().await;
        }
        heard
    };
    let (end, heard) = tokio::join!(written, listened);
    for (mut live, mut after) in heard {
        while after < end {
            match soon(live.next()).await {
                Some(Signal::Entry(stored)) if stored.sequence > after => {
                    assert_eq!(stored.entry.follows, after.0);
                    after = stored.sequence;
                }
                // Stored before the question for the last entry.
                Some(Signal::Entry(_)) => {}
                other => panic!("{other:?} after {after}"),
            }
        }
    }
}
