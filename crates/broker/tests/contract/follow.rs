//! A reader misses nothing and sees nothing twice, wherever it begins.

use std::time::Duration;

use broker::{Followed, From};
use futures::future::join_all;
use tokio::time::timeout;

use crate::world::{World, numbers, sees, sees_all, soon, text};

pub(crate) async fn a_reader_from_the_start_sees_everything(world: &World) {
    let session = world.session("s");
    let mut early = world.follow(&session, From::Start).await;
    let mut speaker = world.speaker(&session);
    for number in numbers(0..100) {
        speaker.say(&number).await;
    }
    let mut late = world.follow(&session, From::Start).await;
    assert_eq!(late.head().unwrap().sequence, speaker.last);
    for number in numbers(100..110) {
        speaker.say(&number).await;
    }
    assert_eq!(sees_all(&mut early, 110).await, numbers(0..110));
    assert_eq!(sees_all(&mut late, 110).await, numbers(0..110));
}

pub(crate) async fn a_reader_after_a_position_sees_the_rest(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 10).await;
    for (at, place) in places.iter().enumerate() {
        let mut follow = world.follow(&session, From::After(world.position(*place))).await;
        let rest = numbers(at + 1..10);
        assert_eq!(sees_all(&mut follow, rest.len()).await, rest);
    }
    let mut follow = world.follow(&session, From::After(world.position(places[9]))).await;
    let mut speaker = world.speaker(&session);
    speaker.last = places[9];
    speaker.say("more").await;
    assert_eq!(sees(&mut follow).await, "more");
}

pub(crate) async fn a_reader_at_a_position_sees_that_entry_first(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 10).await;
    let mut follow = world.follow(&session, From::At(world.position(places[4]))).await;
    assert_eq!(sees_all(&mut follow, 6).await, numbers(4..10));
}

pub(crate) async fn a_reader_of_the_turn_sees_it_from_its_beginning(world: &World) {
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    speaker.say("old").await;
    speaker.complete().await;
    // No turn runs: only what comes.
    let mut idle = world.follow(&session, From::Turn).await;
    speaker.say("new").await;
    let mut first = world.follow(&session, From::Turn).await;
    speaker.say("newer").await;
    let mut second = world.follow(&session, From::Turn).await;
    speaker.say("newest").await;
    for follow in [&mut idle, &mut first, &mut second] {
        assert_eq!(sees_all(follow, 3).await, ["new", "newer", "newest"]);
    }
}

pub(crate) async fn a_reader_from_now_sees_only_what_comes(world: &World) {
    let session = world.session("s");
    let mut before_all = world.follow(&session, From::Now).await;
    let mut speaker = world.speaker(&session);
    speaker.say("first").await;
    let mut follow = world.follow(&session, From::Now).await;
    speaker.say("second").await;
    assert_eq!(sees(&mut follow).await, "second");
    assert_eq!(sees_all(&mut before_all, 2).await, ["first", "second"]);
}

pub(crate) async fn a_reader_opened_while_entries_are_written_sees_each_once(world: &World) {
    const ENTRIES: usize = 2_000;
    let session = world.session("s");
    let written = world.chain(&session, ENTRIES);
    let read = async {
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut follow = world.follow(&session, From::Start).await;
            seen = sees_all(&mut follow, ENTRIES).await;
        }
        seen
    };
    let early = async {
        let mut follow = world.follow(&session, From::Start).await;
        sees_all(&mut follow, ENTRIES).await
    };
    let (_, seen, early) = tokio::join!(written, read, early);
    assert_eq!(seen, numbers(0..ENTRIES));
    assert_eq!(early, numbers(0..ENTRIES));
}

pub(crate) async fn a_slow_reader_misses_nothing(world: &World) {
    let session = world.session("s");
    let mut follow = world.follow(&session, From::Now).await;
    world.chain(&session, 500).await;
    assert_eq!(sees_all(&mut follow, 500).await, numbers(0..500));
}

pub(crate) async fn a_dropped_wait_loses_nothing(world: &World) {
    let session = world.session("s");
    let mut follow = world.follow(&session, From::Start).await;
    let written = world.chain(&session, 300);
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < 300 {
            // Too short for some, long enough for others.
            let patience = Duration::from_micros(50 * (seen.len() as u64 % 5));
            match timeout(patience, follow.next()).await {
                Ok(Ok(Followed::Entry(stored))) => seen.push(text(&stored.entry)),
                Ok(other) => panic!("{other:?}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        seen
    };
    let (_, seen) = tokio::join!(written, soon(read));
    assert_eq!(seen, numbers(0..300));
}

pub(crate) async fn many_readers_see_the_same(world: &World) {
    let session = world.session("s");
    let readers = (0..20).map(|_| world.follow(&session, From::Start));
    let mut readers = join_all(readers).await;
    let written = world.chain(&session, 100);
    let read = join_all(readers.iter_mut().map(|it| sees_all(it, 100)));
    let (_, seen) = tokio::join!(written, read);
    for seen in seen {
        assert_eq!(seen, numbers(0..100));
    }
}
