//! What is remembered about a person, and conversations as files.

use anyhow::Result;
use serde_json::Value;
use testkit::model::{FakeModel, Script};

use super::{Page, stage};

/// The memories that are shown, as an expression.
const SHOWN: &str = "[...document.querySelectorAll('.memories p')].map(it => it.textContent)";

async fn remember(page: &Page, text: &str) -> Result<()> {
    page.browser.run("document.querySelector('dialog form input').focus()").await?;
    page.browser.type_text(text).await?;
    page.enter(0).await?;
    page.see(&format!("{SHOWN}.includes('{text}')")).await
}

#[tokio::test]
async fn memories_are_seen_added_found_and_forgotten() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    page.browser.run("document.querySelector('#tools [aria-label=Memory]').focus()").await?;
    page.enter(0).await?;
    page.see("document.querySelector('dialog')?.innerText.includes('Nothing is remembered')")
        .await?;
    remember(&page, "Prefers short answers.").await?;
    remember(&page, "喜欢喝茶").await?;
    page.see(&format!("{SHOWN}.length === 2")).await?;
    page.browser.run("document.querySelector('dialog [type=search]').focus()").await?;
    page.browser.type_text("喝茶").await?;
    page.see(&format!("{SHOWN}[0] === '喜欢喝茶'")).await?;
    page.click(".memories li:first-child button").await?;
    page.see(&format!("!{SHOWN}.includes('喜欢喝茶')")).await?;

    page.browser.press("Escape", 0).await?;
    page.see("!document.querySelector('dialog')").await?;
    assert_eq!(page.get("document.activeElement.getAttribute('aria-label')").await?, "Memory");
    page.click("#tools [aria-label=Memory]").await?;
    page.see(&format!("JSON.stringify({SHOWN}) === '[\"Prefers short answers.\"]'")).await?;
    page.close().await
}

#[tokio::test]
async fn a_conversation_is_exported_as_markdown_and_as_json() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let answer = "**Bold** and `code`.";
    let script = Script { text: Some(answer.into()), ..Script::default() };
    page.ask(&script.question()).await?;
    page.says(0, "Bold and code.").await?;
    page.is_idle().await?;
    for (item, ending) in [(1, "md"), (2, "json")] {
        let folder = tempfile::tempdir()?;
        page.browser.downloads(folder.path()).await?;
        page.click("#tools [aria-haspopup]").await?;
        page.click(&format!("#tools [role=menuitem]:nth-child({item})")).await?;
        let file = page.browser.downloaded(folder.path()).await?;
        assert!(file.extension().is_some_and(|it| it == ending), "{}", file.display());
        let text = tokio::fs::read_to_string(&file).await?;
        if ending == "md" {
            assert!(text.contains(answer) && text.contains("> {"), "{text}");
        } else {
            let read: Value = serde_json::from_str(&text)?;
            assert_eq!(read["turns"][0]["said"][0]["text"], answer);
            assert_eq!(read["turns"][0]["status"], "completed");
        }
    }
    page.close().await
}
