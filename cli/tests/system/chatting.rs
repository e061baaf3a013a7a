//! `weir chat` in a terminal, as a person sees it and types on it.

mod deciding;
mod drawing;
mod keeping;
mod piping;

use std::path::Path;

use anyhow::Result;
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;
use testkit::terminal::{Terminal, keys};

use crate::stage::{Client, weir};
use crate::tools::{Surroundings, configured};

const SESSION: &str = "s";
const SIZE: (u16, u16) = (50, 90);

/// Everything in one process, and a home for the person at the terminal.
struct Desk {
    around: Surroundings,
    weir: Weir,
}

impl Desk {
    async fn start() -> Result<Self> {
        let around = Surroundings::start().await?;
        let file = around.configure("")?;
        let data = around.folder().join("data").display().to_string();
        let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", &data];
        let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
        Ok(Self { around, weir })
    }

    fn home(&self) -> &Path {
        self.around.folder()
    }

    /// `weir chat`, with its prompt on the screen.
    async fn chat(&self, more: &[&str], size: (u16, u16)) -> Result<Terminal> {
        self.chat_with(more, size, &[]).await
    }

    async fn chat_with(
        &self,
        more: &[&str],
        size: (u16, u16),
        environment: &[(&str, &str)],
    ) -> Result<Terminal> {
        let page = self.weir.value("page")?;
        let flags = ["chat", "--server", &page, "--user", "test_user"];
        let mut command = weir(&[&flags[..], more].concat());
        command.env("HOME", self.home()).envs(environment.iter().copied());
        let terminal = Terminal::start(&command, size)?;
        prompted(&terminal).await?;
        Ok(terminal)
    }

    fn client(&self) -> Result<Client> {
        Client::of(&self.weir)
    }
}

/// Waits for a prompt with nothing behind it.
async fn prompted(terminal: &Terminal) -> Result<()> {
    terminal
        .wait_for("a prompt", |it| {
            it.rows().last().is_some_and(|it| it == ">") && it.cursor().1 == 2
        })
        .await?;
    Ok(())
}

fn says(text: &str) -> Script {
    Script { text: Some(text.to_owned()), ..Script::default() }
}

#[tokio::test]
async fn ctrl_c_stops_the_model_and_twice_leaves() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let endless = Script { tokens: Some(100_000), every_ms: 20, ..Script::default() }.question();
    terminal.enter(&endless)?;
    terminal.wait_text("t3 ").await?;
    terminal.press(keys::CTRL_C)?;
    terminal.wait_text("[stopped]").await?;
    desk.around.model.wait_for_hangup().await?;
    prompted(&terminal).await?;

    terminal.press("half a question")?;
    terminal.wait_text("> half a question").await?;
    terminal.press(keys::CTRL_C)?;
    prompted(&terminal).await?;
    terminal.press(keys::CTRL_C)?;
    terminal.wait_text("Ctrl-C again leaves").await?;
    prompted(&terminal).await?;
    terminal.press(keys::CTRL_C)?;
    assert_eq!(terminal.exit().await?, 130);
    Ok(())
}

#[tokio::test]
async fn an_answer_goes_on_where_it_was_when_the_gateway_comes_back() -> Result<()> {
    let around = Surroundings::start().await?;
    let (nats, file) = (testkit::nats::Server::start().await?, around.configure("")?);
    let mut agent = configured(&["agent", "--grpc", "127.0.0.1:0"], &file, "sk-one");
    agent.env("NATS_URL", nats.url());
    let agent = Weir::start(agent).await?;
    let url = format!("http://{}", agent.value("grpc")?);
    let _worker = Weir::start(weir(&["worker", "--nats", &nats.url(), "--agent", &url])).await?;
    let gateway =
        |http: String| Weir::start(weir(&["gateway", "--nats", &nats.url(), "--http", &http]));
    let mut first = gateway("127.0.0.1:0".to_owned()).await?;
    let page = first.value("page")?;
    let mut command = weir(&["chat", "--server", &page]);
    command.env("HOME", around.folder());
    let terminal = Terminal::start(&command, SIZE)?;
    prompted(&terminal).await?;

    let script = Script { tokens: Some(40), hold_after: Some(20), ..Script::default() };
    terminal.enter(&script.question())?;
    terminal.wait_text("t18 ").await?;
    first.kill().await?;
    terminal.wait_text("connection lost, waiting…").await?;
    around.model.release();
    let address = page.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut second = gateway(address.clone()).await?;
    terminal.wait_text("t39").await?;
    prompted(&terminal).await?;
    let seen = terminal.seen();
    let words: Vec<_> = (0..40).map(|it| format!("t{it}")).collect();
    let shown = seen.rows().join(" ");
    assert!(shown.contains(&words.join(" ")), "nothing twice, nothing left out: {seen:?}");
    assert!(!seen.has("connection lost"), "{seen:?}");

    // What is typed while nobody is there is kept, and asked once.
    second.kill().await?;
    terminal.enter("are you there?")?;
    terminal.wait_text("the question is kept").await?;
    terminal
        .wait_for("the question", |it| it.rows().last().is_some_and(|it| it == "> are you there?"))
        .await?;
    let _third = gateway(address).await?;
    terminal.press(keys::ENTER)?;
    terminal.wait_text("are you there? (user message 2)").await?;
    Ok(())
}

#[tokio::test]
async fn a_running_answer_is_followed_from_its_beginning() -> Result<()> {
    let desk = Desk::start().await?;
    let held = Script { tokens: Some(6), hold_after: Some(3), ..Script::default() }.question();
    desk.client()?.submit(SESSION, &held).await?;
    desk.around.model.wait_for_calls(1).await?;
    let page = desk.weir.value("page")?;
    let mut command =
        weir(&["chat", "--server", &page, "--user", "test_user", "--session", SESSION]);
    command.env("HOME", desk.home());
    let terminal = Terminal::start(&command, SIZE)?;
    terminal.wait_text("t0 t1").await?;
    desk.around.model.release();
    terminal.wait_text("t0 t1 t2 t3 t4 t5").await?;
    prompted(&terminal).await?;
    Ok(())
}

#[tokio::test]
async fn a_model_that_fails_does_not_end_the_conversation() -> Result<()> {
    let model = FakeModel::start().await?;
    drop(model);
    let desk = Desk::start().await?;
    let terminal = desk.chat(&[], SIZE).await?;
    let broken = Script {
        status: Some(400),
        error_message: Some("no \u{1b}[2J".into()),
        ..Script::default()
    };
    terminal.enter(&broken.question())?;
    terminal.wait_text("weir: ").await?;
    prompted(&terminal).await?;
    terminal.enter("still there?")?;
    terminal.wait_text("still there? (user message").await?;
    Ok(())
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_where_nothing_can_be_stopped() -> Result<()> {
    let mut desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let held = Script { tokens: Some(9), hold_after: Some(3), ..Script::default() }.question();
    terminal.enter(&held)?;
    terminal.wait_text("t1").await?;
    desk.weir.kill().await?;
    terminal.wait_text("connection lost, waiting…").await?;
    terminal.press(keys::CTRL_C)?;
    terminal.wait_text("[not stopped: no gateway answers").await?;
    terminal.press(keys::CTRL_C)?;
    assert_eq!(terminal.exit().await?, 130);
    assert!(terminal.seen().has("come back: weir chat --session s"), "{terminal:?}");
    Ok(())
}

#[tokio::test]
async fn a_question_that_waits_is_stopped_and_the_prompt_comes_back() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let held = Script { tokens: Some(2), hold_after: Some(1), ..Script::default() }.question();
    desk.client()?.submit(SESSION, &held).await?;
    desk.around.model.wait_for_calls(1).await?;
    terminal.enter("after that")?;
    terminal.wait_text("waiting: 1 question before it").await?;
    terminal.press(keys::CTRL_C)?;
    terminal.wait_text("[it has not begun, and will be stopped]").await?;
    prompted(&terminal).await?;
    desk.around.model.release();
    Ok(())
}
