//! What must be true of every world.

use std::collections::HashSet;

use super::{Line, Said, World, index};

/// What must be true of every log.
pub(super) fn check(log: &[Line]) -> Result<(), String> {
    let mut running: Option<(u8, u8)> = None;
    let mut ended = HashSet::new();
    let mut asked = HashSet::new();
    let mut begun: Vec<u8> = Vec::new();
    let mut told = 0;
    for (turn, attempt, said) in log.iter().copied() {
        if said == Said::Deleted {
            (running, ended, asked) = (None, HashSet::new(), HashSet::new());
            continue;
        }
        if ended.contains(&turn) {
            return Err(format!("{said:?} of turn {turn} after its end"));
        }
        told = follow(told, said).map_err(|why| format!("turn {turn}: {why}"))?;
        match said {
            Said::CancelRequested => {
                asked.insert(turn);
            }
            Said::Started | Said::Resumed | Said::CancelledUnbegun => {
                if running.is_some_and(|(other, last)| other != turn || last >= attempt) {
                    return Err(format!("{said:?} of turn {turn} while {running:?} runs"));
                }
                if begun.last().is_some_and(|last| *last > turn) {
                    return Err(format!("turn {turn} begins after {begun:?}"));
                }
                begun.push(turn);
                running = Some((turn, attempt));
            }
            Said::Text(_) | Said::Completed if running != Some((turn, attempt)) => {
                return Err(format!("{said:?} of {turn}.{attempt} while {running:?} runs"));
            }
            Said::Completed if asked.contains(&turn) => {
                return Err("completed after an accepted cancel".to_owned());
            }
            Said::Text(_) | Said::Completed | Said::Cancelled | Said::Lost | Said::Deleted => {}
        }
        if ends(said) {
            ended.insert(turn);
            running = None;
        }
    }
    Ok(())
}

/// No text is missing and none is doubled: the last index told after this one.
fn follow(told: u8, said: Said) -> Result<u8, String> {
    match said {
        Said::Started => Ok(0),
        Said::Text(index) if index != told + 1 => Err(format!("text {index} after text {told}")),
        Said::Text(index) => Ok(index),
        Said::Completed if told != 1 => Err("completed without its text".to_owned()),
        Said::Resumed
        | Said::Completed
        | Said::Cancelled
        | Said::CancelledUnbegun
        | Said::Lost
        | Said::CancelRequested
        | Said::Deleted => Ok(told),
    }
}

/// What must be true when nothing more can happen: every turn has ended, or it
/// was erased and has not returned.
pub(super) fn finished(world: &World) -> Result<(), String> {
    let is_tombstone = |it: &Line| it.2 == Said::Deleted;
    let kept = world.log.iter().rposition(is_tombstone).map_or(0, |at| at + 1);
    let (before, after) = world.log.split_at(kept);
    for turn in 0..index(world.jobs.len()) {
        let erased = world.erased.contains(&turn) || before.iter().any(|it| it.0 == turn);
        let ended = after.iter().any(|it| it.0 == turn && ends(it.2));
        if erased && after.iter().any(|it| it.0 == turn) {
            return Err(format!("turn {turn} returned after its session was erased"));
        }
        if !erased && !ended {
            return Err(format!("turn {turn} never ends"));
        }
    }
    Ok(())
}

fn ends(said: Said) -> bool {
    match said {
        Said::Completed | Said::Cancelled | Said::CancelledUnbegun | Said::Lost => true,
        Said::Started | Said::Resumed | Said::Text(_) | Said::CancelRequested | Said::Deleted => {
            false
        }
    }
}
