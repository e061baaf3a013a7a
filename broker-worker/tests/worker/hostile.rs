//! Agents that break the contract: every turn ends, once, with a typed code,
//! and keeps what was said before.

use std::time::Duration;

use broker::Admission;
use proto::{Event, code, event};
use tonic::Code;

use crate::agent::{Line, completed, ended, rewind, rewind_to, said, text};
use crate::shop::Shop;
use crate::{failure, spoken};

/// What the turn said and how it failed, with this agent.
async fn fails(script: Vec<Vec<Line>>) -> (String, String, usize) {
    let mut shop = Shop::new(script).await;
    shop.times.patience = Duration::from_millis(200);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    shop.until_empty().await;
    let ends = |it: &&Event| it.kind.as_ref().and_then(event::Kind::ending).is_some();
    assert_eq!(events.iter().filter(ends).count(), 1, "{events:?}");
    assert_eq!(shop.last().await.entry.ending(), Some(proto::Ending::Failed), "nothing follows");
    (spoken(&events), failure(&events), shop.calls().len())
}

#[tokio::test]
async fn a_stream_that_ends_without_an_end_is_asked_for_until_patience_is_over() {
    for (lines, said) in [
        (vec![Line::Always], ""),
        (vec![Line::Always, text(1, "kept")], "kept"),
        (vec![Line::Always, text(1, "kept"), Line::Break(Code::Unknown)], "kept"),
        (vec![Line::Always, text(u32::MAX, "kept")], "kept"),
    ] {
        let (kept, code, calls) = fails(vec![lines.clone()]).await;
        assert_eq!((kept.as_str(), code.as_str()), (said, code::AGENT_UNAVAILABLE), "{lines:?}");
        assert!((2..10).contains(&calls), "{calls} calls for {lines:?}");
    }
}

#[tokio::test]
async fn an_event_that_nobody_can_read_ends_the_turn_at_once() {
    // Index 2, and a text that is no UTF-8, a field nobody knows, or nothing. With
    // no index either it would say that the turn goes on.
    let (bad_text, bad_kind) = (b"\x08\x02\x12\x01\xff", b"\x08\x02\xa2\x06\x01x");
    for raw in [&bad_text[..], &bad_kind[..], b"\xff\xff\xff", b"\x08\x02"] {
        let (kept, code, calls) = fails(vec![vec![text(1, "kept"), Line::Raw(raw)]]).await;
        assert_eq!((kept.as_str(), code.as_str()), ("kept", code::AGENT_BROKEN), "{raw:?}");
        assert_eq!(calls, 1, "asking again cannot help with {raw:?}");
    }
}

#[tokio::test]
async fn an_event_past_the_limit_ends_the_turn() {
    for (size, expected) in [(600, code::EVENT_TOO_LARGE), (5 * 1024, code::AGENT_BROKEN)] {
        let huge = text(2, &"x".repeat(size * 1024));
        let (kept, code, _) = fails(vec![vec![text(1, "kept"), huge]]).await;
        assert_eq!((kept.as_str(), code.as_str()), ("kept", expected), "{size} KiB");
    }
}

#[tokio::test]
async fn an_index_that_does_not_grow_ends_the_turn() {
    for lines in [
        vec![text(1, "kept"), text(1, "twice")],
        vec![text(3, "kept"), text(2, "back")],
        vec![text(3, "kept"), text(0, "none")],
        vec![said(7, 1, "kept"), said(9, 2, "another run")],
        vec![said(7, 1, "kept"), rewind(9)],
    ] {
        let (kept, code, calls) = fails(vec![lines.clone()]).await;
        assert_eq!((kept.as_str(), code.as_str()), ("kept", code::AGENT_BROKEN), "{lines:?}");
        assert_eq!(calls, 1);
    }
}

#[tokio::test]
async fn another_run_must_take_back_the_one_before_it() {
    let mixed = vec![said(9, 2, "mixed"), ended(9, 3)];
    // More than there is, and not to where it goes on.
    let beyond = vec![rewind_to(9, 2), said(9, 3, "mixed"), ended(9, 4)];
    for other in [mixed, beyond] {
        let (kept, code, _) = fails(vec![vec![said(7, 1, "kept")], other]).await;
        assert_eq!((kept.as_str(), code.as_str()), ("kept", code::AGENT_BROKEN));
    }
}

#[tokio::test]
async fn numbers_may_be_left_out_and_nothing_is_read_behind_the_end() {
    let lines = vec![text(1, "a"), text(900, "b"), completed(901), text(902, "c"), completed(903)];
    let shop = Shop::new(vec![lines]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    shop.until_empty().await;
    assert_eq!((spoken(&events).as_str(), state.last_index), ("ab", 901));
    assert_eq!(shop.last().await.entry.state.unwrap().last_index, 901);
}

#[tokio::test]
async fn an_agent_that_says_a_hundred_thousand_letters_one_by_one_is_written_down_in_little_room() {
    const LETTERS: u32 = 100_000;
    let shop = Shop::new(vec![vec![Line::Flood(1, LETTERS), completed(LETTERS + 1)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    let before = peak_kib();
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    assert_eq!(spoken(&events).len(), LETTERS as usize);
    let grown = peak_kib() - before;
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
}

/// The most memory this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
