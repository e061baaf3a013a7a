//! A question on its way: what nobody took is kept as it was, so that it is asked
//! once however often it is sent. What was refused for good is not promised
//! anything.

use std::process::ExitCode;

use uuid::Uuid;

use super::asking::{Due, Source};
use super::{Conversation, Next, command};
use crate::banner;
use crate::client::{self, Question};
use crate::terminal::Paint;

impl Conversation {
    /// Asks, and shows the answer to its end, calls that wait for a human
    /// included.
    pub(super) async fn ask(
        &mut self,
        input: String,
        replaces: Option<String>,
    ) -> anyhow::Result<Next> {
        // A Ctrl-C from before is not meant for it.
        self.interrupts.forget();
        let kept = self.unsent.take().filter(|it| is_meant(it, &input, replaces.as_deref()));
        let question = match kept {
            Some(kept) if kept.model == self.model => kept,
            Some(kept) => Question { model: self.model.clone(), key: Some(key()), ..kept },
            None => Question {
                model: self.model.clone(),
                // One that takes another one's place waits behind none.
                waits: replaces.is_none(),
                replaces,
                key: Some(key()),
                ..Question::new(input)
            },
        };
        let (client, session) = (self.client.clone(), self.session.clone());
        match self.sending(client.ask(&session, &question)).await {
            Ok(Some(turn)) => {
                self.asked = true;
                return self.go_on(Due::Follow(Source::Asked(Box::new(turn)))).await;
            }
            Ok(None) => {
                self.screen.note(Paint::Yellow, "[not sent, as far as is known]")?;
                self.unsent = Some(question);
            }
            Err(error) => self.is_left_with(question, error)?,
        }
        Ok(Next::Prompt)
    }

    /// The question stands on the next line; whether it is worth sending again is
    /// said.
    fn is_left_with(&mut self, question: Question, error: client::Error) -> anyhow::Result<()> {
        self.screen.clear();
        self.comes_to(ExitStatus::Failed);
        let passes = may_pass(&error);
        banner::error(&error.into());
        if passes && self.editor.is_interactive() {
            let kept = "[the question is kept: Enter sends it again, and it is asked once]";
            self.screen.note(Paint::Yellow, kept)?;
        }
        // After a refusal it is another try.
        let key = if passes { question.key.clone() } else { Some(key()) };
        self.unsent = Some(Question { key, ..question });
        Ok(())
    }

    /// What stands on the next line: a question that nobody took.
    pub(super) fn kept(&self) -> String {
        self.unsent.as_ref().map_or(String::new(), |it| command::typed(&it.input))
    }

    /// Remembers how something ended, for the end of what no person types.
    pub(super) fn comes_to(&mut self, how: ExitStatus) {
        self.worst = self.worst.max(how);
    }
}

/// How a conversation that no person types ends, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ExitStatus {
    Done,
    Failed,
    /// Calls wait for a decision.
    Waits,
    Stopped,
}

impl From<ExitStatus> for ExitCode {
    fn from(how: ExitStatus) -> Self {
        Self::from(match how {
            ExitStatus::Done => 0,
            ExitStatus::Failed => 1,
            ExitStatus::Waits => 3,
            ExitStatus::Stopped => 130,
        })
    }
}

fn key() -> String {
    Uuid::now_v7().to_string()
}

/// Whether what is asked is the question that is kept.
fn is_meant(kept: &Question, input: &str, replaces: Option<&str>) -> bool {
    let elsewhere = replaces.is_some() && replaces != kept.replaces.as_deref();
    kept.input.trim() == input.trim() && !elsewhere
}

/// Whether the same question may do better a little later.
fn may_pass(error: &client::Error) -> bool {
    match error {
        client::Error::Refused(problem) => {
            let status = problem.status.as_u16();
            status >= 500 || status == 429 || status == 408
        }
        client::Error::Absent { .. } | client::Error::Lost { .. } => true,
        client::Error::Path(_) | client::Error::Stranger(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_keeps_the_place_it_was_meant_for() {
        let replaces = Some("t".to_owned());
        let kept = Question { replaces, ..Question::new("why\n") };
        assert!(is_meant(&kept, "why", None) && is_meant(&kept, "why", Some("t")));
        assert!(!is_meant(&kept, "why", Some("u")) && !is_meant(&kept, "how", None));
    }

    #[test]
    fn the_worst_that_happened_is_what_is_told() {
        let order = [ExitStatus::Done, ExitStatus::Failed, ExitStatus::Waits, ExitStatus::Stopped];
        assert!(order.is_sorted());
    }
}
