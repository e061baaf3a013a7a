//! What the log no longer has, or never had, is said aloud.

use broker::{Epoch, Follow, Followed, From, Position, Sequence};
use proto::event;

use crate::world::{World, numbers, sees, sees_all, soon};

/// The gap that a reader sees next.
async fn gap(follow: &mut Follow) -> proto::Gap {
    match soon(follow.next()).await.unwrap() {
        Followed::Gap(event::Kind::Gap(gap)) => gap,
        other @ (Followed::Entry(_) | Followed::Gap(_)) => panic!("no gap but {other:?}"),
    }
}

pub(crate) async fn a_position_of_another_log_is_a_gap(world: &World) {
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    speaker.say("old").await;
    speaker.complete().await;
    let began = speaker.say("running").await;
    let asked = Position { epoch: Epoch(world.broker.log.epoch().0 ^ 1), sequence: began };
    for from in [From::After(asked), From::At(asked)] {
        let mut follow = world.follow(&session, from).await;
        let gap = gap(&mut follow).await;
        assert_eq!(gap.reason, "other_log");
        assert_eq!(gap.asked, asked.to_string());
        assert_eq!(sees(&mut follow).await, "running");
    }
}

pub(crate) async fn a_position_of_another_session_is_a_gap(world: &World) {
    let (mine, other) = (world.session("mine"), world.session("other"));
    let (mut me, mut them) = (world.speaker(&mine), world.speaker(&other));
    me.say("0").await;
    let theirs = them.say("secret").await;
    me.say("1").await;
    let beyond = them.say("secret").await;
    let mut follow = world.follow(&mine, From::After(world.position(theirs))).await;
    assert_eq!(sees(&mut follow).await, "gap: unknown_position");
    assert_eq!(sees(&mut follow).await, "1");
    let mut follow = world.follow(&mine, From::After(world.position(beyond))).await;
    assert_eq!(sees(&mut follow).await, "gap: unknown_position");
    assert_eq!(sees_all(&mut follow, 2).await, numbers(0..2));
}

pub(crate) async fn a_position_beyond_the_end_is_a_gap(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 3).await;
    let asked = world.position(Sequence(places[2].0 + 1_000_000));
    let mut follow = world.follow(&session, From::After(asked)).await;
    let gap = gap(&mut follow).await;
    assert_eq!(gap.reason, "unknown_position");
    assert_eq!(gap.asked, asked.to_string());
    // The running turn, once more from its beginning.
    assert_eq!(sees_all(&mut follow, 3).await, numbers(0..3));
}

pub(crate) async fn a_purged_position_is_a_gap(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 8).await;
    world.broker.log.purge(&session, places[5]).await.unwrap();
    let asked = world.position(places[2]);
    let mut follow = world.follow(&session, From::After(asked)).await;
    let gap = gap(&mut follow).await;
    assert_eq!(gap.reason, "expired");
    assert_eq!(gap.asked, asked.to_string());
    assert_eq!(gap.next, world.position(places[5]).to_string());
    assert_eq!(sees_all(&mut follow, 3).await, numbers(5..8));
}

pub(crate) async fn a_start_that_was_purged_is_a_gap(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 4).await;
    world.broker.log.purge(&session, places[2]).await.unwrap();
    let mut follow = world.follow(&session, From::Start).await;
    assert_eq!(sees(&mut follow).await, "gap: expired");
    assert_eq!(sees_all(&mut follow, 2).await, numbers(2..4));
}

pub(crate) async fn a_log_that_is_all_gone_is_a_gap(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 4).await;
    let end = Sequence(places[3].0 + 1);
    world.broker.log.purge(&session, end).await.unwrap();
    let asked = world.position(places[1]);
    let mut follow = world.follow(&session, From::After(asked)).await;
    assert_eq!(sees(&mut follow).await, "gap: expired");
    world.chain(&session, 2).await;
    assert_eq!(sees_all(&mut follow, 2).await, numbers(0..2));
}

pub(crate) async fn a_tombstone_is_no_gap(world: &World) {
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    let first = speaker.say("0").await;
    speaker.say("1").await;
    let mut reader = world.follow(&session, From::After(world.position(first))).await;
    speaker.delete().await;
    speaker.say("new").await;
    for from in [From::After(world.position(first)), From::Start] {
        let mut late = world.follow(&session, from).await;
        assert_eq!(sees_all(&mut late, 2).await, ["deleted", "new"]);
    }
    // One who was there may have seen what was erased meanwhile, or not.
    let mut seen = vec![sees(&mut reader).await, sees(&mut reader).await];
    if seen[0] == "1" {
        seen = vec![seen.remove(1), sees(&mut reader).await];
    }
    assert_eq!(seen, ["deleted", "new"]);
}

pub(crate) async fn an_entry_that_was_asked_for_and_is_gone_is_a_gap(world: &World) {
    let (session, other) = (world.session("s"), world.session("other"));
    let places = world.chain(&session, 4).await;
    let theirs = world.chain(&other, 1).await[0];
    let mut speaker = world.speaker(&session);
    speaker.last = places[3];
    speaker.say("4").await;
    world.broker.log.purge(&session, places[2]).await.unwrap();
    for (asked, reason, next, sees) in [
        (places[1], "expired", places[2], vec!["2", "3", "4"]),
        (theirs, "unknown_position", speaker.last, vec!["4"]),
    ] {
        let asked = world.position(asked);
        let mut follow = world.follow(&session, From::At(asked)).await;
        let gap = gap(&mut follow).await;
        assert_eq!((gap.reason.as_str(), gap.asked), (reason, asked.to_string()));
        assert_eq!(gap.next, world.position(next).to_string());
        assert_eq!(sees_all(&mut follow, sees.len()).await, sees);
    }
}

pub(crate) async fn a_turn_whose_beginning_is_gone_begins_with_a_gap(world: &World) {
    let session = world.session("s");
    let places = world.chain(&session, 4).await;
    world.broker.log.purge(&session, places[2]).await.unwrap();
    let mut follow = world.follow(&session, From::Turn).await;
    let gap = gap(&mut follow).await;
    assert_eq!(
        (gap.reason.as_str(), gap.asked),
        ("expired", world.position(places[0]).to_string())
    );
    assert_eq!(gap.next, world.position(places[2]).to_string());
    assert_eq!(sees_all(&mut follow, 2).await, numbers(2..4));
}

pub(crate) async fn a_gap_names_the_first_entry_that_follows(world: &World) {
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    speaker.say("old").await;
    let ended = speaker.complete().await;
    let elsewhere = Position { epoch: Epoch(world.broker.log.epoch().0 ^ 1), sequence: ended };
    // Nothing follows yet: what will comes after the last entry.
    let mut follow = world.follow(&session, From::After(elsewhere)).await;
    assert_eq!(gap(&mut follow).await.next, world.position(ended).to_string());
    let began = speaker.say("running").await;
    speaker.say("on").await;
    let mut follow = world.follow(&session, From::After(elsewhere)).await;
    assert_eq!(gap(&mut follow).await.next, world.position(began).to_string());
    assert_eq!(sees_all(&mut follow, 2).await, ["running", "on"]);
}

pub(crate) async fn a_log_that_expires_under_a_reader_is_a_gap(world: &World) {
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    let first = speaker.say("first").await;
    let mut follow = world.follow(&session, From::Start).await;
    assert_eq!(sees(&mut follow).await, "first");
    // More than waits for a reader that is slow: it must read the log.
    let long = "x".repeat(16 * 1024);
    for _ in 0..100 {
        speaker.say(&long).await;
    }
    let kept = speaker.say("kept").await;
    world.broker.log.purge(&session, kept).await.unwrap();
    let mut seen = Vec::new();
    let gap = loop {
        match soon(follow.next()).await.unwrap() {
            Followed::Gap(event::Kind::Gap(gap)) => break gap,
            Followed::Entry(stored) => seen.push(stored.sequence),
            Followed::Gap(other) => panic!("no gap but {other:?}"),
        }
    };
    assert!(seen.len() < 100 && gap.reason == "expired", "{gap:?} after {}", seen.len());
    let had = world.position(*seen.last().unwrap_or(&first));
    assert_eq!((gap.asked, gap.next), (had.to_string(), world.position(kept).to_string()));
    assert_eq!(sees(&mut follow).await, "kept");
}
