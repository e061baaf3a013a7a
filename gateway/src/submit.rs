//! Putting a question into the queue, once, when it may join.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker::{Error, Pending, Sequence};
use proto::{SessionState, Status, TurnId};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::edge::Edge;
use crate::keys::{self, Claimed};
use crate::openai;
use crate::problem::{Code, Refusal};
use crate::question::{Admission, Question};
use crate::turn::{self, Found, turn_of};
use crate::{access, cancel, metrics, replacing, trace};

/// How often a session may change under a submit before it is refused.
const TRIES: usize = 4;
/// Less than a turn and the beginning of the next one take.
const SLOW: Duration = Duration::from_millis(20);

/// How a submitted question stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Accepted just now.
    New,
    /// Accepted before; it waits or runs.
    Unfinished,
    /// Accepted before; the log tells the rest.
    Known(Found),
}

/// Submits a question while the log is looked at: what was seen, and how the
/// question stands. A new turn is not in what was seen, unless the last entry is
/// about it: only when the look took long could the turn, and the beginning of
/// another, have come before it, and then the standing tells where it is.
pub(crate) async fn submit_beside<T>(
    edge: &Arc<Edge>,
    question: &Question,
    look: impl Future<Output = broker::Result<T>> + Send,
) -> Result<(T, Standing), Refusal> {
    let looking = async { (look.await, Instant::now()) };
    let submitting = async { (submit(edge, question).await, Instant::now()) };
    let ((seen, seen_at), (standing, stored_at)) = tokio::join!(looking, submitting);
    let (standing, seen) = (standing?, seen?);
    if standing == Standing::New && seen_at > stored_at + SLOW {
        let known = known(edge, question).await?;
        return Ok((seen, known.unwrap_or(standing)));
    }
    Ok((seen, standing))
}

/// Submits a question. `Ok` means that it is stored.
async fn submit(edge: &Arc<Edge>, question: &Question) -> Result<Standing, Refusal> {
    process::trace::turn(&question.turn.to_string());
    let result = submit_once(edge, question).await;
    if let Ok(standing) = &result {
        taken(standing, question.turn);
    }
    result.map_err(|it| it.in_doubt(question.turn, question.keyed))
}

/// Tells of a question that was taken.
fn taken(standing: &Standing, turn: TurnId) {
    access::made(turn);
    let standing = match standing {
        Standing::New => "new",
        Standing::Unfinished | Standing::Known(_) => "repeated",
    };
    metrics::QUESTIONS.add(1, [standing]);
}

/// A key that was used before has its turn in the queue or in the log. The
/// queue alone remembers a finished turn only for a while, and would take it
/// again.
async fn submit_once(edge: &Arc<Edge>, question: &Question) -> Result<Standing, Refusal> {
    openai::may_ask(edge, question).await?;
    if !question.keyed {
        return admit(edge, question).await;
    }
    match keys::claim(edge, question).await? {
        Claimed::Open(claim) => {
            let admitted = admit(edge, question).await;
            match &admitted {
                Ok(_) => claim.accepted(edge),
                Err(refusal) if refusal.status().is_client_error() => claim.refused(edge).await,
                // It may have been accepted.
                Err(_) => {}
            }
            admitted
        }
        Claimed::Used(standing) => {
            if standing == Standing::Unfinished {
                make_way(edge, question).await?;
            }
            Ok(standing)
        }
    }
}

async fn admit(edge: &Edge, question: &Question) -> Result<Standing, Refusal> {
    edge.limits.turns.may(&edge.broker, &question.session).await?;
    if let Ok(turn) = question.job.replaces.parse() {
        return submit_instead(edge, question, turn).await;
    }
    if question.admission == Admission::Reject {
        return submit_alone(edge, question).await;
    }
    match place(edge, question, broker::Admission::Enqueue).await? {
        Some(standing @ (Standing::New | Standing::Unfinished)) => {
            make_way(edge, question).await?;
            Ok(standing)
        }
        Some(standing) => Ok(standing),
        None => Err(Refusal::from(Error::Busy)),
    }
}

/// Submits a question in the place of `turn`, if the session is still as it was
/// looked at.
async fn submit_instead(
    edge: &Edge,
    question: &Question,
    turn: TurnId,
) -> Result<Standing, Refusal> {
    for _ in 0..TRIES {
        let (placed, admission) = match replacing::placed(edge, question, turn).await {
            Ok(placed) => placed,
            // The same question, a moment earlier, may have taken that place.
            Err(refusal) if question.keyed => {
                return known(edge, question).await?.ok_or(refusal);
            }
            Err(refusal) => return Err(refusal),
        };
        match place(edge, &placed, admission).await? {
            Some(standing @ (Standing::New | Standing::Unfinished)) => {
                make_way(edge, &placed).await?;
                return Ok(standing);
            }
            Some(standing) => return Ok(standing),
            None => {}
        }
        if let Some(standing) = known(edge, question).await? {
            return Ok(standing);
        }
    }
    Err(Refusal::from(Error::Busy))
}

/// Stops what runs before an interrupting question, once that is in the queue:
/// a question that finds no room stops nothing, and one that is repeated stops
/// nothing that came after it.
async fn make_way(edge: &Edge, question: &Question) -> Result<(), Refusal> {
    match question.admission {
        Admission::Interrupt => cancel::before(edge, &question.session, question.turn).await,
        Admission::Reject | Admission::Enqueue => Ok(()),
    }
}

async fn submit_alone(edge: &Edge, question: &Question) -> Result<Standing, Refusal> {
    let mut admission = broker::Admission::IfEmpty;
    let mut in_the_way = None;
    for _ in 0..TRIES {
        if let Some(standing) = place(edge, question, admission).await? {
            return Ok(standing);
        }
        if let Some(standing) = known(edge, question).await? {
            return Ok(standing);
        }
        let pending = edge.broker.queue.pending(&question.session).await?;
        let last = edge.broker.log.last(&question.session).await?;
        let state = last.as_ref().and_then(|it| it.entry.state.as_ref());
        let waiting: Vec<_> = pending.iter().map(|it| (it.sequence, it.turn)).collect();
        match join(state, &waiting) {
            Ok(next) => admission = next,
            // The same question came in between, by another way.
            Err(turn) if turn == question.turn => return Ok(Standing::Unfinished),
            Err(turn) => {
                in_the_way = Some(turn);
                break;
            }
        }
    }
    let refusal = Refusal::from(Error::Busy);
    Err(in_the_way.map_or(refusal.clone(), |it| refusal.about(it)))
}

/// How a question may join a session that seemed busy, or the turn that is in
/// its way. The job of a turn that has ended is none: its acknowledgement is
/// under way.
pub(crate) fn join(
    state: Option<&SessionState>,
    pending: &[(Sequence, TurnId)],
) -> Result<broker::Admission, TurnId> {
    let ended = state.filter(|it| it.status() != Status::Running).and_then(turn_of);
    match pending {
        [] => Ok(broker::Admission::IfEmpty),
        [(sequence, turn)] if ended == Some(*turn) => Ok(broker::Admission::IfLast(*sequence)),
        [(_, ended_turn), (_, next), ..] if ended == Some(*ended_turn) => Err(*next),
        [(_, first), ..] => Err(*first),
    }
}

/// One submit; `None` when the session is busy.
async fn place(
    edge: &Edge,
    question: &Question,
    admission: broker::Admission,
) -> Result<Option<Standing>, Refusal> {
    let queue = &edge.broker.queue;
    let (span, job) = trace::publish(question.turn, &question.job);
    let submitted = queue.submit(&question.session, &job, admission).instrument(span).await;
    match submitted {
        Ok(broker::Submitted::Accepted(_)) => Ok(Some(Standing::New)),
        Ok(broker::Submitted::Duplicate) => match known(edge, question).await? {
            Some(standing) => Ok(Some(standing)),
            None => Err(reused(question)),
        },
        Err(Error::Busy) => Ok(None),
        // The same question, a moment earlier, may have taken the last place.
        Err(error @ Error::Full(_)) if question.keyed => match known(edge, question).await? {
            Some(standing) => Ok(Some(standing)),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// What became of the same question when it was submitted before.
pub(crate) async fn known(edge: &Edge, question: &Question) -> Result<Option<Standing>, Refusal> {
    let pending = edge.broker.queue.pending(&question.session).await?;
    if let Some(Pending { job, .. }) = pending.iter().find(|it| it.turn == question.turn) {
        if job.fingerprint != question.job.fingerprint {
            return Err(reused(question));
        }
        return Ok(Some(Standing::Unfinished));
    }
    let log = edge.broker.log.as_ref();
    match turn::find(log, &question.session, question.turn).await? {
        Some(found) if found.input.as_deref().is_some_and(|it| it != question.input()) => {
            Err(reused(question))
        }
        found => Ok(found.map(Standing::Known)),
    }
}

/// The refusal of a key that belongs to another question.
pub(crate) fn reused(question: &Question) -> Refusal {
    Refusal::new(
        Code::KeyReused,
        "this Idempotency-Key was used for another question, or its turn is no longer kept",
    )
    .about(question.turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Admission as A;

    #[test]
    fn an_ended_turn_whose_job_is_still_there_is_not_in_the_way() {
        let turn = |n: u8| -> TurnId {
            format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
        };
        let state = |status: Status| SessionState {
            status: status.into(),
            turn_id: turn(1).to_string(),
            ..SessionState::default()
        };
        let (first, second) = ((Sequence(5), turn(1)), (Sequence(6), turn(2)));
        let ended = state(Status::Idle);
        let running = state(Status::Running);
        for (state, pending, expected) in [
            (None, vec![], Ok(A::IfEmpty)),
            (None, vec![first], Err(turn(1))),
            (Some(&ended), vec![], Ok(A::IfEmpty)),
            (Some(&ended), vec![first], Ok(A::IfLast(Sequence(5)))),
            (Some(&ended), vec![second], Err(turn(2))),
            (Some(&ended), vec![first, second], Err(turn(2))),
            (Some(&running), vec![first], Err(turn(1))),
            (Some(&state(Status::Interrupted)), vec![first], Ok(A::IfLast(Sequence(5)))),
        ] {
            assert_eq!(join(state, &pending), expected, "{state:?} {pending:?}");
        }
    }
}
