//! Questions: what sends them, what is answered, what goes wrong, and asking
//! differently.

use anyhow::Result;
use serde_json::json;
use testkit::browser::SHIFT;
use testkit::model::{FakeModel, Script};

use super::{Page, stage};
use crate::stage::{Client, up};

#[tokio::test]
async fn a_person_asks_about_weir_in_english_and_chinese_and_sees_sources() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let page = Page::open(&weir.value("page")?).await?;
    for (n, question, word) in
        [(0, "How do I add more workers?", "worker"), (1, "什么是Weir？", "Weir")]
    {
        page.ask(question).await?;
        page.says(n, word).await?;
        page.is_idle().await?;
        page.see(&format!("document.querySelectorAll('.turn')[{n}].querySelector('.sources li')"))
            .await?;
    }
    let others = "performance.getEntriesByType('resource').map(it => new URL(it.name).origin)\
                  .filter(it => it !== location.origin)";
    assert_eq!(page.get(others).await?, json!([]), "the page asks nobody else");
    page.close().await
}

#[tokio::test]
async fn enter_sends_shift_enter_breaks_the_line_and_composing_does_neither() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    page.write("one").await?;
    page.enter(SHIFT).await?;
    page.write("two").await?;
    page.see(r"document.querySelector('#question').value === 'one\ntwo'").await?;

    page.browser.compose("ni hao").await?;
    page.see("document.querySelector('#question').value.endsWith('ni hao')").await?;
    // As an input method has it that takes the key for itself: nothing is written.
    let taken = json!({
        "type": "rawKeyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229,
    });
    page.browser.devtools("Input.dispatchKeyEvent", taken).await?;
    assert!(model.calls().is_empty());
    assert_eq!(page.get("document.querySelectorAll('.turn').length").await?, 0);

    page.browser.type_text("你好").await?;
    page.see("document.querySelector('#question').value.endsWith('你好')").await?;
    page.enter(0).await?;
    page.says(0, "t").await?;
    page.is_idle().await?;
    assert_eq!(page.get("document.querySelector('.question').textContent").await?, "one\ntwo你好");
    page.close().await
}

#[tokio::test]
async fn an_error_is_shown_and_can_be_retried() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let broken = Script {
        status: Some(400),
        times: Some(1),
        text: Some("now it works".into()),
        ..Script::default()
    };
    page.ask(&broken.question()).await?;
    page.click(".trouble-box button").await?;
    page.says(0, "now it works").await?;
    page.is_idle().await?;
    assert_eq!(page.get("document.querySelectorAll('.turn').length").await?, 1);
    page.close().await
}

#[tokio::test]
async fn a_question_is_edited_and_asked_again_in_its_place_and_answers_are_made_anew() -> Result<()>
{
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let first = page.browser.tab().await?;
    for (turn, answer) in ["one", "two", "three"].into_iter().enumerate() {
        page.ask(&text(answer)).await?;
        page.says(turn, answer).await?;
        page.is_idle().await?;
    }
    let address = page.get("location.href").await?;
    let second = page.browser.open_tab(address.as_str().unwrap_or_default()).await?;
    page.says(2, "three").await?;
    page.browser.go_to(&first).await?;

    page.click(".turn:nth-child(2) .asked .tools button").await?;
    page.see("document.activeElement.matches('.edit textarea')").await?;
    page.browser.run("document.activeElement.select()").await?;
    page.browser.type_text(&text("otherwise")).await?;
    page.click(".edit [type=submit]").await?;
    page.says(1, "otherwise").await?;
    page.is_idle().await?;
    assert_eq!(page.get(TURNS).await?, 2);
    let asked = model.calls().last().map(|it| it.body.to_string()).unwrap_or_default();
    assert!(asked.contains("one") && !asked.contains("two"), "{asked}");

    page.browser.run("document.querySelector('.turn:last-child').id = 'old'").await?;
    page.click(".turn:last-child .actions button:nth-of-type(2)").await?;
    page.see(&format!("{TURNS} === 2 && document.querySelector('.turn:last-child').id !== 'old'"))
        .await?;
    page.says(1, "otherwise").await?;
    page.is_idle().await?;
    assert_eq!(model.calls().len(), 5);
    page.browser.go_to(&second).await?;
    page.says(1, "otherwise").await?;
    page.see(&format!("{TURNS} === 2")).await?;
    page.browser.page().refresh().await?;
    page.says(1, "otherwise").await?;
    assert_eq!(page.get(TURNS).await?, 2);
    page.close().await
}

const TURNS: &str = "document.querySelectorAll('.turn').length";

fn text(answer: &str) -> String {
    Script { text: Some(answer.to_owned()), ..Script::default() }.question()
}

#[tokio::test]
async fn what_one_writes_to_ask_again_stays_while_something_else_is_answered() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, page) = stage(&model).await?;
    page.ask(&text("one")).await?;
    page.says(0, "one").await?;
    page.is_idle().await?;
    page.click(".asked .tools button").await?;
    page.see("document.activeElement.matches('.edit textarea')").await?;
    page.browser.type_text("and more").await?;
    let session = page.get("location.hash.slice(2)").await?;
    let held = Script { tokens: Some(9), hold_after: Some(4), ..Script::default() }.question();
    let elsewhere = Client::of(&weir)?.user("local");
    elsewhere.submit(session.as_str().unwrap_or_default(), &held).await?;
    page.says(1, "t3").await?;
    page.see("document.querySelector('.edit [type=submit]').disabled").await?;
    assert!(
        page.get("document.querySelector('.edit textarea').value")
            .await?
            .to_string()
            .contains("and more")
    );
    model.release();
    page.is_idle().await?;
    page.see("!document.querySelector('.edit [type=submit]').disabled").await?;
    page.close().await
}
