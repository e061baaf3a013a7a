//! How a question becomes an answer: transcript and question to the model, what
//! the model says to the turn's buffer, the whole to the transcript.
//!
//! Knows no gRPC and no readers, and does not decide when a turn is cancelled.

use std::time::Duration;

use proto::ask_event::Kind;
use proto::{Failed, Message, TranscriptTurn, code};

use crate::Times;
use crate::answer::answer;
use crate::buffer::Writer;
use crate::request::Question;
use crate::transcript::{Past, Transcripts};
use model::{Failure, Prompt};

/// The most messages of a conversation that a model is shown.
const MAX_PROMPT_MESSAGES: usize = 200;

/// The most text of a conversation that a model is shown, in bytes.
const MAX_PROMPT_BYTES: usize = 256 * 1024;

/// How long an answer waits for the store before it has failed after all, and
/// how long an end does that is none the worse for not being remembered.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// What answers questions.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) transcripts: Transcripts,
    /// Instructions for questions that bring none.
    pub(crate) system: String,
    /// How long the model is waited for.
    pub(crate) times: Times,
}

impl Engine {
    /// Reads the session's past. Failing to is the end of the turn.
    pub(crate) async fn past(&self, question: &Question) -> Result<Past, Failure> {
        let key = &question.key;
        let past = self.transcripts.before(&key.session, key.turn).await;
        past.map_err(|error| {
            tracing::warn!(session = ?key.session, turn = %key.turn, %error, "no transcript");
            Failure::passing(
                code::STORE_UNAVAILABLE,
                "the conversation so far could not be read; ask again",
            )
        })
    }

    /// Answers into the buffer. The result says how the turn ends; dropping the
    /// future drops the model's work.
    pub(crate) async fn answer(&self, question: &Question, past: &Past, into: &Writer) -> Kind {
        answer(&question.model, self.prompt(question, past), self.times, into).await
    }

    fn prompt(&self, question: &Question, past: &Past) -> Prompt {
        let history = past.messages.as_ref().unwrap_or(&question.earlier);
        let mut messages = recent(history).to_vec();
        messages.push(question.input.clone());
        Prompt {
            system: question.system.clone().unwrap_or_else(|| self.system.clone()),
            messages,
            ..Prompt::default()
        }
    }

    /// Stores the turn in the transcript and says how it ends after that: an
    /// answer that the next question would not know is not `completed`.
    pub(crate) async fn remember(
        &self,
        question: &Question,
        past: &Past,
        answer: String,
        end: Kind,
    ) -> Kind {
        let completed = matches!(end, Kind::Completed(_));
        if answer.is_empty() && !completed {
            return end;
        }
        let turn = record(question, past, answer);
        let key = &question.key;
        let patience = if completed { PATIENCE } else { SHORT_PATIENCE };
        let stored = self.transcripts.store(&key.session, &turn, past, patience).await;
        let Err(error) = stored else { return end };
        tracing::warn!(session = ?key.session, turn = %key.turn, %error, "transcript not stored");
        if !completed {
            return end;
        }
        Kind::Failed(Failed::from(Failure::passing(
            code::STORE_UNAVAILABLE,
            "the answer could not be stored, so the next question would not know it; ask again",
        )))
    }
}

fn record(question: &Question, past: &Past, answer: String) -> TranscriptTurn {
    let mut messages = match past.messages {
        Some(_) => Vec::new(),
        None => question.earlier.clone(),
    };
    messages.push(question.input.clone());
    if !answer.is_empty() {
        messages.push(Message {
            role: "assistant".to_owned(),
            content: answer,
            ..Message::default()
        });
    }
    TranscriptTurn {
        turn_id: question.key.turn.to_string(),
        messages,
        at: Some(now()),
        ..TranscriptTurn::default()
    }
}

fn now() -> pbjson_types::Timestamp {
    let now = process::clock::now();
    pbjson_types::Timestamp {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(now.subsec_nanos()).unwrap_or_default(),
    }
}

/// The end of a history that a model can be shown; starts with a question when
/// something had to be left out.
fn recent(history: &[Message]) -> &[Message] {
    let mut bytes = 0;
    let fitting = history
        .iter()
        .rev()
        .take(MAX_PROMPT_MESSAGES)
        .take_while(|message| {
            bytes += message.content.len();
            bytes <= MAX_PROMPT_BYTES
        })
        .count();
    let kept = &history[history.len() - fitting..];
    if fitting == history.len() {
        return kept;
    }
    let question = kept.iter().position(|it| it.role == "user");
    question.map_or(&[], |at| &kept[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, size: usize) -> Message {
        Message { role: role.to_owned(), content: "x".repeat(size), ..Message::default() }
    }

    #[test]
    fn a_prompt_shows_the_end_of_a_long_history_from_a_question_on() {
        let turn = [message("user", 10), message("assistant", 10)];
        let many = turn.iter().cycle().take(1_001).cloned().collect::<Vec<_>>();
        let kept = recent(&many);
        assert_eq!((kept.len(), kept[0].role.as_str()), (199, "user"));
        let huge = vec![
            message("user", 200_000),
            message("assistant", 100_000),
            message("user", 10),
            message("assistant", 10),
        ];
        assert_eq!(recent(&huge).len(), 2);
        assert_eq!(recent(&turn).len(), 2);
        assert!(recent(&[]).is_empty());
    }
}
