//! What a client of the socket asks for, and how that is done: by the same ways
//! as the routes that do the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use broker::From;
use proto::TurnId;

use crate::caller::Owned;
use crate::cancel;
use crate::decisions;
use crate::edge::Edge;
use crate::mark::Mark;
use crate::problem::Refusal;
use crate::question::Question;
use crate::stream::Reading;
use crate::turns::{self, Receipt};

/// A command, and the client's own name for it.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) reference: Option<String>,
    pub(super) wants: Wants,
}

/// What a command wants.
#[derive(Debug)]
pub(super) enum Wants {
    /// A question, or decisions in its place, to be submitted.
    Turn(Box<Question>),
    /// A turn to be stopped; without one, that which runs or is next.
    Cancel(Option<TurnId>),
    /// To follow the session from here.
    Follow(From, Option<Mark>),
    /// A sign of life.
    Ping,
}

/// What a command came to.
#[derive(Debug)]
pub(super) enum Answer {
    Accepted(Receipt),
    Cancelling(TurnId),
    Following,
    Pong,
}

/// A command that was done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) reference: Option<String>,
    pub(super) answer: Result<Answer, Refusal>,
    /// The socket follows the session by this from now on.
    pub(super) reading: Option<Box<Reading>>,
}

/// A command that is being done.
pub(super) type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

impl Command {
    /// Does it. A socket that follows nothing yet follows its session from
    /// `begins`, before anything else happens.
    pub(super) fn work(self, edge: &Arc<Edge>, session: &Owned, begins: Option<From>) -> Work {
        let (edge, session) = (Arc::clone(edge), session.clone());
        Box::pin(async move {
            let mut reading = None;
            let answer = match edge.limits.request(&session.user) {
                Ok(()) => self.wants.act(&edge, &session, (begins, &mut reading)).await,
                Err(refusal) => Err(refusal),
            };
            Done { reference: self.reference, answer, reading }
        })
    }
}

impl Wants {
    async fn act(
        self,
        edge: &Arc<Edge>,
        session: &Owned,
        (begins, reading): (Option<From>, &mut Option<Box<Reading>>),
    ) -> Result<Answer, Refusal> {
        let place = match &self {
            Self::Follow(from, has) => Some((*from, *has)),
            Self::Turn(_) | Self::Cancel(_) => begins.map(|it| (it, None)),
            Self::Ping => None,
        };
        if let Some((from, has)) = place {
            let opening = async { Ok(Reading::open(edge, session, from, has).await?) };
            *reading = Some(Box::new(edge.within(opening).await?));
        }
        match self {
            Self::Turn(question) => submit(edge, &question).await.map(Answer::Accepted),
            Self::Cancel(turn) => {
                let decision = edge.within(cancel::request(edge, session, turn)).await?;
                decision.cancelling(turn).map(Answer::Cancelling)
            }
            Self::Follow(..) => Ok(Answer::Following),
            Self::Ping => Ok(Answer::Pong),
        }
    }
}

async fn submit(edge: &Arc<Edge>, question: &Question) -> Result<Receipt, Refusal> {
    edge.within(decisions::check(edge, question)).await?;
    turns::submit(edge, question).await
}
