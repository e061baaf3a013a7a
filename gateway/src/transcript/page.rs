//! Pages of turns. Pure.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::TurnId;
use serde::Serialize;
use utoipa::ToSchema;

use super::shown::Shown;
use crate::problem::Refusal;

/// A page of turns.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Turns)]
pub(super) struct Page {
    turns: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Behind which turn a page begins, also when that is dropped by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    turn: String,
    /// Seconds and nanoseconds since 1970: when it began, or else the last one
    /// before it of which that is known; zeros for none.
    at: (i64, i32),
}

impl Place {
    /// That of the last one of these turns.
    fn of(turns: &[Shown]) -> Option<Self> {
        let at = turns.iter().rev().find_map(began).unwrap_or_default();
        turns.last().map(|it| Self { turn: it.turn_id.clone(), at })
    }

    /// Reads a cursor that a page gave.
    pub(super) fn parse(cursor: &str) -> Result<Self, Refusal> {
        let place = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
            let mut parts = text.splitn(3, '.');
            let at = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let turn = parts.next()?.parse::<TurnId>().ok()?.to_string();
            Some(Self { turn, at })
        };
        place().ok_or_else(|| Refusal::field("cursor", "must be one that a page has given"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{}.{}", self.at.0, self.at.1, self.turn);
        f.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

fn began(turn: &Shown) -> Option<(i64, i32)> {
    turn.at.as_ref().map(|it| (it.seconds, it.nanos))
}

/// The turns behind a place, and where the next page begins. Turns are dropped
/// from the front alone: what follows a place that is dropped is what began later.
pub(super) fn page(mut turns: Vec<Shown>, after: Option<&Place>, limit: usize) -> Page {
    if let Some(after) = after {
        let earlier = |it: &&Shown| began(it).is_some_and(|it| it <= after.at);
        let from = match turns.iter().position(|it| it.turn_id == after.turn) {
            Some(known) => known + 1,
            // Of no turn up to there it was known when it began: nothing is told twice.
            None if after.at == (0, 0) => turns.len(),
            None => turns.iter().take_while(earlier).count(),
        };
        turns.drain(..from);
    }
    let more = turns.len() > limit;
    turns.truncate(limit);
    let cursor = Place::of(&turns).filter(|_| more).map(|it| it.to_string());
    Page { turns, cursor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Job, TranscriptTurn};

    fn id(n: u8) -> String {
        format!("00000000-0000-7000-8000-0000000000{n:02}")
    }

    fn turn(n: u8) -> Shown {
        let at = Some(proto::Timestamp { seconds: n.into(), nanos: 0 });
        Shown::kept(TranscriptTurn { turn_id: id(n), at, ..TranscriptTurn::default() })
    }

    fn ids(page: &Page) -> Vec<&str> {
        page.turns.iter().map(|it| it.turn_id.as_str()).collect()
    }

    #[test]
    fn pages_follow_each_other_also_when_what_was_read_is_dropped() {
        let turns = |from: u8| {
            let waits = Shown::queued(id(9), Job::default());
            (from..6).map(turn).chain([waits]).collect::<Vec<_>>()
        };
        let first = page(turns(1), None, 2);
        assert_eq!(ids(&first), [id(1), id(2)]);
        let after = Place::parse(first.cursor.as_deref().unwrap()).unwrap();
        for from in [1, 2, 3] {
            let next = page(turns(from), Some(&after), 2);
            assert_eq!(ids(&next), [id(3), id(4)], "{from}");
        }
        let next = page(turns(5), Some(&after), 2);
        assert_eq!(ids(&next), [id(5), id(9)], "two that were not read are dropped");
        assert_eq!(next.cursor, None);
        assert!(page(Vec::new(), Some(&after), 2).turns.is_empty());
    }

    #[test]
    fn a_turn_of_unknown_age_that_is_gone_does_not_begin_the_pages_anew() {
        let ageless = |n: u8| {
            let turn_id = id(n);
            Shown::kept(TranscriptTurn { turn_id, ..TranscriptTurn::default() })
        };
        let after = |turns: Vec<Shown>, limit| {
            let cursor = page(turns, None, limit).cursor.unwrap();
            Place::parse(&cursor).unwrap()
        };
        let behind = after(vec![turn(1), ageless(2), turn(3)], 2);
        assert_eq!(ids(&page(vec![turn(1), turn(3)], Some(&behind), 2)), [id(3)]);
        let alone = after(vec![ageless(2), turn(3)], 1);
        assert!(page(vec![turn(1), turn(3)], Some(&alone), 2).turns.is_empty());
        assert_eq!(ids(&page(vec![ageless(2), turn(3)], Some(&alone), 2)), [id(3)]);
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        let place = Place::of(&[turn(7)]).unwrap();
        assert_eq!(Place::parse(&place.to_string()).unwrap(), place);
        for bad in ["", "x", "MS4y", "MS4yLnM"] {
            assert!(Place::parse(bad).is_err(), "{bad:?}");
        }
    }
}
