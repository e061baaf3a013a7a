//! What a model thinks and which tools it calls, live and folded.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;

use super::{Page, stage};
use crate::tools::{Surroundings, call, configured};

const STATE: &str = "document.querySelector('.tool')?.dataset.state";

/// Everything in one process, with the test's tools, all of them allowed.
async fn allowed(around: &Surroundings) -> Result<(Weir, Page)> {
    let file =
        around.configure("[tools]\notherwise = \"allow\"\n[limits]\noutput = \"128KiB\"\n")?;
    let flags = ["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
    let page = Page::open(&weir.value("page")?).await?;
    Ok((weir, page))
}

/// A question that makes the model call these tools, and then end.
fn calling(calls: &[(&str, &str, Value)]) -> String {
    let calls = calls.iter().map(|(id, name, arguments)| call(id, name, arguments));
    let then = vec![Script { text: Some("that is all".to_owned()), ..Script::default() }];
    Script { tool_calls: calls.collect(), then, ..Script::default() }.question()
}

#[tokio::test]
async fn a_call_is_seen_while_it_runs_and_keeps_what_was_unfolded() -> Result<()> {
    let around = Surroundings::start().await?;
    let (_weir, page) = allowed(&around).await?;
    page.ask(&calling(&[("a", "t__hold", json!({ "name": "the thing" }))])).await?;
    page.see(&format!("{STATE} === 'running'")).await?;
    page.see("document.querySelector('.tool summary').innerText.includes('the thing')").await?;
    page.click(".tool summary").await?;
    page.see(
        "document.querySelector('.tool .inside').innerText.includes('\"name\": \"the thing\"')",
    )
    .await?;
    around.server.release();
    page.see(&format!("{STATE} === 'done' && document.querySelector('.tool').open")).await?;
    page.see("document.querySelector('.tool .inside').innerText.includes('released the thing')")
        .await?;
    page.says(0, "that is all").await?;

    // What was said before is told again, as what it is known to be.
    page.browser.page().refresh().await?;
    page.see(&format!("{STATE} === 'ended'")).await?;
    page.close().await
}

#[tokio::test]
async fn a_call_that_fails_says_so() -> Result<()> {
    let around = Surroundings::start().await?;
    let (_weir, page) = allowed(&around).await?;
    page.ask(&calling(&[("a", "t__fail", json!({ "message": "no <b>luck</b>" }))])).await?;
    page.see(&format!("{STATE} === 'failed'")).await?;
    page.click(".tool summary").await?;
    page.see("document.querySelector('.tool .inside').innerText.includes('no <b>luck</b>')")
        .await?;
    page.close().await
}

#[tokio::test]
async fn a_long_or_hostile_result_is_bounded_and_does_nothing() -> Result<()> {
    let around = Surroundings::start().await?;
    let (_weir, page) = allowed(&around).await?;
    let nasty = "<img src=x onerror=window.hurt=1>\u{202e}<script>window.hurt=2</script>";
    let calls = [
        ("a", "t__big", json!({ "bytes": 200_000 })),
        ("b", "t__fail", json!({ "message": nasty })),
    ];
    page.ask(&calling(&calls)).await?;
    page.says(0, "that is all").await?;
    assert_eq!(page.get("document.querySelector('.tool pre').textContent").await?, "");
    page.browser
        .run("document.querySelectorAll('.tool').forEach(it => { it.open = true; })")
        .await?;
    let result =
        "[...document.querySelectorAll('.tool')].map(it => [...it.querySelectorAll('pre')].at(-1))";
    page.see(&format!("{result}[0].textContent.length === 20_000")).await?;
    page.see(&format!("{result}[0].clientHeight < 500")).await?;
    page.see(&format!("{result}[1].textContent.includes('>\\\\u202e<script>')")).await?;
    page.click(".tool .long:last-child button.quiet").await?;
    page.see(&format!("{result}[0].textContent.length > 128 * 1024")).await?;
    page.see(&format!("{result}[0].clientHeight < 500")).await?;
    let found = "[window.hurt ?? 0, document.querySelectorAll('main :is(img, script)').length]";
    assert_eq!(page.get(found).await?, json!([0, 0]));
    page.close().await
}

#[tokio::test]
async fn reasoning_is_folded_and_stays_open_while_it_grows() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let thought: Vec<_> = (0..200).map(|it| format!("thought{it}\n")).collect();
    let script = Script {
        reasoning: Some(thought.concat()),
        text: Some("the answer".to_owned()),
        hold_after: Some(100),
        ..Script::default()
    };
    page.ask(&script.question()).await?;
    page.see("document.querySelector('.reasoning summary')?.innerText.includes('Thinking')")
        .await?;
    page.see("!document.querySelector('.reasoning').open").await?;
    page.click(".reasoning summary").await?;
    page.see("document.querySelector('.thought').innerText.includes('thought99')").await?;
    page.browser.run("window.first = document.querySelector('.thought p')").await?;
    model.release();
    page.says(0, "the answer").await?;
    page.see("document.querySelector('.thought').innerText.includes('thought199')").await?;
    page.see("document.querySelector('.reasoning summary').innerText.includes('Reasoning')")
        .await?;
    page.see("document.querySelector('.reasoning').open").await?;
    page.see("document.querySelector('.thought p') === window.first").await?;
    page.see("document.querySelector('.thought').clientHeight < 500").await?;
    page.close().await
}
