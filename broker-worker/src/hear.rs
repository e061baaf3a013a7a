//! What an event of the agent means to somebody who has the turn up to a place.
//! Pure. Trusts nothing that the agent says about itself.

use proto::ask_event::Kind;
use proto::{AskEvent, Rewind};

/// What somebody has of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The agent's run; 0 when it has no name.
    pub(crate) run: u32,
    /// The last event of it; 0 for none.
    pub(crate) index: u32,
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Take it; this is what one has then.
    New(Place),
    /// It was said before, on a call that broke.
    Known,
    /// The agent does not keep to the contract.
    Wrong(&'static str),
}

/// Judges an event for somebody who has the turn up to `has`. `before` is the
/// event before it in the same call.
pub(crate) fn hear(has: Place, before: Option<Place>, event: &AskEvent) -> Heard {
    let Some(kind) = &event.kind else {
        return Heard::Wrong("an event of no known kind");
    };
    let run = if event.run == 0 { has.run } else { event.run };
    let place = Place { run, index: event.index };
    if let Some(before) = before {
        if before.run != run {
            return Heard::Wrong("two runs in one call");
        }
        if event.index <= before.index {
            return Heard::Wrong("an index that does not grow");
        }
    }
    let other = has.run != 0 && has.run != run;
    if takes_over(has, place, kind) {
        return Heard::New(place);
    }
    if other && has.index > 0 {
        return Heard::Wrong("another run that does not take back the one before it");
    }
    match event.index {
        0 => Heard::Wrong("an event without an index"),
        index if other || index > has.index => Heard::New(place),
        _ => Heard::Known,
    }
}

/// Whether another run takes back all that it does not have in common with the
/// one before it, and goes on from there.
fn takes_over(has: Place, place: Place, kind: &Kind) -> bool {
    let Kind::Rewind(Rewind { to }) = kind else {
        return false;
    };
    let common = place.index == *to && place.index <= has.index;
    let named = has.run != 0;
    has.run != place.run && if named { common || *to == 0 } else { common && has.index > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Kind {
        Kind::Text("x".into())
    }

    fn rewind(to: u32) -> Kind {
        Kind::Rewind(Rewind { to })
    }

    fn new(run: u32, index: u32) -> Heard {
        Heard::New(Place { run, index })
    }

    fn heard(
        has: (u32, u32),
        before: Option<(u32, u32)>,
        run: u32,
        index: u32,
        kind: Kind,
    ) -> Heard {
        let place = |(run, index)| Place { run, index };
        hear(place(has), before.map(place), &AskEvent { index, run, kind: Some(kind) })
    }

    #[test]
    fn an_event_of_the_run_one_has_is_new_or_known() {
        assert_eq!(heard((0, 0), None, 7, 1, text()), new(7, 1));
        assert_eq!(heard((7, 1), Some((7, 1)), 7, 9, text()), new(7, 9));
        assert_eq!(heard((7, 4), None, 7, 4, text()), Heard::Known);
        assert_eq!(heard((7, 4), Some((7, 3)), 7, 4, text()), Heard::Known);
        // One run may take back what it said itself.
        assert_eq!(heard((7, 4), Some((7, 4)), 7, 5, rewind(2)), new(7, 5));
        assert_eq!(heard((7, 4), None, 7, 4, rewind(4)), Heard::Known);
        // An agent without names for its runs, and an entry from one.
        assert_eq!(heard((0, 4), None, 0, 5, text()), new(0, 5));
        assert_eq!(heard((0, 4), None, 7, 4, text()), Heard::Known);
        assert_eq!(heard((7, 4), None, 0, 5, text()), new(7, 5));
    }

    #[test]
    fn another_run_takes_back_what_it_has_not_in_common() {
        assert_eq!(heard((7, 4), None, 9, 0, rewind(0)), new(9, 0));
        assert_eq!(heard((9, 0), Some((9, 0)), 9, 1, text()), new(9, 1));
        assert_eq!(heard((7, 0), None, 9, 1, text()), new(9, 1));
        // A run that has a beginning in common with the one before it.
        assert_eq!(heard((7, 4), None, 9, 3, rewind(3)), new(9, 3));
        assert_eq!(heard((7, 4), None, 9, 4, rewind(4)), new(9, 4));
        assert_eq!(heard((9, 3), Some((9, 3)), 9, 4, text()), new(9, 4));
        assert_eq!(heard((9, 3), None, 9, 3, text()), Heard::Known);
        // What has no name is taken back by any run that has one.
        assert_eq!(heard((0, 4), None, 7, 5, rewind(0)), new(7, 5));
        assert_eq!(heard((0, 4), None, 7, 0, rewind(0)), new(7, 0));
    }

    #[test]
    fn an_agent_that_breaks_the_contract_is_not_believed() {
        let wrong = |it| matches!(it, Heard::Wrong(_));
        for (has, before, run, index, kind) in [
            ((7, 4), Some((7, 4)), 7, 4, text()),
            ((7, 4), Some((7, 4)), 7, 3, text()),
            ((7, 4), Some((7, 4)), 9, 0, rewind(0)),
            ((7, 4), None, 9, 5, text()),
            ((7, 4), None, 9, 0, rewind(3)),
            ((7, 4), None, 7, 0, rewind(0)),
            ((7, 4), None, 9, 5, rewind(5)),
            ((7, 4), None, 9, 2, rewind(3)),
            ((7, 4), None, 9, 3, rewind(2)),
            ((7, 4), None, 9, 5, rewind(4)),
            ((7, 4), Some((7, 4)), 9, 4, rewind(4)),
            ((0, 4), None, 0, 0, rewind(0)),
            ((0, 0), None, 7, 0, rewind(0)),
            ((0, 0), None, 7, 0, text()),
        ] {
            let heard = heard(has, before, run, index, kind.clone());
            assert!(wrong(heard), "{has:?} {before:?} {run} {index} {kind:?}: {heard:?}");
        }
        let nothing = AskEvent::default();
        assert!(wrong(hear(Place::default(), None, &nothing)));
    }
}
