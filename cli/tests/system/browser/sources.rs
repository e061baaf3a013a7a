//! The places that an answer names: marks, the passage beside them, the list.

use anyhow::Result;
use serde_json::json;
use testkit::browser::Browser;
use testkit::model::Script;
use testkit::process::Weir;

use super::Page;
use crate::tools::{Surroundings, call, configured};

const PREVIEW: &str = "document.querySelector('.preview')";
const FOCUSED: &str = "document.activeElement";

/// A document that is up to something.
const DOCUMENT: &str = "# The dam\n\n## How high is it?\n\nThe dam is **forty metres** high. \
    <img src=x onerror=window.hurt=1> ![x](http://127.0.0.1:9/x.png) [y](javascript:window.hurt=2)\n";

/// A page with an answer that names a place twice, and one that there is not.
async fn answered(around: &Surroundings) -> Result<(Weir, Page)> {
    let folder = around.folder().join("docs");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("dam.md"), DOCUMENT)?;
    let file = around.configure(&format!("[knowledge]\nfolders = [{}]\n", json!(folder)))?;
    let flags = ["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
    let page = Page::open(&weir.value("page")?).await?;
    let said = "It is forty metres high [1]. Nobody says why [77]. Once more: forty [1].";
    let script = Script {
        tool_calls: vec![call("k", "search_knowledge", &json!({ "query": "how high is the dam" }))],
        then: vec![Script { text: Some(said.to_owned()), ..Script::default() }],
        ..Script::default()
    };
    page.ask(&script.question()).await?;
    page.says(0, "Once more").await?;
    page.is_idle().await?;
    page.see("document.querySelectorAll('.mark').length === 2").await?;
    Ok((weir, page))
}

/// Presses the mouse in the middle of what a selector finds.
async fn press_at(browser: &Browser, selector: &str) -> Result<()> {
    let script = format!(
        "const box = document.querySelector({}).getBoundingClientRect(); \
         return [box.left + box.width / 2, box.top + box.height / 2];",
        json!(selector)
    );
    let place = browser.run(&script).await?;
    for kind in ["mousePressed", "mouseReleased"] {
        let event = json!({
            "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
        });
        browser.devtools("Input.dispatchMouseEvent", event).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_mark_opens_the_passage_by_mouse_and_a_press_beside_it_closes_it() -> Result<()> {
    let around = Surroundings::start().await?;
    let (_weir, page) = answered(&around).await?;
    page.see("document.querySelector('.answer').innerText.includes('[77]')").await?;
    press_at(&page.browser, ".mark").await?;
    page.see(PREVIEW).await?;
    for part in ["How high is it?", "dam.md", "forty metres", "<img src=x onerror"] {
        page.see(&format!("{PREVIEW}.innerText.includes({})", json!(part))).await?;
    }
    let inside = "(() => { const it = document.querySelector('.preview').getBoundingClientRect(); \
                  return it.left >= 0 && it.right <= innerWidth && it.top >= 0; })()";
    page.see(inside).await?;
    let found = "[window.hurt ?? 0, document.querySelectorAll('main :is(img, script)').length]";
    assert_eq!(page.get(found).await?, json!([0, 0]));
    press_at(&page.browser, ".question").await?;
    page.see(&format!("!{PREVIEW}")).await?;

    press_at(&page.browser, ".mark").await?;
    page.see(PREVIEW).await?;
    press_at(&page.browser, ".preview .follow").await?;
    page.see(&format!("!{PREVIEW} && document.querySelector('.sources details').open")).await?;
    page.see(&format!("{FOCUSED}.closest('.sources details')")).await?;
    press_at(&page.browser, ".sources .back").await?;
    page.see(&format!("{FOCUSED} === document.querySelector('.mark')")).await?;
    let elsewhere = "performance.getEntriesByType('resource').filter(it => !it.name.startsWith(location.origin))";
    assert_eq!(page.get(elsewhere).await?, json!([]), "nothing of a document is fetched");
    page.close().await
}

#[tokio::test]
async fn a_mark_is_reached_opened_and_left_with_the_keyboard() -> Result<()> {
    let around = Surroundings::start().await?;
    let (_weir, page) = answered(&around).await?;
    page.browser.run("document.querySelectorAll('.mark')[1].focus()").await?;
    page.enter(0).await?;
    page.see(&format!("{PREVIEW} && {FOCUSED} === {PREVIEW}")).await?;
    page.see("document.querySelectorAll('.mark')[1].getAttribute('aria-expanded') === 'true'")
        .await?;
    page.browser.press("Escape", 0).await?;
    page.see(&format!("!{PREVIEW} && {FOCUSED} === document.querySelectorAll('.mark')[1]")).await?;

    page.enter(0).await?;
    page.see(PREVIEW).await?;
    assert_eq!(page.browser.axe().await?, [""; 0]);
    page.browser.press("Tab", 0).await?;
    page.see(&format!("{PREVIEW}.contains({FOCUSED}) && {FOCUSED} !== {PREVIEW}")).await?;
    // Who goes on past it has left it.
    page.browser.run("document.querySelector('#question').focus()").await?;
    page.see(&format!("!{PREVIEW}")).await?;
    page.close().await
}

#[tokio::test]
async fn on_a_phone_the_passage_lies_at_the_lower_edge() -> Result<()> {
    let around = Surroundings::start().await?;
    let (_weir, page) = answered(&around).await?;
    page.browser.phone().await?;
    page.click(".mark").await?;
    page.see(PREVIEW).await?;
    page.see(&format!("Math.abs({PREVIEW}.getBoundingClientRect().bottom - innerHeight) < 2"))
        .await?;
    page.see("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        .await?;
    page.see("document.querySelector('.mark').getBoundingClientRect().height >= 24").await?;
    assert_eq!(page.browser.axe().await?, [""; 0]);
    page.close().await
}
