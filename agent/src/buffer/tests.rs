//! What a reader gets from any place, and what a run inherits.

use super::*;
use proptest::prelude::*;
use proto::Rewind;

fn text(it: &str) -> Kind {
    Kind::Text(it.to_owned())
}

fn call(id: &str) -> Kind {
    Kind::ToolCall(proto::ToolCall { call_id: id.to_owned(), ..proto::ToolCall::default() })
}

fn rewind(to: u32) -> Kind {
    Kind::Rewind(Rewind { to })
}

fn rest(buffer: &Buffer, mut index: u32) -> Vec<AskEvent> {
    let mut events = Vec::new();
    while let Some(event) = buffer.after(index) {
        assert!(event.index > index);
        index = event.index;
        events.push(event);
    }
    events
}

fn kinds(buffer: &Buffer, index: u32) -> Vec<(u32, Kind)> {
    rest(buffer, index).into_iter().map(|it| (it.index, it.kind.unwrap())).collect()
}

fn ledger(writer: &Writer, runs: &[(u32, u32)]) -> Ledger {
    let runs = runs.iter().map(|&(run, last)| LedgerRun { run, last }).collect();
    Ledger { said: writer.pieces(&[]).unwrap(), runs, ..Ledger::default() }
}

#[test]
fn a_reader_that_lags_gets_neighbouring_text_as_one_event() {
    let mut buffer = Buffer::default();
    for kind in [
        text("a"),
        text("b"),
        Kind::Reasoning("r".into()),
        text("c"),
        rewind(0),
        text("d"),
        text("e"),
    ] {
        buffer.push(kind).unwrap();
    }
    buffer.end(Kind::Cancelled(proto::Cancelled {}));
    assert_eq!(
        kinds(&buffer, 1),
        [
            (2, text("b")),
            (3, Kind::Reasoning("r".into())),
            (4, text("c")),
            (5, rewind(0)),
            (7, text("de")),
            (8, Kind::Cancelled(proto::Cancelled {})),
        ]
    );
}

#[test]
fn what_was_taken_back_does_not_stand_and_neighbouring_text_is_one() {
    let (writer, _events) = Writer::new(7);
    for kind in
        [text("a"), text("b"), text("c"), call("1"), rewind(2), text("d"), call("2"), text("e")]
    {
        writer.say(kind).unwrap();
    }
    assert_eq!(writer.said(), [text("abd"), call("2"), text("e")]);
    writer.say(rewind(0)).unwrap();
    assert_eq!(writer.said(), []);
}

#[test]
fn every_event_has_its_index_whatever_it_costs() {
    let (writer, events) = Writer::new(7);
    assert_eq!((writer.run(), writer.last()), (7, 0));
    assert_eq!(writer.say(text("a")), Ok(1));
    assert_eq!(writer.say(call("1")), Ok(2));
    assert_eq!(writer.say(text(&"x".repeat(2 * MERGED_BYTES + 1))), Ok(5), "in three pieces");
    writer.end(Kind::Cancelled(proto::Cancelled {}));
    assert_eq!(writer.last(), 6);
    assert!(events.borrow().ended());
}

#[test]
fn a_run_goes_on_from_what_its_ledger_says_event_by_event() {
    let (first, _events) = Writer::new(7);
    for kind in [text("a"), text("三"), Kind::Reasoning("r".into()), call("1")] {
        first.say(kind).unwrap();
    }
    let (second, events) = Writer::new(9);
    second.open(Some(&ledger(&first, &[(7, 4)])));
    assert_eq!((second.last(), second.bytes()), (4, first.bytes()));
    assert_eq!(second.say(text("b")), Ok(5));
    let buffer = events.borrow();
    assert_eq!(
        kinds(&buffer, 1),
        [(2, text("三")), (3, Kind::Reasoning("r".into())), (4, call("1")), (5, text("b"))]
    );
    assert!(rest(&buffer, 0).iter().all(|it| it.run == 9));
    assert_eq!(second.said(), [text("a三"), Kind::Reasoning("r".into()), call("1"), text("b")]);
}

#[test]
fn only_the_first_opening_counts_and_saying_something_is_one() {
    let (first, _events) = Writer::new(7);
    first.say(call("1")).unwrap();
    let ledger = ledger(&first, &[(7, 1)]);
    let (second, _events) = Writer::new(9);
    assert_eq!(second.say(text("a")), Ok(1));
    second.open(Some(&ledger));
    assert_eq!(second.said(), [text("a")]);
    let (third, _events) = Writer::new(8);
    third.open(Some(&ledger));
    third.open(None);
    assert_eq!(third.said(), [call("1")]);
}

#[test]
fn pieces_are_what_would_be_said_and_nothing_is_said() {
    let (writer, _events) = Writer::new(7);
    writer.say(text("a")).unwrap();
    let more = [text("b"), call("1")];
    let ahead = writer.pieces(&more).unwrap();
    assert_eq!(writer.last(), 1);
    for kind in more {
        writer.say(kind).unwrap();
    }
    assert_eq!(ahead, writer.pieces(&[]).unwrap());
    assert_eq!((ahead[0].ends.as_slice(), ahead[1].first), (&[1, 2][..], 3));
    assert_eq!(writer.pieces(&[text(&"x".repeat(MAX_BYTES))]), Err(TooLong));
}

#[test]
fn a_reader_begins_at_the_end_of_what_it_has_in_common_with_this_run() {
    let (first, _events) = Writer::new(7);
    for kind in [text("a"), text("b"), call("1")] {
        first.say(kind).unwrap();
    }
    let (writer, events) = Writer::new(9);
    assert_eq!(events.borrow().start(Place { run: 0, index: 0 }), None, "nothing is known yet");
    writer.open(Some(&ledger(&first, &[(7, 3), (8, 1)])));
    writer.say(text("c")).unwrap();
    for (run, index, after, takes_back) in [
        (9, 0, 0, false),
        (9, 4, 4, false),
        (9, 5, 0, true),
        (0, 0, 0, false),
        (0, 4, 4, false),
        (0, 5, 0, true),
        (7, 0, 0, false),
        (7, 2, 2, true),
        (7, 3, 3, true),
        (7, 40, 3, true),
        (8, 1, 1, true),
        (8, 3, 1, true),
        (5, 0, 0, false),
        (5, 2, 0, true),
    ] {
        let start = events.borrow().start(Place { run, index });
        assert_eq!(start, Some(Start { after, takes_back }), "{run} {index}");
    }
    let early = |index| events.borrow().start_of_all(Place { run: 0, index });
    assert_eq!(early(3), Some(Start { after: 3, takes_back: false }));
    assert_eq!(early(4), Some(Start { after: 0, takes_back: true }), "this run's is not his");
}

#[test]
fn a_ledger_that_no_writer_left_is_not_inherited() {
    let (first, _events) = Writer::new(7);
    for kind in [text("三a"), text("b"), call("1")] {
        first.say(kind).unwrap();
    }
    let good = ledger(&first, &[(7, 3)]);
    assert!(is_whole(&good) && is_whole(&Ledger::default()));
    let broken: [fn(&mut Ledger); 9] = [
        |it| it.said[0].first = 2,
        |it| it.said[1].first = 4,
        |it| it.said[0].ends = vec![4],
        |it| it.said[0].ends = vec![],
        |it| it.said[0].ends = vec![2, 5],
        |it| it.said[0].ends = vec![5, 4],
        |it| it.said[0].ends = vec![4, 6],
        |it| it.said[1].event = None,
        |it| it.said.swap(0, 1),
    ];
    for (at, spoil) in broken.into_iter().enumerate() {
        let mut ledger = good.clone();
        spoil(&mut ledger);
        assert!(!is_whole(&ledger), "{at}");
        let (writer, events) = Writer::new(9);
        writer.open(Some(&ledger));
        assert_eq!(writer.last(), 0, "{at}");
        let start = events.borrow().start(Place { run: 7, index: 3 });
        assert_eq!(start, Some(Start { after: 0, takes_back: true }), "{at}");
    }
}

#[test]
fn a_buffer_is_bounded_and_its_end_is_told_all_the_same() {
    let (writer, events) = Writer::new(7);
    let delta = "x".repeat(1024);
    let mut said = 0;
    while writer.say(text(&delta)).is_ok() {
        said += 1;
    }
    assert!(said > 3_900 && said < 4_096, "{said}");
    writer.end(Kind::Cancelled(proto::Cancelled {}));
    assert!(events.borrow().ended());
    assert_eq!(writer.last(), said + 1);
}

#[test]
fn a_huge_delta_is_told_in_pieces_that_keep_its_characters() {
    let mut buffer = Buffer::default();
    let huge = "三".repeat(50_000);
    buffer.push(text(&huge)).unwrap();
    let pieces = kinds(&buffer, 0);
    assert_eq!(pieces.len(), 3);
    assert_eq!(words(&pieces), huge);
}

/// All that was said, whatever its voice, tool calls in brackets.
fn words(told: &[(u32, Kind)]) -> String {
    let word = |kind: &Kind| {
        if let Kind::Text(it) = kind {
            it.clone()
        } else if let Kind::Reasoning(it) = kind {
            format!("<{it}>")
        } else if let Kind::ToolCall(it) = kind {
            format!("[{}]", it.call_id)
        } else {
            panic!("{kind:?} is not said here")
        }
    };
    let all: String = told.iter().map(|it| word(&it.1)).collect();
    all.replace("><", "")
}

fn spoken() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => "[a-z三四]{1,4}".prop_map(Kind::Text),
        1 => "[a-z三四]{1,4}".prop_map(Kind::Reasoning),
        1 => "[0-9]{2}".prop_map(|it| call(&it)),
    ]
}

proptest! {
    #[test]
    fn from_every_index_a_reader_gets_exactly_the_rest(
        deltas in proptest::collection::vec(spoken(), 1..40),
    ) {
        let mut buffer = Buffer::default();
        for kind in &deltas {
            buffer.push(kind.clone()).unwrap();
        }
        for index in 0..=deltas.len() {
            let left: Vec<_> = deltas[index..].iter().map(|it| (0, it.clone())).collect();
            let index = u32::try_from(index).unwrap();
            prop_assert_eq!(words(&kinds(&buffer, index)), words(&left));
        }
    }

    #[test]
    fn what_is_left_of_a_piece_is_what_was_said_up_to_there(
        deltas in proptest::collection::vec("[a-z三四]{0,4}", 1..20),
        upto in 0_u32..22,
    ) {
        let (writer, _events) = Writer::new(7);
        let told: Vec<_> = deltas.iter().filter(|it| !it.is_empty()).collect();
        for delta in &deltas {
            writer.say(text(delta)).unwrap();
        }
        let upto = upto.min(writer.last());
        writer.say(rewind(upto)).unwrap();
        let left: String = told[..upto as usize].iter().map(|it| it.as_str()).collect();
        let said: Vec<_> = writer.said().into_iter().map(|it| (0, it)).collect();
        prop_assert_eq!(words(&said), left);
    }
}
