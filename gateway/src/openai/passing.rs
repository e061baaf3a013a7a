//! Sessions of requests that name none: each is of one question.
//!
//! Its id is made here and begins with [`PREFIX`]; lists leave such sessions out.
//! No client may ask in a session of such a name, save to go on where calls wait
//! for a human: so none is anybody's conversation, and it is erased once its turn
//! has ended and the answer is told, unless a human is to decide or an
//! idempotency key may still ask for the answer again. What is left behind goes
//! when it has rested for a day and its user asks something else.

use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Key, erase};
use http::HeaderMap;
use proto::{Ending, Session, SessionId, Status, TurnId, UserId};
use tokio::time::sleep;
use uuid::Uuid;

use crate::caller::Owned;
use crate::decisions;
use crate::edge::Edge;
use crate::keys::KEPT;
use crate::problem::Refusal;
use crate::question::Question;
use crate::record;
use crate::turn::turn_of;

/// How the id of such a session begins.
const PREFIX: &str = "chatcmpl-";
/// When it is looked whether the turn has ended, one after the other. Workers and
/// agents write down what remains of a turn in the moments after its end.
const LOOKS: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(20),
    Duration::from_mins(1),
];
/// One in so many requests looks for what was left behind.
const SWEEP: usize = 16;
/// Sessions that one look reads at most.
const SWEPT: usize = 64;

/// Whether a session is of one request that named none.
pub(crate) fn is_passing(id: &SessionId) -> bool {
    id.as_str().starts_with(PREFIX)
}

/// The session that a request names, or one of its own: with an idempotency key
/// always the same.
pub(crate) fn session(
    headers: &HeaderMap,
    key: Option<&str>,
) -> Result<(SessionId, bool), Refusal> {
    const NAME: &str = "x-session-id";
    let named = headers.get(NAME).filter(|it| !it.is_empty());
    let wrong = |why: &dyn std::fmt::Display| Refusal::field(NAME, why);
    if let Some(named) = named {
        let text = std::str::from_utf8(named.as_bytes()).map_err(|_not| wrong(&"must be UTF-8"))?;
        return Ok((text.parse().map_err(|why| wrong(&why))?, false));
    }
    let id = match key {
        Some(key) => Uuid::new_v5(&Uuid::NAMESPACE_URL, key.as_bytes()),
        None => Uuid::now_v7(),
    };
    let id = format!("{PREFIX}{id}").parse().expect("a word and a UUID are an id");
    Ok((id, true))
}

/// Whether a question may be asked where it wants to be: in a session of one
/// request only if it is that request's, or calls wait there.
pub(crate) async fn may_ask(edge: &Edge, question: &Question) -> Result<(), Refusal> {
    if !is_passing(&question.session.id) || question.made || question.job.resume.is_some() {
        return Ok(());
    }
    let review = decisions::present(edge, &question.session).await?;
    if review.is_some_and(|it| it.is_open(process::clock::now())) {
        return Ok(());
    }
    let why = format!("must not begin with {PREFIX}: such sessions are of one request");
    Err(Refusal::field("sessionId", why))
}

/// The duty to erase a session when its answer is told, or when nobody waits for
/// it any more.
#[derive(Debug)]
pub(crate) struct Passing {
    edge: Arc<Edge>,
    session: Owned,
    turn: TurnId,
    armed: bool,
}

impl Passing {
    pub(crate) fn new(edge: &Arc<Edge>, session: &Owned, turn: TurnId) -> Self {
        Self { edge: Arc::clone(edge), session: session.clone(), turn, armed: true }
    }

    /// Nothing was accepted.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let edge = Arc::clone(&self.edge);
        let (session, turn) = (self.session.clone(), self.turn);
        self.edge.life.spawn_as("erasures", async move {
            if let Err(error) = pass(&edge, &session, turn).await {
                tracing::debug!(%error, %turn, "a session of one request was not erased");
            }
        });
    }
}

/// Erases the session once its turn has ended, if that is soon.
async fn pass(edge: &Edge, session: &Session, turn: TurnId) -> broker::Result<()> {
    for pause in LOOKS {
        tokio::select! {
            biased;
            () = edge.life.draining() => {}
            () = sleep(pause) => {}
        }
        match ending(edge, session, turn).await? {
            None if edge.life.is_draining() => return Ok(()),
            None => {}
            Some(Ending::Interrupted) => break,
            Some(_) => {
                forget(edge, session).await?;
                break;
            }
        }
    }
    let chance =
        turn.to_string().bytes().fold(0, |all: usize, it| all * 31 % 9_973 + usize::from(it));
    if chance.is_multiple_of(SWEEP) && !edge.life.is_draining() {
        sweep(edge, &session.user, chance).await?;
    }
    Ok(())
}

/// Erases a session without leaving what tells it from a later one: nobody will
/// use its id again.
async fn forget(edge: &Edge, session: &Session) -> broker::Result<()> {
    erase(&edge.broker, session).await?;
    edge.broker.records.delete(Bucket::Transcripts, &Key::session(session)).await
}

/// How the turn has ended, if it has.
async fn ending(edge: &Edge, session: &Session, turn: TurnId) -> broker::Result<Option<Ending>> {
    let last = edge.broker.log.last(session).await?;
    let state = last.and_then(|it| it.entry.state);
    let ended = state.filter(|it| it.status() != Status::Running && turn_of(it) == Some(turn));
    Ok(ended.map(|it| it.ending()))
}

/// Erases what was left behind of a user's, except where a human may still
/// decide. Begins anywhere, so that those which must stay are not always first.
async fn sweep(edge: &Edge, user: &UserId, chance: usize) -> broker::Result<()> {
    let keys = edge.broker.records.list(Bucket::Sessions, &Key::user(user)).await?;
    let passing = keys.iter().filter_map(|it| it.names().get(1)?.parse().ok());
    let passing: Vec<SessionId> = passing.filter(is_passing).collect();
    let first = chance.checked_rem(passing.len()).unwrap_or_default();
    for id in passing.iter().cycle().skip(first).take(passing.len().min(SWEPT)) {
        let session = Session { user: user.clone(), id: id.clone() };
        if is_left(edge, &session).await? {
            forget(edge, &session).await?;
        }
    }
    Ok(())
}

/// Whether a session has rested for so long that nobody comes back for it.
async fn is_left(edge: &Edge, session: &Session) -> broker::Result<bool> {
    let now = process::clock::now();
    let Some((kept, _)) = record::of(edge, session).await? else { return Ok(false) };
    let updated = kept.updated.and_then(|it| u64::try_from(it.seconds).ok());
    if updated.is_some_and(|it| it + KEPT.as_secs() > now.as_secs()) {
        return Ok(false);
    }
    let review = decisions::present(edge, session).await?;
    let waits = review.is_some_and(|it| it.is_open(now));
    Ok(!waits && edge.broker.queue.first(session).await?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_session_gets_one_of_its_own_and_the_same_again_under_its_key() {
        let none = HeaderMap::new();
        let id = |key| session(&none, key).unwrap();
        assert_ne!(id(None), id(None));
        assert_eq!(id(Some("k")), id(Some("k")));
        assert_ne!(id(Some("k")), id(Some("l")));
        assert!(id(None).1 && is_passing(&id(None).0));
        for (named, expected) in
            [("s", Ok("s")), ("用户", Ok("用户")), ("", Err(())), ("\u{a0}", Ok("\u{a0}"))]
        {
            let mut headers = HeaderMap::new();
            headers
                .insert("x-session-id", http::HeaderValue::from_bytes(named.as_bytes()).unwrap());
            let (id, made) = session(&headers, None).unwrap();
            match expected {
                Ok(name) => assert_eq!((id.as_str(), made), (name, false)),
                Err(()) => assert!(made, "an empty name is none"),
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-session-id", http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(session(&headers, None).is_err());
        headers.insert("x-session-id", "x".repeat(129).parse().unwrap());
        assert!(session(&headers, None).is_err());
    }
}
