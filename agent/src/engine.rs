//! How a question becomes an answer: the model is asked, the tools that it asks
//! for are called or put before a human, and so on until it has answered.
//!
//! Whatever must not happen twice is in the turn's ledger first, so that a run
//! that dies is gone on with from its last step. Knows no gRPC and no readers,
//! and does not decide when a turn is cancelled.

mod ask;
mod calls;
mod cite;
mod conversation;
mod prompt;
mod turn;
mod voice;
mod window;

use std::sync::Arc;
use std::time::Duration;

use memory::Memories;
use model::{Failure, Model, Models};
use proto::ask_event::Kind;
use proto::{Completed, Failed, Message, Resume, TranscriptTurn, code};

use crate::buffer::Writer;
use crate::ledger::{Ledgers, Since, Unwritten};
use crate::policy::Policy;
use crate::request::Question;
use crate::review::{Reviews, Undecided};
use crate::tools::Toolbox;
use crate::transcript::{Past, Refused, Transcripts};
use crate::{Limits, Times};

pub(crate) use turn::Turn;

/// How long an answer waits for the store before it has failed after all, and
/// how long an end does that is none the worse for not being remembered.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// What answers questions.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) transcripts: Transcripts,
    pub(crate) ledgers: Ledgers,
    pub(crate) reviews: Reviews,
    pub(crate) memories: Memories,
    pub(crate) models: Arc<Models>,
    /// Asked, in order, when the model that a question names cannot be used.
    pub(crate) fallback: Vec<Arc<dyn Model>>,
    pub(crate) tools: Toolbox,
    pub(crate) policy: Policy,
    /// The operator's instructions.
    pub(crate) system: String,
    /// How long the model is waited for.
    pub(crate) times: Times,
    /// What a turn may use.
    pub(crate) limits: Limits,
    /// The most that is told of what is known about the user, in bytes.
    pub(crate) memory_budget: usize,
    /// How long a human may take to decide.
    pub(crate) review_expires: Option<Duration>,
}

/// Why a turn does not come to an end of its own.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It has failed.
    Failed(Failure),
    /// It runs anew elsewhere, or its session was erased: it ends without a
    /// word.
    Superseded,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unwritten> for Stop {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Superseded => Self::Superseded,
            Unwritten::TooLong => Self::Failed(too_long()),
            Unwritten::Store(error) => Self::Failed(unstored(&error)),
        }
    }
}

impl From<Undecided> for Stop {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::Refused { code, message } => Self::Failed(Failure::lasting(code, message)),
            Undecided::Store(error) => Self::Failed(unstored(&error)),
        }
    }
}

fn refuse(refused: Option<Refused>) -> Result<(), Failure> {
    let (code, words) = match refused {
        None => return Ok(()),
        Some(Refused::Over) => {
            (code::TURN_OVER, "the turn has ended, and the conversation went on")
        }
        Some(Refused::Unplaced) => (
            code::UNKNOWN_TURN,
            "the turn to be replaced is not, or no longer, part of the conversation",
        ),
    };
    Err(Failure::lasting(code, words))
}

fn too_long() -> Failure {
    Failure::lasting(code::TOO_LONG, "the answer grew past what one turn may say")
}

fn unstored(error: &broker::Error) -> Failure {
    tracing::warn!(%error, "a turn's state was not stored");
    Failure::passing(code::STORE_UNAVAILABLE, "what was done could not be stored; ask again")
}

impl Engine {
    /// Reads what was before the turn, and opens it for its readers.
    pub(crate) async fn begin<'a>(
        &'a self,
        question: &'a Question,
        writer: &'a Writer,
    ) -> Result<Turn<'a>, Stop> {
        let key = &question.key;
        let unread = |error: broker::Error| {
            tracing::warn!(session = ?key.session, turn = %key.turn, %error, "no past");
            let words = "the conversation so far could not be read";
            let retryable = !matches!(error, broker::Error::Corrupt(_));
            Failure { retryable, ..Failure::lasting(code::STORE_UNAVAILABLE, words) }
        };
        let before = self.transcripts.before(&key.session, key.turn, question.replaces.as_ref());
        let past = before.await.map_err(unread)?;
        refuse(past.refused)?;
        let Past { generation, replacements, stored, .. } = past;
        let since = Since { generation, replacements, stored };
        let book = self.ledgers.open(key, writer.run(), since).await.map_err(unread)?;
        writer.open(book.inherited());
        if past.interrupted.is_some() && question.resume.is_none() {
            self.reviews.close(key, past.generation).await.map_err(unread)?;
        }
        let models = self.models(question, past.interrupted.as_ref().map(|it| it.model.as_str()));
        let mut turn = Turn::new(question, past, book, writer, models);
        turn.system = self.system(&turn).await;
        self.forget(&turn).await;
        Ok(turn)
    }

    /// The model that a question names, or that the turn it resumes had named,
    /// and those behind it.
    fn models(&self, question: &Question, resumed: Option<&str>) -> Vec<Arc<dyn Model>> {
        let before = resumed.filter(|_| question.resume.is_some());
        let named = before.and_then(|it| self.models.named(it));
        let first = named.unwrap_or_else(|| Arc::clone(&question.model));
        let others = self.fallback.iter().filter(|it| it.name() != first.name()).cloned();
        std::iter::once(Arc::clone(&first)).chain(others).collect()
    }

    /// Ledgers of turns that ended before this one began.
    async fn forget(&self, turn: &Turn<'_>) {
        for old in &turn.past.ledgers {
            let gone = self.ledgers.delete(&turn.question.key.session, old).await;
            if let Err(error) = gone {
                tracing::debug!(%error, turn = old, "a ledger is left");
            }
        }
    }

    /// Answers. The result says how the turn ends; dropping the future drops the
    /// model's work and the tools' calls.
    pub(crate) async fn answer(&self, turn: &mut Turn<'_>) -> Result<Kind, Stop> {
        let went = tokio::time::timeout(self.times.turn, self.go(turn)).await;
        went.unwrap_or_else(|_| {
            let words = "the answer took longer than one turn may";
            Err(Failure::lasting(code::TURN_TIMEOUT, words).into())
        })
    }

    async fn go(&self, turn: &mut Turn<'_>) -> Result<Kind, Stop> {
        if let Some(resume) = &turn.question.resume {
            self.decided(turn, resume).await?;
        }
        self.recover(turn).await?;
        loop {
            let waiting = self.settle(turn).await?;
            if let Some(calls) = waiting {
                return Ok(Kind::Interrupted(proto::Interrupted { calls, expires: None }));
            }
            self.check(turn)?;
            let reply = self.step(turn).await?;
            // What was cut by a limit is no request to do something.
            if reply.calls.is_empty() || reply.finish != "tool_calls" {
                let finish_reason = reply.finish.to_owned();
                return Ok(Kind::Completed(Completed { finish_reason }));
            }
            self.plan(turn, reply.calls).await?;
        }
    }

    async fn decided(&self, turn: &mut Turn<'_>, resume: &Resume) -> Result<(), Stop> {
        let (key, generation) = (&turn.question.key, turn.past.generation);
        let open = turn.open_calls(resume);
        let offered = self.tools.with(open.iter().map(String::as_str)).await;
        let fits = |name: &str, arguments: &str| self.allowed(&offered, name, arguments);
        let decided = self.reviews.decide(key, generation, resume, fits).await?;
        turn.undecided = !decided.remaining.is_empty();
        // Written by an earlier run of this turn.
        if turn.book.exists() {
            return Ok(());
        }
        self.take(turn, decided.calls, &offered).await
    }

    /// Refuses one more step past what a turn may use.
    fn check(&self, turn: &Turn<'_>) -> Result<(), Failure> {
        let said = turn.writer.said();
        let steps = conversation::steps(&turn.messages(&said));
        if steps >= self.limits.steps as usize {
            let words = format!("the turn took more than {} steps", self.limits.steps);
            return Err(Failure::lasting(code::STEP_LIMIT, words));
        }
        let used = said.iter().map(|it| match it {
            Kind::Usage(usage) => u64::from(usage.input_tokens) + u64::from(usage.output_tokens),
            Kind::Text(_)
            | Kind::Reasoning(_)
            | Kind::ToolCall(_)
            | Kind::ToolResult(_)
            | Kind::Citation(_)
            | Kind::Rewind(_)
            | Kind::Completed(_)
            | Kind::Interrupted(_)
            | Kind::Failed(_)
            | Kind::Cancelled(_) => 0,
        });
        if used.sum::<u64>() >= self.limits.tokens {
            let words = format!("the turn used more than {} tokens", self.limits.tokens);
            return Err(Failure::lasting(code::TOKEN_LIMIT, words));
        }
        Ok(())
    }

    /// Stores what the turn said and says how it ends after that: an answer that
    /// the next question would not know is not `completed`, and calls that nobody
    /// could decide on are not `interrupted`. `None` when another run has ended
    /// the turn.
    pub(crate) async fn close(&self, turn: &Turn<'_>, end: Kind) -> Option<Kind> {
        let needed = matches!(end, Kind::Completed(_) | Kind::Interrupted(_));
        let record = turn.record(&end);
        if record.messages.is_empty() && !record.ledger && !needed {
            return Some(end);
        }
        let stored = match self.store(turn, &record, needed).await {
            Ok(true) => self.interrupt(turn, end.clone()).await,
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        Some(match stored {
            Ok(end) => end,
            Err(_) if !needed => end,
            Err(_) => Kind::Failed(Failed::from(Failure::passing(
                code::STORE_UNAVAILABLE,
                "the answer could not be stored, so the next question would not know it; ask again",
            ))),
        })
    }

    async fn store(
        &self,
        turn: &Turn<'_>,
        record: &TranscriptTurn,
        needed: bool,
    ) -> broker::Result<bool> {
        let session = &turn.question.key.session;
        let patience = if needed { PATIENCE } else { SHORT_PATIENCE };
        let stored = self.transcripts.store(session, record, &turn.past, patience).await;
        stored.inspect_err(|error| {
            tracing::warn!(?session, turn = record.turn_id, %error, "transcript not stored");
        })
    }

    async fn interrupt(&self, turn: &Turn<'_>, end: Kind) -> broker::Result<Kind> {
        let Kind::Interrupted(interrupted) = end else { return Ok(end) };
        let (key, generation) = (&turn.question.key, turn.past.generation);
        let opened =
            self.reviews.open(key, generation, interrupted.calls, self.review_expires).await;
        opened.map(Kind::Interrupted).inspect_err(|error| {
            tracing::warn!(session = ?key.session, turn = %key.turn, %error, "no review");
        })
    }
}

/// A message of the user that is not one of theirs.
fn user(content: String) -> Message {
    Message { role: "user".to_owned(), content, ..Message::default() }
}
