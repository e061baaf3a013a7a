//! Asks models and waits for what they say, with an end to every wait.
//!
//! Asks again, or another model, only while nothing was shown. Knows no
//! transcript, no tools and no reader.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::{Answer, Failure, Model, Prompt, Said};
use proto::{ToolCall, code};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

use crate::metrics::{self, Asking};
use crate::{Times, trace};

/// The longest pause between two tries of a model that names none itself, and
/// the longest that is waited for one while there is another to be asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What hears a model, piece by piece.
pub(crate) trait Hear: Send {
    /// Takes what is to be shown: everything but calls and the end.
    fn hear(&mut self, said: Said) -> Result<(), Failure>;
}

/// An answer that came to its end.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    /// The tools that the model asks for.
    pub(crate) calls: Vec<ToolCall>,
    /// Why it stopped: `stop`, `tool_calls`, `length` or `content_filter`.
    pub(crate) finish: &'static str,
}

/// Asks the first model, and those behind it when the ones before could not be
/// used. The failure is that of the first.
pub(crate) async fn ask<H: Hear>(
    models: &[Arc<dyn Model>],
    prompt: &Prompt,
    times: Times,
    into: &mut H,
) -> Result<Reply, Failure> {
    let mut first = None;
    for (at, model) in models.iter().enumerate() {
        let last = at + 1 == models.len();
        let mut wait = Wait::new(times);
        let most = if last { Duration::MAX } else { LONGEST_PAUSE };
        let failure = match insist(model, prompt, (&mut wait, most), into).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        // Another model's window need not be larger, and the caller can shorten.
        let helps = failure.code != code::MODEL_CONTEXT_LENGTH && failure.code != code::TOO_LONG;
        if wait.shown || last || !helps {
            return Err(first.unwrap_or(failure));
        }
        metrics::instead(model.name());
        tracing::warn!(
            model = model.name(),
            failed.code = failure.code,
            next = models[at + 1].name(),
            "a model cannot be used; asking the next"
        );
        first.get_or_insert(failure);
    }
    Err(first.unwrap_or_else(|| Failure::lasting(code::MODEL_UNKNOWN, "no model is set up")))
}

/// Asks one model until there is an answer, or one that broke off, or a failure
/// that asking again does not mend, at least not after a pause of `most`.
async fn insist<H: Hear>(
    model: &Arc<dyn Model>,
    prompt: &Prompt,
    (wait, most): (&mut Wait, Duration),
    into: &mut H,
) -> Result<Reply, Failure> {
    let mut pause = wait.times.retry_pause;
    let mut retries = wait.times.retries;
    loop {
        let span = trace::chat(model.name());
        let mut measured = Asking::begin(model.name());
        let asking = relay(model.stream(prompt.clone()), (wait, &mut measured), into);
        let asked = asking.instrument(span.clone()).await;
        measured.ended(asked.as_ref().err().map(|it| it.code));
        trace::answered(&span, asked.as_ref().map(|it| it.finish));
        let failure = match asked {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        // Before the provider wants to be asked, asking is in vain.
        let rest = failure.retry_after.unwrap_or_default().max(pause);
        let soon = failure.retry_after.is_none_or(|it| it <= most);
        let soon = soon && Instant::now() + rest < wait.first;
        let again = failure.retryable && !wait.shown && soon;
        if !again || retries == 0 {
            return Err(failure);
        }
        metrics::again(model.name());
        tracing::info!(
            model = model.name(),
            failed.code = failure.code,
            "the model failed before its first word; asking again"
        );
        sleep(rest).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        retries -= 1;
    }
}

/// How long the model's next word is waited for.
struct Wait {
    times: Times,
    /// When the first word must be there, over all tries.
    first: Instant,
    shown: bool,
}

impl Wait {
    fn new(times: Times) -> Self {
        Self { times, first: Instant::now() + times.first_token, shown: false }
    }

    /// The next word of an answer, of which something has `come` already.
    async fn next(&mut self, answer: &mut Answer, come: bool) -> Result<Said, Failure> {
        let until = if come { Instant::now() + self.times.between_tokens } else { self.first };
        let Ok(said) = timeout_at(until, answer.next()).await else {
            return Err(self.silence());
        };
        let cut = Failure::passing(code::MODEL_CUT, "the model's answer broke off before its end");
        let said = said.ok_or(cut)??;
        // A call that is being written shows nothing yet, but is no silence.
        self.shown |= !matches!(said, Said::Composing);
        Ok(said)
    }

    fn silence(&self) -> Failure {
        if self.shown {
            return Failure::passing(
                code::TOKEN_TIMEOUT,
                "the model fell silent in the middle of its answer",
            );
        }
        Failure::passing(code::FIRST_TOKEN_TIMEOUT, "the model did not begin its answer in time")
    }
}

async fn relay<H: Hear>(
    mut answer: Answer,
    (wait, measured): (&mut Wait, &mut Asking),
    into: &mut H,
) -> Result<Reply, Failure> {
    let mut calls = Vec::new();
    let mut come = false;
    loop {
        let said = wait.next(&mut answer, come).await?;
        come = true;
        measured.piece();
        match said {
            Said::Composing => {}
            Said::ToolCall(call) => calls.push(call),
            Said::Finished(finish) => return Ok(Reply { calls, finish }),
            said @ (Said::Text(_) | Said::Reasoning(_) | Said::Citation(_)) => into.hear(said)?,
            Said::Usage(usage) => {
                trace::used(&usage);
                measured.used(&usage);
                into.hear(Said::Usage(usage))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A word after a pause, or a failure.
    type Line = (u64, Result<Said, Failure>);

    /// Says the n-th list of lines in its n-th call, and then is silent.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<Vec<Line>>>);

    impl Model for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn window(&self) -> Option<u32> {
            None
        }

        fn stream(&self, _: Prompt) -> Answer {
            let lines = self.0.lock().unwrap().remove(0);
            let said = futures::stream::iter(lines).then(async |(after, line)| {
                sleep(Duration::from_secs(after)).await;
                line
            });
            said.chain(futures::stream::pending()).boxed()
        }
    }

    #[derive(Default)]
    struct Heard(usize);

    impl Hear for Heard {
        fn hear(&mut self, _: Said) -> Result<(), Failure> {
            self.0 += 1;
            Ok(())
        }
    }

    fn model(script: Vec<Vec<Line>>) -> Arc<dyn Model> {
        Arc::new(Scripted(Mutex::new(script)))
    }

    fn text() -> Said {
        Said::Text("x".to_owned())
    }

    fn failure(code: &'static str, retryable: bool) -> Result<Said, Failure> {
        Err(Failure { retryable, ..Failure::lasting(code, "") })
    }

    /// How the asking ended, how much was heard, and after how many seconds.
    async fn ends(models: Vec<Vec<Vec<Line>>>) -> (&'static str, usize, u64) {
        let models: Vec<_> = models.into_iter().map(model).collect();
        let (began, mut heard) = (Instant::now(), Heard::default());
        let reply = ask(&models, &Prompt::default(), Times::default(), &mut heard).await;
        let end = reply.map_or_else(|it| it.code, |it| it.finish);
        (end, heard.0, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn every_silence_ends_with_a_code_of_its_own() {
        let thinking = || Ok(Said::Reasoning("hm".to_owned()));
        let writing = || Ok(Said::Composing);
        for (script, expected) in [
            (vec![], ("first_token_timeout", 0, 120)),
            (vec![(119, Ok(text()))], ("token_timeout", 1, 179)),
            (vec![(119, thinking()), (59, Ok(text()))], ("token_timeout", 2, 238)),
            (vec![(100, Ok(text())), (50, Ok(Said::Finished("stop")))], ("stop", 1, 150)),
            (
                vec![(100, writing()), (50, writing()), (50, writing())],
                ("first_token_timeout", 0, 260),
            ),
        ] {
            assert_eq!(ends(vec![vec![script.clone()]]).await, expected, "{script:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_is_asked_again_only_while_nothing_was_shown() {
        let good = || vec![(0, Ok(text())), (0, Ok(Said::Finished("stop")))];
        let bad = || vec![(0, failure("model_unavailable", true))];
        let torn = || vec![(0, Ok(Said::Composing)), (0, failure("model_cut", true))];
        let cut = || vec![(0, Ok(text())), (0, failure("model_cut", true))];
        let lasting = || vec![(0, failure("model_auth", false))];
        for (script, expected) in [
            (vec![bad(), bad(), good()], ("stop", 1)),
            (vec![bad(), bad(), bad(), good()], ("model_unavailable", 0)),
            (vec![torn(), good()], ("stop", 1)),
            (vec![cut(), good()], ("model_cut", 1)),
            (vec![lasting(), good()], ("model_auth", 0)),
            (
                vec![vec![(119, failure("model_unavailable", true))], vec![]],
                ("first_token_timeout", 0),
            ),
        ] {
            let (code, said, seconds) = ends(vec![script.clone()]).await;
            assert_eq!((code, said), expected, "{script:?}");
            assert!(seconds <= 120, "{script:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_names_a_time_is_not_asked_before() {
        let later = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Failure::passing("model_rate_limited", "")
        };
        let good = || vec![(0, Ok(Said::Finished("stop")))];
        let script = vec![vec![(0, Err(later(30)))], good()];
        assert_eq!(ends(vec![script]).await, ("stop", 0, 30));
        let script = vec![vec![(0, Err(later(3_600)))], good()];
        assert_eq!(ends(vec![script]).await, ("model_rate_limited", 0, 0), "too late for anybody");
        let script = vec![vec![(0, Err(later(30)))], good()];
        assert_eq!(ends(vec![script, vec![good()]]).await, ("stop", 0, 0), "another is there");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_model_is_asked_when_one_cannot_be_used_and_had_said_nothing() {
        let good = || vec![vec![(0, Ok(text())), (0, Ok(Said::Finished("stop")))]];
        let fails = |code| vec![vec![(0, failure(code, false))]];
        let cut = || vec![vec![(0, Ok(text())), (0, failure("model_cut", true))]];
        for (models, expected) in [
            (vec![fails("model_auth"), good()], ("stop", 1)),
            (vec![fails("model_auth"), fails("model_quota")], ("model_auth", 0)),
            (vec![cut(), good()], ("model_cut", 1)),
            (vec![fails("model_context_length"), good()], ("model_context_length", 0)),
            (vec![vec![vec![]], good()], ("stop", 1)),
            (vec![], ("model_unknown", 0)),
        ] {
            let (code, said, _) = ends(models.clone()).await;
            assert_eq!((code, said), expected, "{models:?}");
        }
    }
}
