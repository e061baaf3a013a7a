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
    let takes_back = matches!(kind, Kind::Rewind(Rewind { to: 0 }));
    let other = has.run != 0 && has.run != run;
    if other && has.index > 0 && !takes_back {
        return Heard::Wrong("another run that does not take back the one before it");
    }
    match event.index {
        0 if other && takes_back => Heard::New(place),
        0 => Heard::Wrong("an event without an index"),
        index if other || index > has.index => Heard::New(place),
        _ => Heard::Known,
    }
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

    #[test]
    fn an_event_is_new_known_or_wrong() {
        let new = |run, index| Heard::New(Place { run, index });
        let wrong = |it| matches!(it, Heard::Wrong(_));
        let heard = |has: (u32, u32), before: Option<(u32, u32)>, run, index, kind| {
            let place = |(run, index)| Place { run, index };
            hear(place(has), before.map(place), &AskEvent { index, run, kind: Some(kind) })
        };
        assert_eq!(heard((0, 0), None, 7, 1, text()), new(7, 1));
        assert_eq!(heard((7, 1), Some((7, 1)), 7, 9, text()), new(7, 9));
        assert_eq!(heard((7, 4), None, 7, 4, text()), Heard::Known);
        assert_eq!(heard((7, 4), Some((7, 3)), 7, 4, text()), Heard::Known);
        assert_eq!(heard((7, 4), None, 9, 0, rewind(0)), new(9, 0));
        assert_eq!(heard((9, 0), Some((9, 0)), 9, 1, text()), new(9, 1));
        assert_eq!(heard((7, 0), None, 9, 1, text()), new(9, 1));
        // An agent without names for its runs, and an entry from one.
        assert_eq!(heard((0, 4), None, 0, 5, text()), new(0, 5));
        assert_eq!(heard((0, 4), None, 7, 5, rewind(0)), new(7, 5));
        assert_eq!(heard((7, 4), None, 0, 5, text()), new(7, 5));
        for (has, before, run, index, kind) in [
            ((7, 4), Some((7, 4)), 7, 4, text()),
            ((7, 4), Some((7, 4)), 7, 3, text()),
            ((7, 4), Some((7, 4)), 9, 0, rewind(0)),
            ((7, 4), None, 9, 5, text()),
            ((7, 4), None, 9, 0, rewind(3)),
            ((7, 4), None, 7, 0, rewind(0)),
            ((0, 0), None, 7, 0, text()),
        ] {
            let heard = heard(has, before, run, index, kind.clone());
            assert!(wrong(heard), "{has:?} {before:?} {run} {index} {kind:?}: {heard:?}");
        }
        let nothing = AskEvent::default();
        assert!(wrong(hear(Place::default(), None, &nothing)));
    }
}
