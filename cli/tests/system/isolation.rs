//! Many users in many sessions at once, over two gateways and three workers:
//! whatever anybody reads is his own, and whole.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testkit::model::{Ending, Script};
use testkit::sse::{Frame, Sse};
use tokio::time::timeout;

use crate::stage::{Client, Fleet, is_end};

const USERS: usize = 200;
const SESSIONS: usize = 5;
const TOKENS: usize = 12;
/// Longer than all turns together take.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Native,
    Chat,
    OpenAi,
}

/// One user in one of his sessions, which is called as those of all users are.
struct Conversation {
    /// Where it is asked, and where it goes on after a cut.
    gateways: [Client; 2],
    user: String,
    session: String,
    /// The word that is in everything that is said here, and nowhere else.
    mark: String,
    way: Way,
    /// After how many frames the connection is cut.
    cut: Option<usize>,
}

impl Conversation {
    fn of(user: usize, session: usize, gateways: &[Client; 2]) -> Self {
        let number = user * SESSIONS + session;
        let name = format!("user {user}");
        let [one, two] = gateways.each_ref().map(|it| it.user(&name));
        Self {
            gateways: if number.is_multiple_of(2) { [one, two] } else { [two, one] },
            user: name,
            session: format!("s{session}"),
            mark: format!("u{user}x{session}"),
            way: [Way::Native, Way::Chat, Way::OpenAi][number % 3],
            cut: (number / 2).is_multiple_of(2).then_some(1 + number % 2),
        }
    }

    /// Asks, in the way of this client.
    async fn ask(&self) -> Result<Sse> {
        let pace = 5;
        let name = Some(self.mark.clone());
        let script = Script { name, tokens: Some(TOKENS), every_ms: pace, ..Script::default() };
        let (client, question) = (&self.gateways[0], script.question());
        let messages = json!([{ "role": "user", "content": question }]);
        let (user, session) = (&self.user, &self.session);
        let request = match self.way {
            Way::Native => return client.ask(session, &question).await,
            Way::Chat => client
                .post("/chat")
                .json(&json!({ "userId": user, "sessionId": session, "messages": messages })),
            Way::OpenAi => client
                .post("/v1/chat/completions")
                .header("x-session-id", session)
                .json(&json!({ "user": user, "stream": true, "messages": messages })),
        };
        Sse::open(request.send().await?).await
    }

    /// Holds it to the end of a turn; whether it was cut.
    async fn hold(&self) -> Result<bool> {
        let mut stream = self.ask().await?;
        let (mut text, mut seen, mut last) = (String::new(), 0, None);
        let mut ended = false;
        while let Some(frame) = stream.next().await? {
            self.check(&frame)?;
            text.push_str(&self.text(&frame));
            last.clone_from(&frame.id);
            ended = ended || self.is_end(&frame);
            seen += 1;
            if self.cut == Some(seen) && !ended {
                stream.cut();
                self.resume(&mut text, last.as_deref()).await?;
                self.is_whole(&text)?;
                return Ok(true);
            }
        }
        ensure!(ended, "{} ended without an end", self.mark);
        self.is_whole(&text)?;
        Ok(false)
    }

    /// Goes on at the other gateway: exactly there where positions are told, and
    /// from the beginning where the dialect has none.
    async fn resume(&self, text: &mut String, last: Option<&str>) -> Result<()> {
        let other = &self.gateways[1];
        let mut stream = match (self.way, last) {
            (Way::Native, Some(last)) => other.resume(&self.session, last).await?,
            (Way::Native, None) => anyhow::bail!("a frame without a position"),
            (Way::Chat | Way::OpenAi, _) => other.events(&self.session, "start").await?,
        };
        let mut rest = String::new();
        for frame in stream.read_until(is_end).await? {
            self.check(&frame)?;
            rest.push_str(&crate::stage::text(std::slice::from_ref(&frame)));
        }
        match self.way {
            Way::Native => text.push_str(&rest),
            Way::Chat | Way::OpenAi => {
                ensure!(rest.starts_with(&*text), "{}: {text:?} and then {rest:?}", self.mark);
                *text = rest;
            }
        }
        Ok(())
    }

    /// Whether nothing in a frame is of another session.
    fn check(&self, frame: &Frame) -> Result<()> {
        let raw = std::str::from_utf8(&frame.raw)?;
        for mark in marks(raw) {
            ensure!(mark == self.mark, "{} reads what {mark} is told: {raw}", self.mark);
        }
        let json = frame.json();
        for (name, own) in [("sessionId", &self.session), ("userId", &self.user)] {
            ensure!(json[name].is_null() || json[name] == **own, "{} reads {raw}", self.mark);
        }
        Ok(())
    }

    fn text(&self, frame: &Frame) -> String {
        let json = frame.json();
        let text = match self.way {
            Way::Native if frame.is("text") => &json["text"],
            Way::Chat if json["type"] == "text_chunk" => &json["content"],
            Way::OpenAi => &json["choices"][0]["delta"]["content"],
            Way::Native | Way::Chat => &Value::Null,
        };
        text.as_str().unwrap_or_default().to_owned()
    }

    fn is_end(&self, frame: &Frame) -> bool {
        match self.way {
            Way::Native => frame.is("completed"),
            Way::Chat => frame.is("end") && frame.json()["status"] == "completed",
            Way::OpenAi => frame.data.as_deref() == Some("[DONE]"),
        }
    }

    /// Whether every token is there once, in its order, and is of this session.
    fn is_whole(&self, text: &str) -> Result<()> {
        let call = text.split('/').nth(1).context("a token names its call")?;
        let expected: Vec<_> =
            (0..TOKENS).map(|it| format!("{}/{call}/{it} ", self.mark)).collect();
        ensure!(text == expected.concat(), "{} is told {text:?}", self.mark);
        Ok(())
    }
}

/// All marks in a text: `u`, digits, `x`, digits.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    let digits = |it: &str| it.bytes().take_while(u8::is_ascii_digit).count();
    text.match_indices('u').filter_map(move |(at, _)| {
        let user = digits(&text[at + 1..]);
        let behind = at + 1 + user;
        let rest = text[behind..].strip_prefix('x')?;
        let session = digits(rest);
        (user > 0 && session > 0).then(|| &text[at..=behind + session])
    })
}

#[test]
fn a_mark_is_found_wherever_it_stands() {
    let found: Vec<_> = marks(r#"{"a":"u1x2/0/3 u17x0"}uu5x9 ux1 u1x u12"#).collect();
    assert_eq!(found, ["u1x2", "u17x0", "u5x9"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_at_once_read_their_own_words_and_all_of_them() -> Result<()> {
    process::raise_file_limit();
    let mut fleet = Fleet::start().await?;
    fleet.workers.push(fleet.worker().await?);
    let gateways = [fleet.client(0)?.apart()?, fleet.client(1)?.apart()?];
    let cuts = AtomicUsize::new(0);
    let all = (0..USERS * SESSIONS).map(|number| {
        let held = Conversation::of(number / SESSIONS, number % SESSIONS, &gateways);
        let cuts = &cuts;
        async move {
            let cut = held.hold().await.with_context(|| format!("{} {:?}", held.mark, held.way))?;
            cuts.fetch_add(cut.into(), Ordering::Relaxed);
            anyhow::Ok(())
        }
    });
    timeout(PATIENCE, try_join_all(all)).await.context("some never ended")??;

    let cuts = cuts.into_inner();
    assert!(cuts > USERS * SESSIONS / 3, "only {cuts} were cut");
    let calls = fleet.model.calls();
    assert_eq!(calls.len(), USERS * SESSIONS);
    assert!(calls.iter().all(|it| it.ending == Ending::Finished));
    own_sessions(&gateways).await
}

/// Every user is shown his own sessions at both gateways, and no others.
async fn own_sessions(gateways: &[Client; 2]) -> Result<()> {
    for user in 0..USERS {
        let name = format!("user {user}");
        let list = gateways[user % 2].get("/v1/sessions").query(&[("userId", &name)]);
        let listed: Value = list.send().await?.error_for_status()?.json().await?;
        let sessions = listed["sessions"].as_array().context("sessions")?;
        let mut ids: Vec<_> = sessions.iter().filter_map(|it| it["sessionId"].as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["s0", "s1", "s2", "s3", "s4"], "{name}: {listed}");
        for mark in marks(&listed.to_string()) {
            assert!(mark.starts_with(&format!("u{user}x")), "{name} is shown {mark}");
        }
    }
    Ok(())
}
