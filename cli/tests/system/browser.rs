//! The chat page in a real Chromium.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::browser::Browser;
use testkit::model::{Ending, FakeModel, Script};
use testkit::process::Weir;
use testkit::proxy::Proxy;

use crate::stage::{said, tokens, up, weir};

/// The text of the n-th answer, as a script expression.
fn answer(n: usize) -> String {
    format!("(document.querySelectorAll('#conversation .turn .answer')[{n}]?.innerText ?? '')")
}

const IDLE: &str =
    "!document.querySelector('#send').hidden && document.querySelector('#stop').hidden";
const RUNNING: &str = "!document.querySelector('#stop').hidden";

async fn write(browser: &Browser, text: &str) -> Result<()> {
    browser.run("document.querySelector('#question').focus()").await?;
    browser.devtools("Input.insertText", json!({ "text": text })).await?;
    Ok(())
}

/// Presses Enter, with modifiers as the `DevTools` protocol counts them.
async fn enter(browser: &Browser, modifiers: u8) -> Result<()> {
    for kind in ["keyDown", "keyUp"] {
        let event = json!({
            "type": kind, "key": "Enter", "code": "Enter", "text": "\r",
            "windowsVirtualKeyCode": 13, "modifiers": modifiers,
        });
        browser.devtools("Input.dispatchKeyEvent", event).await?;
    }
    Ok(())
}

async fn ask(browser: &Browser, question: &str) -> Result<()> {
    write(browser, question).await?;
    enter(browser, 0).await
}

/// Where a process serves its page.
fn address(weir: &Weir) -> Result<SocketAddr> {
    let page = weir.value("page")?;
    let address = page.trim_start_matches("http://").trim_end_matches('/');
    address.parse().context("the page's address")
}

async fn click(browser: &Browser, selector: &str) -> Result<()> {
    browser.run(&format!("document.querySelector('{selector}').click()")).await?;
    Ok(())
}

/// Weir with the scripted model, and a page that shows it.
async fn stage(model: &FakeModel) -> Result<(Weir, Browser)> {
    let mut command =
        weir(&["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script"]).env("OPENAI_BASE_URL", model.base_url());
    let (weir, browser) = tokio::try_join!(Weir::start(command), Browser::start())?;
    browser.open(&weir.value("page")?).await?;
    browser.wait_for("!document.querySelector('#welcome').hidden").await?;
    Ok((weir, browser))
}

#[tokio::test]
async fn a_person_asks_about_weir_in_english_and_chinese_and_sees_sources() -> Result<()> {
    let (weir, browser) = tokio::try_join!(up(&["--ephemeral"]), Browser::start())?;
    browser.open(&weir.value("page")?).await?;
    for (n, question, word) in
        [(0, "How do I add more workers?", "worker"), (1, "什么是Weir？", "Weir")]
    {
        ask(&browser, question).await?;
        browser.wait_for(&format!("{}.includes('{word}')", answer(n))).await?;
        browser.wait_for(IDLE).await?;
        let sources =
            format!("document.querySelectorAll('.turn')[{n}].querySelector('.sources li')");
        browser.wait_for(&sources).await?;
    }
    let requests = browser
        .run("return performance.getEntriesByType('resource').map(it => new URL(it.name).origin).filter(it => it !== location.origin)")
        .await?;
    assert_eq!(requests, json!([]), "the page asks nobody else");
    browser.close().await
}

#[tokio::test]
async fn enter_sends_shift_enter_breaks_the_line_and_composing_does_neither() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, browser) = stage(&model).await?;
    write(&browser, "one").await?;
    enter(&browser, 8).await?;
    write(&browser, "two").await?;
    browser.wait_for(r"document.querySelector('#question').value === 'one\ntwo'").await?;

    let composing = "document.querySelector('#question').dispatchEvent(new KeyboardEvent('keydown', \
                     { key: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true }))";
    browser.run(composing).await?;
    assert!(model.calls().is_empty());
    assert_eq!(browser.run("return document.querySelectorAll('.turn').length").await?, 0);

    enter(&browser, 0).await?;
    browser.wait_for(&format!("{}.length > 0", answer(0))).await?;
    browser.wait_for(IDLE).await?;
    assert_eq!(
        browser.run("return document.querySelector('.question').textContent").await?,
        "one\ntwo"
    );
    browser.close().await
}

#[tokio::test]
async fn the_stop_button_stops_the_model_and_keeps_what_was_said() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, browser) = stage(&model).await?;
    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    ask(&browser, &held.question()).await?;
    browser.wait_for(&format!("{}.includes('t4')", answer(0))).await?;
    browser.wait_for(RUNNING).await?;
    click(&browser, "#stop").await?;
    assert_eq!(model.wait_for_hangup().await?.ending, Ending::HungUp);
    browser.wait_for(IDLE).await?;
    let text = browser.run(&format!("return {}", answer(0))).await?;
    assert_eq!(text, said(5).trim_end());
    browser.close().await
}

#[tokio::test]
async fn a_reload_in_the_middle_and_a_cut_connection_lose_nothing() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, browser) = stage(&model).await?;
    let proxy = Proxy::start(address(&weir)?).await?;
    browser.open(&format!("http://{}/", proxy.address())).await?;
    browser.wait_for("!document.querySelector('#welcome').hidden").await?;
    ask(&browser, &tokens(150, 20)).await?;
    browser.wait_for(&format!("{}.includes('t10 ')", answer(0))).await?;
    browser.page().refresh().await?;
    browser.wait_for(&format!("{}.includes('t40 ')", answer(0))).await?;

    proxy.cut();
    browser.wait_for("document.querySelector('#connection').classList.contains('trouble')").await?;
    let before = browser.run(&format!("return {}", answer(0))).await?;
    proxy.mend();
    browser.wait_for(&format!("{}.includes('t149')", answer(0))).await?;
    browser.wait_for(IDLE).await?;
    let text = browser.run(&format!("return {}", answer(0))).await?;
    assert_eq!(text, said(150).trim_end());
    assert!(before.as_str().is_some_and(|it| it.len() < said(150).len()));
    assert_eq!(model.calls().len(), 1);
    browser.close().await
}

#[tokio::test]
async fn an_error_is_shown_and_can_be_retried() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, browser) = stage(&model).await?;
    let broken = Script {
        status: Some(400),
        times: Some(1),
        text: Some("now it works".into()),
        ..Script::default()
    };
    ask(&browser, &broken.question()).await?;
    browser.wait_for("document.querySelector('.trouble-box button')").await?;
    click(&browser, ".trouble-box button").await?;
    browser.wait_for(&format!("{}.includes('now it works')", answer(1))).await?;
    browser.close().await
}

#[tokio::test]
async fn a_restarted_server_is_found_again_with_the_whole_conversation() -> Result<()> {
    let model = FakeModel::start().await?;
    let data = tempfile::tempdir()?;
    let start = async |http: &str| {
        let mut command = weir(&["up", "--http", http, "--grpc", "127.0.0.1:0", "--data"]);
        command.arg(data.path()).args(["--model", "openai/script"]);
        command.env("OPENAI_BASE_URL", model.base_url());
        Weir::start(command).await
    };
    let (mut first, browser) = (start("127.0.0.1:0").await?, Browser::start().await?);
    let page = first.value("page")?;
    browser.open(&page).await?;
    let held = Script { tokens: Some(30), hold_after: Some(10), ..Script::default() };
    ask(&browser, &held.question()).await?;
    browser.wait_for(&format!("{}.includes('t9')", answer(0))).await?;
    first.kill().await?;
    model.release();
    browser.wait_for("document.querySelector('#connection').classList.contains('trouble')").await?;

    let _second = start(&address(&first)?.to_string()).await?;
    browser.wait_for(&format!("{}.includes('t29')", answer(0))).await?;
    browser.wait_for(IDLE).await?;
    assert_eq!(browser.run(&format!("return {}", answer(0))).await?, said(30).trim_end());
    browser.close().await
}

#[tokio::test]
async fn hostile_model_output_is_inert_text() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, browser) = stage(&model).await?;
    let nasty = "<img src=x onerror=window.hurt=1> <script>window.hurt=2</script> \
                 [a](javascript:window.hurt=3) ![b](http://127.0.0.1:9/secret) end";
    let script = Script { text: Some(nasty.into()), ..Script::default() };
    ask(&browser, &script.question()).await?;
    browser.wait_for(&format!("{}.includes('end')", answer(0))).await?;
    browser.wait_for(IDLE).await?;
    let found = browser
        .run("return [window.hurt ?? 0, document.querySelectorAll('#conversation :is(img, script, iframe)').length, \
              [...document.querySelectorAll('#conversation a')].filter(it => it.protocol === 'javascript:').length]")
        .await?;
    assert_eq!(found, json!([0, 0, 0]));
    browser.close().await
}

#[tokio::test]
async fn a_phone_sees_the_page_without_sideways_scrolling() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, browser) = stage(&model).await?;
    let phone = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.devtools("Emulation.setDeviceMetricsOverride", phone).await?;
    let wide = format!("{} ```\n{}\n```", "word ".repeat(40), "x".repeat(300));
    let script = Script { text: Some(wide), ..Script::default() };
    ask(&browser, &script.question()).await?;
    browser.wait_for(&format!("{}.includes('xxx')", answer(0))).await?;
    browser.wait_for(IDLE).await?;
    let overflow =
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.run(overflow).await?, 0);
    browser.close().await
}
