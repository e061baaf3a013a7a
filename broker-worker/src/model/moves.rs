//! What may happen next in a world.

use broker::{Front, Sequence};
use proto::{
    CancelRequested, Cancelled, Completed, Deleted, Entry, Event, Failed, Resumed, SessionState,
    Started, event,
};

use super::rules::{check, finished};
use super::{ATTEMPTS, Job, Line, Mutation, Phase, Said, Search, TURNS, Worker, World, index};
use crate::decide::{Me, Standing, Step, standing, step};
use crate::hear::Place;

fn name(turn: u8) -> String {
    turn.to_string()
}

fn events((_, _, said): Line) -> Vec<Event> {
    let kinds = match said {
        Said::Started => vec![event::Kind::Started(Started::default())],
        Said::Resumed => vec![event::Kind::Resumed(Resumed {})],
        Said::Text(index) => {
            let kind = Some(event::Kind::Text(String::new()));
            return vec![Event { index: index.into(), kind }];
        }
        Said::Completed => vec![event::Kind::Completed(Completed::default())],
        Said::Cancelled => vec![event::Kind::Cancelled(Cancelled {})],
        Said::CancelledUnbegun => {
            vec![event::Kind::Started(Started::default()), event::Kind::Cancelled(Cancelled {})]
        }
        Said::Lost => vec![event::Kind::Failed(Failed::default())],
        Said::CancelRequested => vec![event::Kind::CancelRequested(CancelRequested {})],
        Said::Deleted => vec![event::Kind::Deleted(Deleted {})],
    };
    kinds.into_iter().map(Event::from).collect()
}

impl Search {
    /// The state after these entries, as the code computes it.
    fn state(&mut self, log: &[Line]) -> Option<SessionState> {
        if let Some(known) = self.states.get(log) {
            return known.clone();
        }
        let state = log.split_last().and_then(|(last, before)| {
            let before = self.state(before);
            let known = before.as_ref().map(|it| (log.len() as u64 - 1, it));
            Entry::after(known, &name(last.0), last.1.into(), events(*last)).state
        });
        self.states.insert(log.to_vec(), state.clone());
        state
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Every world that may come next, or what is wrong with this one.
    pub(super) fn next(&mut self, world: &World) -> Result<Vec<World>, String> {
        check(&world.log)?;
        let mut next = Vec::new();
        submit(world, &mut next);
        self.deliver(world, &mut next);
        self.cancel(world, &mut next);
        self.erase(world, &mut next);
        for (at, worker) in world.workers.iter().enumerate() {
            if let Some(worker) = worker {
                self.act(world, at, worker, &mut next)?;
            }
        }
        if next.is_empty() {
            finished(world)?;
        }
        Ok(next)
    }

    fn deliver(&self, world: &World, next: &mut Vec<World>) {
        for (turn, job) in world.jobs.iter().enumerate() {
            if job.present && job.leased && world.fate.expiries > 0 {
                let mut after = world.clone();
                after.jobs[turn].leased = false;
                after.fate.expiries -= 1;
                next.push(after);
            }
            let Some(free) = world.workers.iter().position(Option::is_none) else {
                continue;
            };
            if job.present && !job.leased {
                next.push(self.lend(world, free, (turn, 1)));
                if world.fate.twins > 0 && job.attempts > 0 {
                    let mut after = self.lend(world, free, (turn, 0));
                    after.fate.twins -= 1;
                    next.push(after);
                }
            }
        }
    }

    /// A job is delivered, and its attempt counted or not.
    fn lend(&self, world: &World, free: usize, (turn, counted): (usize, u8)) -> World {
        let mut after = world.clone();
        after.jobs[turn].leased = true;
        after.jobs[turn].attempts += counted;
        let front = front(&after, turn);
        after.workers[free] = Some(Worker {
            turn: index(turn),
            attempt: after.jobs[turn].attempts,
            known: 0,
            index: 0,
            front: self.is(Mutation::FrontBeforeLog).then_some(front),
            phase: Phase::Look,
        });
        after
    }

    /// A gateway asks to stop a turn that has not ended.
    fn cancel(&mut self, world: &World, next: &mut Vec<World>) {
        if world.fate.cancels == 0 {
            return;
        }
        let state = self.state(&world.log);
        for (turn, job) in world.jobs.iter().enumerate() {
            let id = name(index(turn));
            let ended = state.as_ref().is_some_and(|it| it.turn_id == id && it.ending != 0);
            let asked = state.as_ref().is_some_and(|it| it.is_cancelled(&id));
            if job.present && !ended && !asked {
                let mut after = world.clone();
                after.log.push((index(turn), 0, Said::CancelRequested));
                after.fate.cancels -= 1;
                next.push(after);
            }
        }
    }

    /// A gateway erases the session: jobs first, then the tombstone.
    fn erase(&self, world: &World, next: &mut Vec<World>) {
        let mut after = world.clone();
        let first = world.fate.erasures > 0;
        if first {
            after.fate.erasures -= 1;
        } else if !world.erasing {
            return;
        }
        after.erasing = first;
        if first == self.is(Mutation::TombstoneFirst) {
            after.log.push((TURNS, 0, Said::Deleted));
        } else {
            for (turn, job) in after.jobs.iter_mut().enumerate() {
                if std::mem::take(&mut job.present) {
                    after.erased.push(index(turn));
                }
            }
        }
        next.push(after);
    }

    fn act(
        &mut self,
        world: &World,
        at: usize,
        worker: &Worker,
        next: &mut Vec<World>,
    ) -> Result<(), String> {
        if world.fate.crashes > 0 {
            let mut after = turned(world, at, worker, None);
            after.fate.crashes -= 1;
            next.push(after);
        }
        let to = |phase| Some(Worker { phase, ..worker.clone() });
        match worker.phase {
            Phase::Look => {
                let known = index(world.log.len());
                let state = self.state(&world.log);
                let last = state.map_or(0, |it| index(it.last_index as usize));
                let phase = Phase::Front;
                let looked = Worker { known, index: last, phase, ..worker.clone() };
                next.push(with(world, at, Some(looked)));
            }
            Phase::Front => next.push(turned(world, at, worker, self.decide(world, worker))),
            Phase::Parked if front(world, worker.turn.into()) != Front::Behind => {
                next.push(with(world, at, to(Phase::Look)));
            }
            // Somebody else has been given the job meanwhile.
            Phase::Parked if worker.attempt < world.jobs[usize::from(worker.turn)].attempts => {
                next.push(turned(world, at, worker, None));
            }
            // Or its twin waits as well: both give up in time, one is enough.
            Phase::Parked if is_twin(world, at, worker) => next.push(with(world, at, None)),
            Phase::Parked => {}
            Phase::Say { said, doubtful } => self.say(world, at, (worker, said, doubtful), next)?,
            Phase::Relook(said) => {
                let mut after = turned(world, at, worker, self.relook(world, worker, said));
                if after.workers[at].is_none() && self.is(Mutation::AcknowledgedWhenFenced) {
                    after.jobs[usize::from(worker.turn)].present = false;
                }
                next.push(after);
            }
            Phase::Acknowledge => {
                let mut after = with(world, at, None);
                after.jobs[usize::from(worker.turn)].present = false;
                next.push(after);
            }
        }
        Ok(())
    }

    /// `Attempt::run`: what the log and then the queue said.
    fn decide(&mut self, world: &World, worker: &Worker) -> Option<Worker> {
        let mut state = self.state(&world.log[..worker.known.into()]);
        if let Some(state) = state.as_mut().filter(|_| self.is(Mutation::CancelForgotten)) {
            state.cancels.clear();
        }
        let mut front = worker.front.unwrap_or_else(|| front(world, worker.turn.into()));
        if self.is(Mutation::FrontIgnored) {
            front = Front::Mine;
        }
        let turn = name(worker.turn);
        let me = Me { turn: &turn, attempt: worker.attempt.into() };
        let say = |said| Phase::Say { said, doubtful: false };
        let phase = match step(me, state.as_ref(), front, ATTEMPTS) {
            Step::Leave => return None,
            Step::Park => Phase::Parked,
            Step::Acknowledge => Phase::Acknowledge,
            Step::Begin => say(Said::Started),
            Step::TakeOver => say(Said::Resumed),
            Step::Cancel { begun: true } => say(Said::Cancelled),
            Step::Cancel { begun: false } => say(Said::CancelledUnbegun),
            Step::Seal | Step::EndLost => say(Said::Lost),
        };
        Some(Worker { phase, front: None, ..worker.clone() })
    }

    /// `broker::append`, one try of it.
    fn say(
        &mut self,
        world: &World,
        at: usize,
        (worker, said, doubtful): (&Worker, Said, bool),
        next: &mut Vec<World>,
    ) -> Result<(), String> {
        let line = (self.about(world, worker, said), worker.attempt, said);
        let expected = usize::from(worker.known);
        let turns_to = |phase| Worker { phase, ..worker.clone() };
        if world.log.len() == expected || self.is(Mutation::NoCondition) {
            return self.store(world, at, (worker, line), next);
        }
        let after = if doubtful && world.log[expected] == line {
            told(worker, worker.known + 1, said)
        } else if acquires(said) {
            turns_to(Phase::Look)
        } else {
            turns_to(Phase::Relook(said))
        };
        next.push(with(world, at, Some(after)));
        Ok(())
    }

    /// The log takes an entry and its answer arrives, or one of both is lost.
    fn store(
        &self,
        world: &World,
        at: usize,
        (worker, line): (&Worker, Line),
        next: &mut Vec<World>,
    ) -> Result<(), String> {
        let said = line.2;
        if said == Said::Lost && world.erased.is_empty() {
            return Err("a turn was ended as lost although its job was not".to_owned());
        }
        let mut after = world.clone();
        after.log.push(line);
        if self.is(Mutation::AcknowledgedEarly) && matches!(said, Said::Started | Said::Resumed) {
            after.jobs[usize::from(worker.turn)].present = false;
        }
        let known = index(after.log.len());
        next.push(with(&after, at, Some(told(worker, known, said))));
        if world.fate.lost_answers > 0 {
            let phase = Phase::Say { said, doubtful: true };
            let untold = Worker { phase, ..worker.clone() };
            // The answer was lost, or the question never arrived.
            for reached in [&after, world] {
                let mut doubted = with(reached, at, Some(untold.clone()));
                doubted.fate.lost_answers -= 1;
                next.push(doubted);
            }
        }
        Ok(())
    }

    /// Which turn an entry is about: a lost one is the one that runs.
    fn about(&mut self, world: &World, worker: &Worker, said: Said) -> u8 {
        if said != Said::Lost {
            return worker.turn;
        }
        let state = self.state(&world.log[..worker.known.into()]);
        state.and_then(|it| it.turn_id.parse().ok()).unwrap_or(worker.turn)
    }

    /// `Relay::written` after a refusal.
    fn relook(&mut self, world: &World, worker: &Worker, said: Said) -> Option<Worker> {
        let turn = name(worker.turn);
        let me = Me { turn: &turn, attempt: worker.attempt.into() };
        let known = index(world.log.len());
        let state = self.state(&world.log);
        let mut last = u32::from(worker.index);
        if self.is(Mutation::IndexIgnored) {
            last = state.as_ref().map_or(0, |it| it.last_index);
        }
        let place = Place { run: 0, index: last };
        let said = match standing(me, place, state.as_ref()) {
            Standing::Fenced | Standing::Over => return None,
            Standing::Mine => said,
            Standing::Cancelled if self.is(Mutation::CancelForgotten) => said,
            Standing::Cancelled => Said::Cancelled,
        };
        let phase = Phase::Say { said, doubtful: false };
        Some(Worker { known, phase, ..worker.clone() })
    }
}

/// Whether another worker holds the same attempt number of the same job.
fn is_twin(world: &World, at: usize, worker: &Worker) -> bool {
    let same = |it: &Worker| (it.turn, it.attempt) == (worker.turn, worker.attempt);
    let others = world.workers.iter().enumerate().filter(|(other, _)| *other != at);
    others.filter_map(|(_, it)| it.as_ref()).any(same)
}

/// A worker that knows its entry to be stored.
fn told(worker: &Worker, known: u8, said: Said) -> Worker {
    let (index, phase) = (reached(said, worker.index), stored(said, worker.index));
    Worker { known, index, phase, ..worker.clone() }
}

/// What follows a stored entry: one piece of text, then the end. `index` is the
/// last one stored before it.
fn stored(said: Said, index: u8) -> Phase {
    let say = |said| Phase::Say { said, doubtful: false };
    match said {
        Said::Started => say(Said::Text(1)),
        Said::Resumed if index == 0 => say(Said::Text(1)),
        Said::Resumed | Said::Text(_) => say(Said::Completed),
        Said::Completed | Said::Cancelled | Said::CancelledUnbegun => Phase::Acknowledge,
        Said::Lost | Said::CancelRequested | Said::Deleted => Phase::Look,
    }
}

/// The last agent index stored once this is.
fn reached(said: Said, before: u8) -> u8 {
    match said {
        Said::Started => 0,
        Said::Text(index) => index,
        Said::Resumed
        | Said::Completed
        | Said::Cancelled
        | Said::CancelledUnbegun
        | Said::Lost
        | Said::CancelRequested
        | Said::Deleted => before,
    }
}

/// Whether a refusal means to decide from the beginning.
fn acquires(said: Said) -> bool {
    match said {
        Said::Started | Said::Resumed | Said::CancelledUnbegun | Said::Lost => true,
        Said::Text(_)
        | Said::Completed
        | Said::Cancelled
        | Said::CancelRequested
        | Said::Deleted => false,
    }
}

fn with(world: &World, at: usize, worker: Option<Worker>) -> World {
    let mut after = world.clone();
    after.workers[at] = worker;
    after
}

/// A worker becomes another, or leaves without a word: then its lease ends.
fn turned(world: &World, at: usize, before: &Worker, worker: Option<Worker>) -> World {
    let mut after = with(world, at, worker);
    if after.workers[at].is_none() {
        free(&mut after, before);
    }
    after
}

fn submit(world: &World, next: &mut Vec<World>) {
    if world.jobs.len() < usize::from(TURNS) {
        let mut after = world.clone();
        after.jobs.push(Job { present: true, leased: false, attempts: 0 });
        next.push(after);
    }
}

/// The lease of a worker that has gone ends, unless somebody else holds it by now.
fn free(world: &mut World, worker: &Worker) {
    let job = &mut world.jobs[usize::from(worker.turn)];
    if job.attempts == worker.attempt {
        job.leased = false;
    }
}

fn front(world: &World, turn: usize) -> Front {
    let first = world.jobs.iter().position(|it| it.present);
    Front::of(Sequence(turn as u64), first.map(|it| Sequence(it as u64)))
}
