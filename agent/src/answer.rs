//! Asks the model and waits for what it says, with an end to every wait.
//!
//! Asks again only while nothing was shown. Knows no transcript and no reader.

use std::sync::Arc;

use futures::StreamExt as _;
use proto::ask_event::Kind;
use proto::{Completed, Failed, code};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::Times;
use crate::buffer::{TooLong, Writer};
use model::{Answer, Failure, Model, Prompt, Said};

/// Answers into the buffer. The result says how the turn ends; dropping the
/// future drops the model's work.
pub(crate) async fn answer(
    model: &Arc<dyn Model>,
    prompt: Prompt,
    times: Times,
    into: &Writer,
) -> Kind {
    let out_of_time =
        |_| Err(Failure::lasting(code::TURN_TIMEOUT, "the answer took longer than one turn may"));
    let answered = timeout(times.turn, insist(model, prompt, times, into)).await;
    match answered.unwrap_or_else(out_of_time) {
        Ok(reason) => Kind::Completed(Completed { finish_reason: reason.to_owned() }),
        Err(failure) => Kind::Failed(Failed::from(failure)),
    }
}

/// Asks until there is an answer, or one that broke off, or a failure that
/// asking again does not mend.
async fn insist(
    model: &Arc<dyn Model>,
    prompt: Prompt,
    times: Times,
    into: &Writer,
) -> Result<&'static str, Failure> {
    let mut wait = Wait { times, until: Instant::now() + times.first_token, shown: false };
    let mut pause = times.retry_pause;
    let mut retries = times.retries;
    loop {
        let failure = match relay(model.stream(prompt.clone()), into, &mut wait).await {
            Ok(reason) => return Ok(reason),
            Err(failure) => failure,
        };
        let again = failure.retryable && !wait.shown && Instant::now() + pause < wait.until;
        if !again || retries == 0 {
            return Err(failure);
        }
        tracing::info!(
            failed.code = failure.code,
            "the model failed before its first word; asking again"
        );
        sleep(pause).await;
        pause *= 2;
        retries -= 1;
    }
}

/// How long the model's next word is waited for.
struct Wait {
    times: Times,
    until: Instant,
    shown: bool,
}

impl Wait {
    async fn next(&mut self, answer: &mut Answer) -> Result<Said, Failure> {
        let Ok(said) = timeout_at(self.until, answer.next()).await else {
            return Err(self.silence());
        };
        let cut = Failure::passing(code::MODEL_CUT, "the model's answer broke off before its end");
        let said = said.ok_or(cut)??;
        self.shown = true;
        self.until = Instant::now() + self.times.between_tokens;
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

async fn relay(
    mut answer: Answer,
    into: &Writer,
    wait: &mut Wait,
) -> Result<&'static str, Failure> {
    loop {
        let kind = match wait.next(&mut answer).await? {
            Said::Text(text) => Kind::Text(text),
            Said::Reasoning(text) => Kind::Reasoning(text),
            Said::Citation(citation) => Kind::Citation(citation),
            Said::Usage(usage) => Kind::Usage(usage),
            Said::ToolCall(_) => continue,
            Said::Finished(reason) => return Ok(reason),
        };
        into.say(kind).map_err(|TooLong| {
            Failure::lasting(code::TOO_LONG, "the answer grew past what one turn may say")
        })?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

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

    fn text() -> Said {
        Said::Text("x".to_owned())
    }

    fn failure(retryable: bool) -> Result<Said, Failure> {
        Err(Failure {
            code: "model_unavailable",
            message: String::new(),
            retryable,
            retry_after: None,
        })
    }

    /// How a turn ended, how much it said, and after how many seconds.
    async fn ends(script: Vec<Vec<Line>>) -> (String, usize, u64) {
        let model = Arc::new(Scripted(Mutex::new(script))) as Arc<dyn Model>;
        let prompt = Prompt::default();
        let (writer, _events) = Writer::new(1, 0);
        let began = Instant::now();
        let end = answer(&model, prompt, Times::default(), &writer).await;
        let end = if let Kind::Failed(failed) = end {
            failed.code
        } else if let Kind::Completed(completed) = end {
            completed.finish_reason
        } else {
            panic!("{end:?} is no end of an answer");
        };
        (end, writer.answer().len(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn every_silence_ends_with_a_code_of_its_own() {
        let slow = |times: usize| (0..times).map(|_| (59, Ok(text()))).collect::<Vec<_>>();
        let thinking = || Ok(Said::Reasoning("hm".to_owned()));
        for (script, expected) in [
            (vec![], ("first_token_timeout", 0, 120)),
            (vec![(119, Ok(text()))], ("token_timeout", 1, 179)),
            (vec![(119, thinking()), (59, Ok(text()))], ("token_timeout", 1, 238)),
            (slow(20), ("turn_timeout", 10, 600)),
            (vec![(100, Ok(text())), (50, Ok(Said::Finished("stop")))], ("stop", 1, 150)),
        ] {
            let (code, said, seconds) = ends(vec![script.clone()]).await;
            assert_eq!((code.as_str(), said, seconds), expected, "{script:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_model_is_asked_again_only_while_nothing_was_shown() {
        let good = || vec![(0, Ok(text())), (0, Ok(Said::Finished("stop")))];
        let bad = || vec![(0, failure(true))];
        for (script, expected) in [
            (vec![bad(), bad(), good()], ("stop", 1)),
            (vec![bad(), bad(), bad(), good()], ("model_unavailable", 0)),
            (vec![vec![(0, Ok(text())), (0, failure(true))], good()], ("model_unavailable", 1)),
            (vec![vec![(0, failure(false))], good()], ("model_unavailable", 0)),
            (vec![vec![(119, failure(true))], vec![]], ("first_token_timeout", 0)),
        ] {
            let (code, said, seconds) = ends(script.clone()).await;
            assert_eq!((code.as_str(), said), expected, "{script:?}");
            assert!(seconds <= 120, "{script:?}");
        }
    }
}
