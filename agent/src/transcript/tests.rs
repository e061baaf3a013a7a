//! Places, limits, and what is kept of a conversation whose turns are replaced.

mod replaced;

use super::*;

#[test]
fn a_summary_stands_for_whole_turns_and_ends_where_a_question_begins() {
    let mut resumed = turn(3, 3, 3);
    resumed.messages.remove(0);
    let turns = vec![turn(1, 3, 3), turn(2, 3, 3), resumed, turn(4, 3, 3)];
    let transcript = Transcript { turns, ..Transcript::default() };
    let past = Past::new(transcript.clone(), "9", None);
    for (omitted, boundary) in [(0, 0), (1, 2), (2, 2), (3, 5), (4, 5), (5, 5), (6, 7), (7, 7)] {
        assert_eq!(past.boundary(omitted), boundary, "{omitted}");
    }
    let mut past = past;
    past.summarize(5, "they spoke".to_owned());
    assert_eq!((past.messages.len(), past.boundary(1)), (2, 2));
    let Summary { text: summary, turn: summarized, messages: summarized_messages } =
        past.summary.clone();
    assert_eq!((summarized.as_str(), summarized_messages), ("3", 5));
    let stored = Transcript { summary, summarized, summarized_messages, ..transcript };
    let mut later = Past::new(stored, "9", None);
    assert_eq!((later.messages.len(), later.boundary(1)), (2, 2));
    later.summarize(2, String::new());
    assert_eq!(later.summary.messages, 7);
}

fn turn(id: usize, question: usize, answer: usize) -> TranscriptTurn {
    let message = |role: &str, size: usize| Message {
        role: role.to_owned(),
        content: "三".repeat(size / 3),
        ..Message::default()
    };
    TranscriptTurn {
        turn_id: id.to_string(),
        messages: vec![message("user", question), message("assistant", answer)],
        ..TranscriptTurn::default()
    }
}

#[test]
fn the_oldest_turns_are_dropped_past_the_limit() {
    let mut transcript = Transcript::default();
    for id in 0..20 {
        transcript = with(transcript, turn(id, 30_000, 70_000));
        assert!(transcript.encoded_len() <= MAX_BYTES);
    }
    let ids: Vec<_> = transcript.turns.iter().map(|it| &it.turn_id).collect();
    assert_eq!(ids, ["13", "14", "15", "16", "17", "18", "19"]);
}

#[test]
fn a_turn_too_long_alone_is_cut_but_stored() {
    let stored = with(Transcript::default(), turn(1, 500_000, 4_000_000));
    assert_eq!(stored.turns.len(), 1);
    assert!(stored.encoded_len() <= MAX_BYTES);
    let mut with_history = turn(1, 1_000, 1_000);
    with_history.messages.splice(..0, turn(1, 500_000, 500_000).messages);
    let stored = with(Transcript::default(), with_history);
    assert_eq!(stored.turns[0].messages.len(), 3);
}

fn began(id: usize, seconds: i64) -> TranscriptTurn {
    let at = Some(proto::Timestamp { seconds, nanos: 0 });
    TranscriptTurn { at, ledger: true, ..turn(id, 3, 3) }
}

#[test]
fn a_turn_stands_where_it_was_or_behind_those_that_began_before_it() {
    let mut transcript = Transcript::default();
    for turn in [began(1, 10), began(3, 30), began(2, 20), began(1, 40)] {
        transcript = with(transcript, turn);
    }
    let ids: Vec<_> = transcript.turns.iter().map(|it| it.turn_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    let ledgers: Vec<_> = transcript.turns.iter().map(|it| it.ledger).collect();
    assert_eq!(ledgers, [true, true, true], "each has stored itself last");
    let later = with(transcript, began(4, 50));
    let ledgers: Vec<_> = later.turns.iter().map(|it| it.ledger).collect();
    assert_eq!(ledgers, [false, false, false, true]);
}

#[test]
fn a_turn_with_later_ones_behind_it_is_over() {
    let turns = vec![turn(1, 3, 3), turn(2, 3, 3)];
    let transcript = Transcript { turns, ..Transcript::default() };
    let told = |id: &str| {
        let past = Past::new(transcript.clone(), id, None);
        (past.stored, past.refused == Some(Refused::Over))
    };
    assert_eq!(told("1"), (true, true));
    assert_eq!(told("2"), (true, false));
    assert_eq!(told("3"), (false, false));
}

#[test]
fn a_turn_stored_again_takes_its_own_place() {
    let mut transcript = with(Transcript::default(), turn(1, 3, 3));
    transcript = with(transcript, turn(1, 6, 6));
    assert_eq!(transcript.turns, [turn(1, 6, 6)]);
}
