//! Asking in an earlier turn's place: whether the session has such a turn, where
//! it stands, and when the question may join.
//!
//! Refuses at once what the session does not have, or no longer, and every
//! question while the session has an unfinished turn, but the very one that is
//! replaced when the question stops it: nothing may come between the turn that
//! the user saw last and the new one. The agent decides again when the turn
//! begins.

use std::time::Duration;

use broker::{Error, Log, Pending, Sequence, Stored};
use proto::{Ending, Job, Session, SessionState, Transcript, TurnId, event};
use tokio::time::sleep;

use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use crate::question::{Admission, Question};
use crate::submit::join;
use crate::transcript::transcript;
use crate::turn::{began, turn_of};

/// How long, and how often, a read may lag behind the last entry.
const LAG: (Duration, u32) = (Duration::from_millis(20), 50);

/// The question with the place that it takes, and on which condition it may join
/// the queue: what was looked at is then still so.
pub(crate) async fn placed(
    edge: &Edge,
    question: &Question,
    turn: TurnId,
) -> Result<(Question, broker::Admission), Refusal> {
    let session = &question.session;
    // In this order: a job that is gone has left its end in the log, and a turn
    // that has ended there stands in the transcript.
    let pending = edge.broker.queue.pending(session).await?;
    let last = edge.broker.log.last(session).await?;
    let state = last.as_ref().and_then(|it| it.entry.state.as_ref());
    let admission = may(state, &pending, turn, question.admission);
    let admission = admission.map_err(|it| Refusal::from(Error::Busy).about(it))?;
    let last = last.filter(|it| !it.entry.is_tombstone());
    let transcript = transcript(edge, session).await?;
    let mut job = question.job.clone();
    if !in_transcript(&transcript, &mut job) {
        let stood = stood(edge.broker.log.as_ref(), session, (last.as_ref(), &pending), turn);
        let Some(stood) = stood.await?.filter(|_| !transcript.replaced.contains(&job.replaces))
        else {
            let detail = "the session has no such turn, or does not keep it any more";
            return Err(Refusal::new(Code::UnknownTurn, detail).about(turn));
        };
        in_the_place_of(&transcript, &stood, &mut job);
    }
    Ok((Question { job, ..question.clone() }, admission))
}

/// How a question may join the session in the place of `turn`, or the turn that
/// is in its way: any that is unfinished, but the one that it replaces and stops.
fn may(
    state: Option<&SessionState>,
    pending: &[Pending],
    turn: TurnId,
    admission: Admission,
) -> Result<broker::Admission, TurnId> {
    let waiting: Vec<_> = pending.iter().map(|it| (it.sequence, it.turn)).collect();
    join(state, &waiting).or_else(|in_the_way| match waiting.last() {
        Some((sequence, newest))
            if admission == Admission::Interrupt && (in_the_way, *newest) == (turn, turn) =>
        {
            Ok(broker::Admission::IfLast(*sequence))
        }
        Some(_) | None => Err(in_the_way),
    })
}

/// Names the turn that is in the transcript, or the one that asked what it
/// answers.
fn in_transcript(transcript: &Transcript, job: &mut Job) -> bool {
    let Some(place) = transcript.place(&job.replaces, None) else { return false };
    job.replaces.clone_from(&transcript.turns[place].turn_id);
    true
}

/// What a turn that the transcript does not have was itself asked for.
#[derive(Debug, Default)]
struct Stood {
    replaces: String,
    behind: Option<String>,
    resumes: String,
    /// It has failed, and nothing of it was stored: nor will be. What was stopped
    /// may be stored late.
    failed: bool,
}

/// The same of a turn that is the session's last, or is unfinished.
async fn stood(
    log: &dyn Log,
    session: &Session,
    (last, pending): (Option<&Stored>, &[Pending]),
    turn: TurnId,
) -> Result<Option<Stood>, Refusal> {
    let state = last.and_then(|it| it.entry.state.as_ref());
    let failed = state.is_some_and(|it| turn_of(it) == Some(turn) && it.ending() == Ending::Failed);
    // Also of one that has ended, and whose job is on its way out.
    if let Some(Pending { job, .. }) = pending.iter().find(|it| it.turn == turn) {
        let Job { replaces, behind, resume, .. } = job.clone();
        let resumes = resume.map(|it| it.turn_id).unwrap_or_default();
        return Ok(Some(Stood { replaces, behind, resumes, failed }));
    }
    let Some(begins) = began(last, turn) else { return Ok(None) };
    let Some(first) = at(log, session, begins).await? else { return Ok(None) };
    let mut events = first.entry.events.into_iter().filter_map(|it| match it.kind {
        Some(event::Kind::Started(started)) => Some(started),
        Some(_) | None => None,
    });
    let proto::Started { replaces, behind, resumes, .. } = events.next().unwrap_or_default();
    Ok(Some(Stood { replaces, behind, resumes, failed }))
}

/// The entry at this place; `None` when it is no longer kept. A copy of the log
/// may lag.
async fn at(log: &dyn Log, session: &Session, place: Sequence) -> broker::Result<Option<Stored>> {
    for _ in 0..LAG.1 {
        if let Some(read) = log.read(session, place.before(), 1).await?.into_iter().next() {
            return Ok(Some(read).filter(|it| it.sequence == place));
        }
        sleep(LAG.0).await;
    }
    Err(Error::Unavailable("the copy of the log that answers is behind".to_owned()))
}

/// Says where a turn stood that the transcript does not have: at the end, unless
/// it was to take the place of another one, or had resumed one. Where it failed and
/// left that one untouched, that one is meant; what was stopped, or is still to
/// be, may yet replace it.
fn in_the_place_of(transcript: &Transcript, stood: &Stood, job: &mut Job) {
    let behind = |place: usize| match place.checked_sub(1) {
        Some(before) => transcript.turns[before].turn_id.clone(),
        None => String::new(),
    };
    let left = if stood.failed { transcript.place(&stood.replaces, None) } else { None };
    if let Some(first) = transcript.place(&stood.resumes, None).or(left) {
        job.replaces.clone_from(&transcript.turns[first].turn_id);
    } else if let Some(place) = transcript.place(&stood.replaces, stood.behind.as_deref()) {
        job.behind = Some(behind(place));
    } else {
        job.behind = Some(behind(transcript.turns.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Status, TranscriptTurn};

    fn id(n: u8) -> TurnId {
        format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
    }

    #[test]
    fn only_a_session_with_nothing_unfinished_but_what_is_stopped_lets_a_turn_be_replaced() {
        use Admission::{Enqueue, Interrupt, Reject};
        use broker::Admission::{IfEmpty, IfLast};
        let state = |status: Status| SessionState {
            status: status.into(),
            turn_id: id(1).to_string(),
            ..SessionState::default()
        };
        let (idle, runs) = (Some(state(Status::Idle)), Some(state(Status::Running)));
        let last = |n: u8| Ok(IfLast(Sequence(n.into())));
        for (state, pending, turn, admission, expected) in [
            (&None, vec![], 1, Reject, Ok(IfEmpty)),
            (&idle, vec![], 1, Interrupt, Ok(IfEmpty)),
            (&idle, vec![1], 1, Reject, last(1)),
            (&idle, vec![1], 1, Interrupt, last(1)),
            (&idle, vec![1], 9, Interrupt, last(1)),
            (&idle, vec![1, 2], 2, Reject, Err(id(2))),
            (&idle, vec![1, 2], 2, Interrupt, last(2)),
            (&idle, vec![1, 2], 1, Interrupt, Err(id(2))),
            (&idle, vec![1, 2, 3], 3, Interrupt, Err(id(2))),
            (&idle, vec![1, 2, 3], 2, Interrupt, Err(id(2))),
            (&idle, vec![2], 1, Reject, Err(id(2))),
            (&idle, vec![2], 1, Interrupt, Err(id(2))),
            (&runs, vec![1], 1, Enqueue, Err(id(1))),
            (&runs, vec![1], 1, Reject, Err(id(1))),
            (&runs, vec![1], 1, Interrupt, last(1)),
            (&runs, vec![1], 9, Interrupt, Err(id(1))),
            (&runs, vec![1, 2], 1, Interrupt, Err(id(1))),
            (&runs, vec![1, 2], 2, Interrupt, Err(id(1))),
            (&runs, vec![1, 2], 3, Interrupt, Err(id(1))),
            // It began after the jobs were read: the queue refuses.
            (&runs, vec![], 1, Interrupt, Ok(IfEmpty)),
        ] {
            let waits =
                |n: u8| Pending { sequence: Sequence(n.into()), turn: id(n), job: Job::default() };
            let pending: Vec<_> = pending.into_iter().map(waits).collect();
            let may = may(state.as_ref(), &pending, id(turn), admission);
            assert_eq!(may, expected, "{state:?} {pending:?} {turn} {admission:?}");
        }
    }

    #[test]
    fn a_turn_that_the_transcript_does_not_have_stood_at_its_end_or_where_it_was_to_stand() {
        let turn = |n: u8| TranscriptTurn { turn_id: id(n).to_string(), ..Default::default() };
        let transcript = Transcript { turns: (1..=3).map(turn).collect(), ..Default::default() };
        let name = |n: u8| if n == 0 { String::new() } else { id(n).to_string() };
        for (replaces, behind, resumes, failed, expected) in [
            (0, None, 0, true, (9, Some(3))),
            (2, None, 0, true, (2, None)),
            (2, None, 0, false, (9, Some(1))),
            (1, None, 0, false, (9, Some(0))),
            // As a log tells that is older than what `behind` says.
            (7, None, 0, true, (9, Some(3))),
            // It failed before it took the place of one that was never stored.
            (7, Some(1), 0, true, (9, Some(1))),
            (7, Some(0), 0, true, (9, Some(0))),
            // That one was stored after all.
            (2, Some(1), 0, true, (2, None)),
            (7, Some(1), 0, false, (9, Some(1))),
            (7, Some(0), 0, false, (9, Some(0))),
            (0, None, 3, true, (3, None)),
            (0, None, 3, false, (3, None)),
            (0, None, 7, true, (9, Some(3))),
        ] {
            let mut job = Job { replaces: name(9), ..Job::default() };
            let (replaces, behind, resumes) = (name(replaces), behind.map(name), name(resumes));
            let stood = Stood { replaces, behind, resumes, failed };
            let case = format!("{stood:?}");
            in_the_place_of(&transcript, &stood, &mut job);
            assert_eq!(
                (job.replaces, job.behind),
                (name(expected.0), expected.1.map(name)),
                "{case}"
            );
        }
    }
}
