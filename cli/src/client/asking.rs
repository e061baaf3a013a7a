//! Asking, deciding and stopping: what begins a turn, and what ends it early.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Client, Error, Frame, Heard, PATIENCE, Problem, Result, Watch};

const PAUSE: Duration = Duration::from_millis(500);
/// How long one sending may take: a gateway takes a question at once.
const SENDING: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    /// Its words.
    pub(crate) input: String,
    /// The model that is to answer.
    pub(crate) model: Option<String>,
    /// Instructions, behind those of the operator.
    pub(crate) system: Option<String>,
    /// The turn in whose place it is asked: that turn and all behind it are gone
    /// then.
    pub(crate) replaces: Option<String>,
    /// The idempotency key: sent again under it, it is the same question. A new
    /// one when absent.
    pub(crate) key: Option<String>,
    /// Behind an unfinished turn it waits, and is not refused.
    pub(crate) waits: bool,
}

impl Question {
    /// A question of these words alone.
    pub(crate) fn new(input: impl Into<String>) -> Self {
        Self { input: input.into(), ..Self::default() }
    }
}

/// What became of the wish to stop a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// This turn will end.
    Asked(String),
    /// It had ended by itself, or nothing ran; in the gateway's words.
    HadEnded(Box<Problem>),
}

impl Client {
    /// Asks. The idempotency key lets the question be sent again when the
    /// answer to the sending was lost.
    pub(crate) async fn ask(&self, session: &str, question: &Question) -> Result<Turn> {
        let mut body = json!({ "userId": self.user, "input": question.input });
        let given = [
            ("model", &question.model),
            ("system", &question.system),
            ("replaces", &question.replaces),
        ];
        for (name, text) in given {
            if let Some(text) = text {
                body[name] = text.as_str().into();
            }
        }
        if question.waits {
            body["admission"] = "enqueue".into();
        }
        self.start((session, "turns"), &body, question.key.clone()).await
    }

    /// Brings decisions about pending calls, as the native route takes them.
    pub(crate) async fn decide(
        &self,
        session: &str,
        turn: &str,
        decisions: &[Value],
    ) -> Result<Turn> {
        let body = json!({ "userId": self.user, "turnId": turn, "decisions": decisions });
        self.start((session, "decisions"), &body, None).await
    }

    async fn start(
        &self,
        (session, what): (&str, &str),
        body: &Value,
        key: Option<String>,
    ) -> Result<Turn> {
        let request = self.http.post(self.url(&["sessions", session, what])?);
        let key = key.unwrap_or_else(|| Uuid::now_v7().to_string());
        let request = request.header("idempotency-key", key).json(body);
        let again = || request.try_clone().map(|it| it.header("prefer", "respond-async"));
        let accepted = self.patiently(again, false).await?;
        let text = |name: &str| accepted[name].as_str().unwrap_or_default().to_owned();
        Ok(Turn {
            watch: Watch::behind(self, session, text("position")),
            id: text("turnId"),
            client: self.clone(),
            request,
            over: false,
        })
    }

    /// Stops a turn, or the one that runs or will run next.
    pub(crate) async fn cancel(&self, session: &str, turn: Option<&str>) -> Result<Stopped> {
        let mut body = json!({ "userId": self.user });
        if let Some(turn) = turn {
            body["turnId"] = turn.into();
        }
        let request = self.http.post(self.url(&["sessions", session, "cancel"])?).json(&body);
        match self.json(request).await {
            Ok(asked) => {
                Ok(Stopped::Asked(asked["turnId"].as_str().unwrap_or_default().to_owned()))
            }
            Err(Error::Refused(problem)) if problem.status.as_u16() == 409 => {
                Ok(Stopped::HadEnded(problem))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends until a gateway answers or patience is at its end, and reads the
    /// answer. Nobody is waited for where nobody has been `met`.
    async fn patiently(
        &self,
        mut request: impl FnMut() -> Option<RequestBuilder>,
        met: bool,
    ) -> Result<Value> {
        let since = Instant::now();
        loop {
            let again = request().ok_or_else(|| Error::Path("a stream".to_owned()))?;
            let left = PATIENCE.saturating_sub(since.elapsed());
            let sent = match self.once(again.timeout(left.min(SENDING))).await {
                Ok(response) => self.read(response).await,
                Err(error) => Err(error),
            };
            let error = match sent {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let passing = error.is_passing() || error.later().is_some();
            let may_come = passing && (met || !error.is_absent());
            let pause = error.later().unwrap_or_default().max(PAUSE);
            if !may_come || since.elapsed() + pause >= PATIENCE {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}

/// A turn, followed to its end over as many connections as it takes.
pub(crate) struct Turn {
    client: Client,
    watch: Watch,
    id: String,
    /// What asked for it: sent again, it means the same turn.
    request: RequestBuilder,
    over: bool,
}

impl Turn {
    /// The turn's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What comes next of the turn; `None` after its terminal event. Can be
    /// dropped and called again: nothing is lost.
    pub(crate) async fn heard(&mut self) -> Result<Option<Heard>> {
        while !self.over {
            let heard = self.watch.next().await?;
            let Heard::Event(frame) = &heard else {
                return Ok(Some(heard));
            };
            if is_of_session(frame) || frame.value()["turnId"] == *self.id {
                self.over = frame.is_end();
                return Ok(Some(heard));
            }
        }
        Ok(None)
    }

    /// The turn as one object, once its end was [heard](Self::heard).
    pub(crate) async fn whole(&mut self) -> Result<Value> {
        let request = &mut self.request;
        let again = || request.try_clone().map(|it| it.header("accept", "application/json"));
        self.client.patiently(again, true).await
    }
}

/// Whether an event is about every turn of the session.
fn is_of_session(frame: &Frame) -> bool {
    matches!(frame.kind.as_str(), "gap" | "deleted")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Weir};

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_connections_and_stays_mute_is_given_up() {
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("http://me:canary@{}", mute.local_addr().unwrap());
        let line = ["weir", "ask", "--server", &place, "Why?"];
        let Some(Command::Ask(flags)) = Weir::try_parse_from(line).unwrap().command else {
            panic!("it is no question");
        };
        let client = Client::new(&flags.peer).unwrap();
        let began = Instant::now();
        let error = client.ask("s", &Question::new("Why?")).await.err().unwrap();
        assert!(matches!(error, Error::Lost { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        let took = began.elapsed();
        assert!(took > SENDING && took <= PATIENCE + PAUSE, "{took:?}");
    }
}
