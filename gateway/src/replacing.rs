//! Asking in an earlier turn's place: whether the session has such a turn, and
//! where it stands.
//!
//! Refuses at once what the session does not have, or no longer, and what has not
//! ended and is not stopped by the question. The agent decides again when the turn
//! begins: of two that come through here at the same time, the later one may end
//! as `failed`.

use broker::{Log, Pending, Stored};
use proto::{Job, Session, SessionState, Status, Transcript, TurnId, event};

use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use crate::question::{Admission, Question};
use crate::transcript::transcript;
use crate::turn::{began, turn_of};

/// The question with the place that it takes; `None` when it takes none.
pub(crate) async fn placed(edge: &Edge, question: &Question) -> Result<Option<Question>, Refusal> {
    let Ok(turn) = question.job.replaces.parse::<TurnId>() else { return Ok(None) };
    let session = &question.session;
    // In this order: a job that is gone has left its end in the log, and a turn
    // that has ended there stands in the transcript.
    let pending = edge.broker.queue.pending(session).await?;
    let last = edge.broker.log.last(session).await?.filter(|it| !it.entry.is_tombstone());
    let state = last.as_ref().and_then(|it| it.entry.state.as_ref());
    if !may(state, &pending, turn, question.admission) {
        let detail =
            "the turn to be replaced has not ended; stop it first, or ask with `interrupt`";
        return Err(Refusal::new(Code::TurnInProgress, detail).about(turn));
    }
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
    Ok(Some(Question { job, ..question.clone() }))
}

/// Whether a turn may be replaced as far as the queue goes: it has ended, or is
/// the one that the question stops.
fn may(
    state: Option<&SessionState>,
    pending: &[Pending],
    turn: TurnId,
    admission: Admission,
) -> bool {
    let running = state.filter(|it| it.status() == Status::Running).and_then(turn_of);
    let ended = state.and_then(turn_of).filter(|_| running.is_none());
    let waiting = pending.iter().map(|it| it.turn).filter(|it| ended != Some(*it));
    let mut unfinished = running.into_iter().chain(waiting);
    match unfinished.next() {
        Some(first) if first == turn => admission != Admission::Enqueue,
        Some(_) => unfinished.all(|it| it != turn),
        None => true,
    }
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
    /// It has ended, and nothing of it was stored.
    ended: bool,
}

/// The same of a turn that is the session's last, or is unfinished.
async fn stood(
    log: &dyn Log,
    session: &Session,
    (last, pending): (Option<&Stored>, &[Pending]),
    turn: TurnId,
) -> Result<Option<Stood>, Refusal> {
    if let Some(Pending { job, .. }) = pending.iter().find(|it| it.turn == turn) {
        let Job { replaces, behind, resume, .. } = job.clone();
        let resumes = resume.map(|it| it.turn_id).unwrap_or_default();
        return Ok(Some(Stood { replaces, behind, resumes, ended: false }));
    }
    let Some(begins) = began(last, turn) else { return Ok(None) };
    let read = log.read(session, begins.before(), 1).await?;
    let events = read.into_iter().flat_map(|it| it.entry.events);
    let mut started = events.filter_map(|it| match it.kind {
        Some(event::Kind::Started(started)) => Some(started),
        Some(_) | None => None,
    });
    let started = started.next().unwrap_or_default();
    let (replaces, resumes) = (started.replaces, started.resumes);
    Ok(Some(Stood { replaces, behind: None, resumes, ended: true }))
}

/// Says where a turn stood that the transcript does not have: at the end, unless
/// it was to take the place of another one, or had resumed one. Where it left that
/// one untouched, that one is meant; what is still to be stopped may yet replace it.
fn in_the_place_of(transcript: &Transcript, stood: &Stood, job: &mut Job) {
    let behind = |place: usize| match place.checked_sub(1) {
        Some(before) => transcript.turns[before].turn_id.clone(),
        None => String::new(),
    };
    let left = if stood.ended { transcript.place(&stood.replaces, None) } else { None };
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
    use broker::Sequence;
    use proto::TranscriptTurn;

    fn id(n: u8) -> TurnId {
        format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
    }

    #[test]
    fn only_what_has_ended_or_is_stopped_by_the_question_may_be_replaced() {
        use Admission::{Enqueue, Interrupt, Reject};
        let state = |status: Status| SessionState {
            status: status.into(),
            turn_id: id(1).to_string(),
            ..SessionState::default()
        };
        let (idle, runs) = (Some(state(Status::Idle)), Some(state(Status::Running)));
        for (state, pending, turn, admission, expected) in [
            (&None, vec![], 1, Reject, true),
            (&idle, vec![], 1, Enqueue, true),
            (&idle, vec![1], 1, Enqueue, true),
            (&idle, vec![1, 2], 2, Enqueue, false),
            (&idle, vec![1, 2], 2, Interrupt, true),
            (&idle, vec![1, 2, 3], 3, Interrupt, false),
            (&idle, vec![2], 1, Enqueue, true),
            (&runs, vec![1], 1, Enqueue, false),
            (&runs, vec![1], 1, Interrupt, true),
            // Refused later, as whatever is asked of a session with a running turn.
            (&runs, vec![1], 1, Reject, true),
            (&runs, vec![1, 2], 2, Interrupt, false),
            (&runs, vec![1, 2], 3, Interrupt, true),
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
        for (replaces, behind, resumes, ended, expected) in [
            (0, None, 0, true, (9, Some(3))),
            (2, None, 0, true, (2, None)),
            (2, None, 0, false, (9, Some(1))),
            (1, None, 0, false, (9, Some(0))),
            (7, None, 0, true, (9, Some(3))),
            (7, Some(1), 0, false, (9, Some(1))),
            (7, Some(0), 0, false, (9, Some(0))),
            (0, None, 3, true, (3, None)),
            (0, None, 3, false, (3, None)),
            (0, None, 7, true, (9, Some(3))),
        ] {
            let mut job = Job { replaces: name(9), ..Job::default() };
            let (replaces, behind, resumes) = (name(replaces), behind.map(name), name(resumes));
            let stood = Stood { replaces, behind, resumes, ended };
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
