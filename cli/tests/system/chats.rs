//! `POST /chat` and `GET /stream`, with clients as the documentation of the
//! systems before Weir has them: a reader of lines in Python, and the
//! `EventSource` of a real browser.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;
use testkit::proxy::Proxy;
use tokio::process::Command;
use tokio::time::{Duration, timeout};

use crate::stage::{said, tokens, weir};

/// Longer than the client takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// Everything in one process, with a model that says what the question is.
async fn start(model: &FakeModel) -> Result<Weir> {
    let flags = ["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut command = weir(&[&flags[..], &["--model", "openai/script"]].concat());
    command.env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

#[tokio::test]
async fn a_python_reader_of_lines_chats_as_it_was_written_for() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = start(&model).await?;
    let failing = Script { status: Some(400), ..Script::default() };
    let held = Script { tokens: Some(9), hold_after: Some(3), ..Script::default() };
    let nasty = "a\r\n\r\nevent: end\ndata: {}\n\n\u{2028}多巴胺";
    let questions = json!({
        "stream": tokens(40, 2), "streams": said(40), "failing": failing.question(),
        "held": held.question(), "holds": said(3),
        "nasty": Script { text: Some(nasty.to_owned()), ..Script::default() }.question(),
        "says": nasty,
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/chats/client.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(weir.value("page")?).arg(questions.to_string()).kill_on_drop(true);
    let output = timeout(PATIENCE, python.output()).await??;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("everything was as documented"), "{out}");
    Ok(())
}

/// What a page of the system before does: it shows each message in the place of
/// the one before it, and closes at the end.
const PAGE: &str = "window.shown = ''; window.messages = []; window.opens = 0; window.over = null;
    const query = new URLSearchParams({ username: '用户 1', query: QUESTION });
    window.source = new EventSource('/stream?' + query);
    source.onopen = () => { opens += 1; };
    source.onmessage = (event) => {
        shown = JSON.parse(event.data).message;
        messages.push(shown);
    };
    source.addEventListener('end', (event) => {
        window.over = JSON.parse(event.data).status;
        CLOSE
    });";

async fn watch(browser: &Browser, question: &str, close: &str) -> Result<()> {
    let page = PAGE.replace("QUESTION", &Value::from(question).to_string()).replace("CLOSE", close);
    browser.run(&page).await.map(drop)
}

/// Whether every message begins with the one before it: nothing is lost, and
/// nothing is told twice.
async fn grew(browser: &Browser) -> Result<bool> {
    let grew = "return messages.every((it, at) => at === 0 || it.startsWith(messages[at - 1]))";
    browser.run(grew).await?.as_bool().context("a truth")
}

#[tokio::test]
async fn a_browsers_event_source_shows_all_text_so_far_and_the_session_lasts() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, browser) = tokio::try_join!(start(&model), Browser::start())?;
    browser.open(&weir.value("page")?).await?;
    for (round, count) in [(1, 60), (2, 20)] {
        watch(&browser, &tokens(count, 3), "source.close();").await?;
        browser.wait_for("over === 'completed'").await?;
        assert_eq!(browser.run("return shown").await?, said(count));
        assert!(grew(&browser).await?);
        assert!(browser.run("return messages.length").await?.as_u64() > Some(1));
        let calls = model.wait_for_calls(round).await?;
        let messages = calls[round - 1].body["messages"].as_array().context("messages")?;
        let asked = messages.iter().filter(|it| it["role"] == "user").count();
        assert_eq!(asked, round, "one lasting session per name: {messages:?}");
    }
    browser.close().await
}

/// A browser on a page whose connections can be cut.
async fn behind_proxy(model: &FakeModel) -> Result<(Weir, Proxy, Browser)> {
    let (weir, browser) = tokio::try_join!(start(model), Browser::start())?;
    let page = weir.value("page")?;
    let address = page.trim_start_matches("http://").trim_end_matches('/');
    let proxy = Proxy::start(address.parse()?).await?;
    browser.open(&format!("http://{}/", proxy.address())).await?;
    Ok((weir, proxy, browser))
}

#[tokio::test]
async fn a_browsers_event_source_that_is_cut_before_the_first_word_asks_once() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, proxy, browser) = behind_proxy(&model).await?;
    let held = Script { tokens: Some(3), hold_after: Some(0), ..Script::default() };
    watch(&browser, &held.question(), "").await?;
    browser.wait_for("opens === 1").await?;
    model.wait_for_calls(1).await?;
    proxy.cut();
    browser.wait_for("source.readyState === EventSource.CONNECTING").await?;
    proxy.mend();
    browser.wait_for("opens === 2").await?;
    model.release();
    browser.wait_for("over === 'completed'").await?;
    assert_eq!(browser.run("return shown").await?, said(3));
    assert_eq!(browser.run("return typeof messages[0]").await?, "string", "the id is no event");
    browser.wait_for("source.readyState === EventSource.CLOSED").await?;
    assert_eq!(model.calls().len(), 1, "{:?}", model.calls());
    browser.close().await
}

#[tokio::test]
async fn a_browsers_event_source_that_is_cut_loses_nothing_and_asks_once() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, proxy, browser) = behind_proxy(&model).await?;
    // It never closes: the browser asks again by itself whenever a stream ends.
    watch(&browser, &tokens(400, 20), "").await?;
    for (opens, seen) in [(1, "t10 "), (2, "t200 ")] {
        browser.wait_for(&format!("opens === {opens} && shown.includes('{seen}')")).await?;
        proxy.cut();
        browser.wait_for("source.readyState === EventSource.CONNECTING").await?;
        proxy.mend();
    }
    browser.wait_for("over === 'completed'").await?;
    assert_eq!(browser.run("return shown").await?, said(400));
    assert!(grew(&browser).await?, "{:?}", browser.run("return messages").await?);
    // It comes back once more, and is told that that was all.
    browser.wait_for("source.readyState === EventSource.CLOSED").await?;
    assert!(browser.run("return opens").await?.as_u64() >= Some(3));
    assert_eq!(browser.run("return shown").await?, said(400));
    assert_eq!(model.calls().len(), 1, "{:?}", model.calls());
    browser.close().await
}
