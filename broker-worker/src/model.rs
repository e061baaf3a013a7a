//! The protocol of a session, searched exhaustively at small size over the very
//! functions that decide: `decide::step`, `decide::standing` and
//! `proto::Entry::after`.
//!
//! A queue that redelivers and takes late acknowledgements from anyone; a log
//! with conditional append whose answer can be lost; two workers that crash, or
//! are paused and go on unaware; cancels and an erasure from outside. Every
//! mutation of the protocol must be caught.

mod moves;
mod rules;

use std::collections::{HashMap, HashSet, VecDeque};

use broker::Front;
use proto::SessionState;

const TURNS: u8 = 2;
const WORKERS: usize = 2;
const ATTEMPTS: u32 = 9;

/// How often each misfortune happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Fate {
    crashes: u8,
    expiries: u8,
    lost_answers: u8,
    cancels: u8,
    erasures: u8,
    /// A delivery that is not counted: two attempts with one number.
    twins: u8,
}

/// A way to get the protocol wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    NoCondition,
    FrontIgnored,
    FrontBeforeLog,
    AcknowledgedEarly,
    AcknowledgedWhenFenced,
    CancelForgotten,
    TombstoneFirst,
    IndexIgnored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Said {
    Started,
    Resumed,
    /// With the agent's index.
    Text(u8),
    Completed,
    Cancelled,
    CancelledUnbegun,
    Lost,
    CancelRequested,
    Deleted,
}

/// Who said what; about turn and attempt.
type Line = (u8, u8, Said);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    present: bool,
    leased: bool,
    attempts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Look,
    Front,
    Parked,
    /// About to append; the answer to an earlier try may have been lost.
    Say {
        said: Said,
        doubtful: bool,
    },
    /// Refused in the middle of the relay: look where it stands.
    Relook(Said),
    Acknowledge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Worker {
    turn: u8,
    attempt: u8,
    /// Entries of the log when it was last read.
    known: u8,
    /// The last agent index it knows to be stored.
    index: u8,
    /// What the queue said, for the mutation that asks it first.
    front: Option<Front>,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    jobs: Vec<Job>,
    log: Vec<Line>,
    workers: [Option<Worker>; WORKERS],
    fate: Fate,
    /// The erasure has cleared the queue, or (mutated) written its tombstone.
    erasing: bool,
    /// Turns whose job the erasure took.
    erased: Vec<u8>,
}

fn index(it: usize) -> u8 {
    u8::try_from(it).expect("a small world")
}

struct Search {
    mutation: Option<Mutation>,
    states: HashMap<Vec<Line>, Option<SessionState>>,
}

/// Searches every world; the number of worlds, or the shortest way to a fault.
fn search(fate: Fate, mutation: Option<Mutation>) -> Result<usize, String> {
    let mut search = Search { mutation, states: HashMap::new() };
    let start = World {
        jobs: Vec::new(),
        log: Vec::new(),
        workers: [const { None }; WORKERS],
        fate,
        erasing: false,
        erased: Vec::new(),
    };
    let mut seen = HashSet::from([start.clone()]);
    let mut open = VecDeque::from([start]);
    while let Some(world) = open.pop_front() {
        let next = search.next(&world).map_err(|why| format!("{why}: {world:?}"))?;
        for world in next {
            if !seen.contains(&world) {
                seen.insert(world.clone());
                open.push_back(world);
            }
        }
    }
    Ok(seen.len())
}

const MISFORTUNES: Fate =
    Fate { crashes: 1, expiries: 1, lost_answers: 1, cancels: 1, erasures: 0, twins: 0 };
const TWINS: Fate =
    Fate { crashes: 1, expiries: 2, lost_answers: 1, cancels: 0, erasures: 0, twins: 1 };
const ERASURE: Fate =
    Fate { crashes: 1, expiries: 1, lost_answers: 0, cancels: 0, erasures: 1, twins: 0 };

/// An erasure that stopped after its first step and is made anew.
const ERASURE_AGAIN: Fate =
    Fate { crashes: 0, expiries: 1, lost_answers: 0, cancels: 0, erasures: 2, twins: 0 };

#[test]
fn no_misfortune_breaks_a_promise() {
    let worlds = search(MISFORTUNES, None).unwrap();
    assert!(worlds > 100_000, "only {worlds} worlds");
}

#[test]
fn nothing_returns_from_an_erased_session() {
    for fate in [ERASURE, ERASURE_AGAIN] {
        let worlds = search(fate, None).unwrap();
        assert!(worlds > 10_000, "only {worlds} worlds");
    }
}

#[test]
fn two_holders_of_one_attempt_number_say_nothing_twice() {
    let worlds = search(TWINS, None).unwrap();
    assert!(worlds > 10_000, "only {worlds} worlds");
}

#[test]
fn every_mutation_of_the_protocol_is_caught() {
    for (fate, mutation) in [
        (MISFORTUNES, Mutation::NoCondition),
        (MISFORTUNES, Mutation::FrontIgnored),
        (MISFORTUNES, Mutation::FrontBeforeLog),
        (MISFORTUNES, Mutation::AcknowledgedEarly),
        (MISFORTUNES, Mutation::AcknowledgedWhenFenced),
        (MISFORTUNES, Mutation::CancelForgotten),
        (ERASURE, Mutation::TombstoneFirst),
        (TWINS, Mutation::IndexIgnored),
    ] {
        assert!(search(fate, Some(mutation)).is_err(), "{mutation:?} was not noticed");
    }
}
