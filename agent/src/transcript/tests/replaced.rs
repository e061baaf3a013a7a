//! What is left of a conversation, and who may still write to it, when a turn
//! takes an earlier one's place.

use broker::sqlite;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn id(n: u8) -> TurnId {
    format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
}

fn name(n: u8) -> String {
    id(n).to_string()
}

/// Asks `qn` and answers `an`, at the n-th second.
fn turn(n: u8) -> TranscriptTurn {
    let said = |role: &str, content: String| Message {
        role: role.to_owned(),
        content,
        ..Message::default()
    };
    TranscriptTurn {
        turn_id: name(n),
        messages: vec![said("user", format!("q{n}")), said("assistant", format!("a{n}"))],
        at: Some(proto::Timestamp { seconds: n.into(), nanos: 0 }),
        ..TranscriptTurn::default()
    }
}

fn place_of(n: u8) -> Replaces {
    Replaces { turn: id(n), behind: None }
}

/// The transcripts of one session in a store of their own.
struct World {
    transcripts: Transcripts,
    session: Session,
}

impl World {
    /// With three turns.
    async fn new() -> Self {
        let store = sqlite::open(sqlite::Place::Memory, broker::Limits::default()).await.unwrap();
        let session = Session::parse("ann", "s").unwrap();
        let world = Self { transcripts: Transcripts::new(store.records), session };
        for n in 1..=3 {
            assert!(world.run(n, None).await.stores(&world, turn(n)).await);
        }
        world
    }

    async fn run(&self, n: u8, replaces: Option<Replaces>) -> Past {
        self.transcripts.before(&self.session, id(n), replaces.as_ref()).await.unwrap()
    }

    async fn stored(&self) -> Transcript {
        let key = broker::Key::session(&self.session);
        let found = self.transcripts.records.get(Bucket::Transcripts, &key).await.unwrap();
        decode(&found.unwrap()).unwrap()
    }

    /// The turns that are there, by their numbers.
    async fn turns(&self) -> Vec<u8> {
        let number = |it: TranscriptTurn| it.turn_id[it.turn_id.len() - 2..].parse().unwrap();
        self.stored().await.turns.into_iter().map(number).collect()
    }

    async fn put(&self, transcript: &Transcript) {
        let key = broker::Key::session(&self.session);
        let value = transcript.encode_to_vec().into();
        let put = self.transcripts.records.put(Bucket::Transcripts, &key, value, Expected::Any);
        put.await.unwrap();
    }
}

impl Past {
    async fn stores(&self, world: &World, turn: TranscriptTurn) -> bool {
        world.transcripts.store(&world.session, &turn, self, PATIENCE).await.unwrap()
    }
}

fn contents(past: &Past) -> Vec<&str> {
    past.messages.iter().map(|it| it.content.as_str()).collect()
}

#[tokio::test]
async fn the_new_turn_is_told_what_was_before_and_takes_everything_else_away_when_it_is_stored() {
    let world = World::new().await;
    let past = world.run(4, Some(place_of(2))).await;
    assert_eq!(contents(&past), ["q1", "a1"]);
    assert_eq!(world.turns().await, [1, 2, 3], "nothing of it is stored yet");
    assert!(past.stores(&world, turn(4)).await);
    assert_eq!(world.turns().await, [1, 4]);
    let stored = world.stored().await;
    assert_eq!((stored.replaced, stored.replacements), (vec![name(3), name(2)], 1));
    assert!(past.stores(&world, turn(4)).await, "a write whose answer did not come");
    let next = world.run(5, None).await;
    assert_eq!(contents(&next), ["q1", "a1", "q4", "a4"]);
}

#[tokio::test]
async fn a_turn_that_said_nothing_takes_nothing_away() {
    let world = World::new().await;
    let nothing = TranscriptTurn { messages: Vec::new(), ledger: true, ..turn(4) };
    assert!(world.run(4, Some(place_of(2))).await.stores(&world, nothing).await);
    assert_eq!(world.turns().await, [1, 2, 3, 4]);
    let again = world.run(4, Some(place_of(2))).await;
    assert!(again.stored && again.refused.is_none());
    assert_eq!(contents(&again), ["q1", "a1"]);
    assert!(again.stores(&world, turn(4)).await);
    assert_eq!(world.turns().await, [1, 4]);
}

#[tokio::test]
async fn a_run_that_wakes_when_its_turn_is_gone_writes_nothing_and_does_not_begin_anew() {
    let world = World::new().await;
    let sleeps = [
        (3, world.run(3, None).await),
        (2, world.run(2, None).await),
        // It was stopped before anything of it was stored.
        (9, world.run(9, None).await),
    ];
    assert!(world.run(4, Some(place_of(2))).await.stores(&world, turn(4)).await);
    for (n, past) in sleeps {
        assert!(!past.stores(&world, turn(n)).await, "{n}");
        assert_eq!(world.turns().await, [1, 4], "{n}");
    }
    for (n, over) in [(2, true), (3, true), (1, true), (4, false), (5, false)] {
        let refused = world.run(n, None).await.refused;
        assert_eq!(refused, over.then_some(Refused::Over), "{n}");
    }
}

#[tokio::test]
async fn a_replacing_run_that_wakes_takes_nothing_away_that_came_after_it() {
    let world = World::new().await;
    let sleeps = world.run(4, Some(place_of(2))).await;
    assert!(world.run(5, None).await.stores(&world, turn(5)).await);
    assert!(!sleeps.stores(&world, turn(4)).await);
    assert_eq!(world.turns().await, [1, 2, 3, 5]);
}

#[tokio::test]
async fn two_runs_of_the_new_turn_leave_it_once_and_the_second_finds_its_place_taken_by_itself() {
    let world = World::new().await;
    let (one, two) = (world.run(4, Some(place_of(2))).await, world.run(4, Some(place_of(2))).await);
    assert!(one.stores(&world, turn(4)).await);
    let other = TranscriptTurn { model: "another".to_owned(), ..turn(4) };
    assert!(!two.stores(&world, other).await);
    let third = world.run(4, Some(place_of(2))).await;
    assert!(third.stored && third.refused.is_none());
    assert_eq!(contents(&third), ["q1", "a1"]);
    assert!(third.stores(&world, turn(4)).await);
    assert_eq!(world.turns().await, [1, 4]);
}

#[tokio::test]
async fn of_two_turns_that_want_one_place_the_second_finds_none() {
    let world = World::new().await;
    for replaces in [place_of(2), Replaces { turn: id(7), behind: Some(name(2)) }] {
        assert!(world.run(4, Some(replaces.clone())).await.stores(&world, turn(4)).await);
        let second = world.run(5, Some(replaces.clone())).await;
        assert!(second.refused == Some(Refused::Unplaced), "{replaces:?}");
        world.put(&World::new().await.stored().await).await;
    }
    for unknown in [place_of(8), Replaces { turn: id(8), behind: Some(name(9)) }] {
        assert!(
            world.run(4, Some(unknown.clone())).await.refused == Some(Refused::Unplaced),
            "{unknown:?}"
        );
    }
}

#[tokio::test]
async fn a_turn_that_was_never_stored_is_replaced_where_it_stood() {
    for (behind, kept) in
        [(name(3), vec![1, 2, 3, 4]), (name(1), vec![1, 4]), (String::new(), vec![4])]
    {
        let world = World::new().await;
        let replaces = Replaces { turn: id(7), behind: Some(behind.clone()) };
        let past = world.run(4, Some(replaces)).await;
        assert!(past.stores(&world, turn(4)).await);
        assert_eq!(world.turns().await, kept, "{behind}");
        assert!(world.run(7, None).await.refused == Some(Refused::Over));
    }
}

#[tokio::test]
async fn a_stopped_turn_that_is_stored_late_is_still_replaced() {
    let world = World::new().await;
    let stopped = world.run(4, None).await;
    let past = world.run(5, Some(Replaces { turn: id(4), behind: Some(name(3)) })).await;
    assert!(stopped.stores(&world, turn(4)).await);
    assert!(past.stores(&world, turn(5)).await);
    assert_eq!(world.turns().await, [1, 2, 3, 5]);
}

#[tokio::test]
async fn an_erased_session_gets_nothing_from_a_turn_that_replaces_one() {
    let world = World::new().await;
    let past = world.run(4, Some(place_of(2))).await;
    let erased = Transcript { version: FORMAT, generation: 1, ..Transcript::default() };
    world.put(&erased).await;
    assert!(past.stores(&world, turn(4)).await, "it ends like any turn of an erased session");
    assert_eq!(world.stored().await, erased);
    assert!(world.run(5, Some(place_of(2))).await.refused == Some(Refused::Unplaced));
}

#[tokio::test]
async fn a_summary_is_dropped_with_what_it_stands_for_and_stays_otherwise() {
    for (replaced, summarized, stays) in
        [(3, 1, true), (3, 2, true), (2, 2, false), (2, 3, false), (1, 1, false), (1, 60, true)]
    {
        let world = World::new().await;
        let summary = "they spoke".to_owned();
        let before = Transcript {
            summary: summary.clone(),
            summarized: name(summarized),
            summarized_messages: 9,
            ..world.stored().await
        };
        world.put(&before).await;
        let past = world.run(4, Some(place_of(replaced))).await;
        let expected = if stays { summary } else { String::new() };
        assert_eq!(past.summary.text, expected, "{replaced} {summarized}");
        assert!(past.stores(&world, turn(4)).await);
        let stored = world.stored().await;
        assert_eq!(stored.summary, expected, "{replaced} {summarized}");
        assert_eq!(stored.summarized_messages, if stays { 9 } else { 0 });
    }
}

#[tokio::test]
async fn the_history_that_a_session_began_with_stays_when_its_first_question_is_replaced() {
    let world = World::new().await;
    let mut before = world.stored().await;
    before.turns[0].messages.splice(..0, turn(8).messages);
    world.put(&before).await;
    let past = world.run(4, Some(place_of(1))).await;
    assert!(!past.known && past.messages.is_empty());
    let history: Vec<_> = past.history.iter().map(|it| it.content.as_str()).collect();
    assert_eq!(history, ["q8", "a8"]);
}

#[tokio::test]
async fn a_replacing_turn_that_was_stored_late_is_replaced_where_it_stands_or_was_to_stand() {
    for late in [false, true] {
        let world = World::new().await;
        let stopped = world.run(4, Some(place_of(2))).await;
        if late {
            assert!(stopped.stores(&world, turn(4)).await);
        }
        let past = world.run(5, Some(Replaces { turn: id(4), behind: Some(name(1)) })).await;
        assert!(past.refused.is_none());
        assert_eq!(contents(&past), ["q1", "a1"]);
        assert!(past.stores(&world, turn(5)).await);
        assert_eq!(world.turns().await, [1, 5], "{late}");
        assert!(!stopped.stores(&world, turn(4)).await, "{late}");
        assert_eq!(world.turns().await, [1, 5], "{late}");
    }
}

#[tokio::test]
async fn a_stopped_turn_is_stored_late_although_a_later_one_was_replaced_meanwhile() {
    for forgotten in [false, true] {
        let world = World::new().await;
        let stopped = world.run(4, None).await;
        assert!(world.run(5, None).await.stores(&world, turn(5)).await);
        assert!(world.run(6, Some(place_of(5))).await.stores(&world, turn(6)).await);
        if forgotten {
            let replaced = vec![name(60); 256];
            world.put(&Transcript { replaced, ..world.stored().await }).await;
        }
        assert_eq!(stopped.stores(&world, turn(4)).await, !forgotten);
        let kept: &[u8] = if forgotten { &[1, 2, 3, 6] } else { &[1, 2, 3, 4, 6] };
        assert_eq!(world.turns().await, kept);
    }
}

#[tokio::test]
async fn what_is_remembered_of_replaced_turns_is_bounded() {
    let world = World::new().await;
    let many = (0..1_000).map(|n| format!("00000000-0000-7000-8000-{n:012}"));
    let replaced: Vec<_> = many.collect();
    world.put(&Transcript { replaced, ..world.stored().await }).await;
    assert!(world.run(4, Some(place_of(2))).await.stores(&world, turn(4)).await);
    let replaced = world.stored().await.replaced;
    assert_eq!(replaced.len(), 256);
    assert_eq!(replaced[254..], [name(3), name(2)]);
}
