//! The list of conversations: new, found, renamed, deleted, gone on with; and
//! the same in two tabs.

use anyhow::Result;
use serde_json::json;
use testkit::model::{FakeModel, Script};

use super::{Page, stage};
use crate::stage::{said, tokens};

/// The titles in the list, as an expression.
const TITLES: &str = "[...document.querySelectorAll('#sessions .name')].map(it => it.textContent)";

/// A question that is answered at once.
fn plain(answer: &str) -> String {
    Script { text: Some(answer.to_owned()), ..Script::default() }.question()
}

/// Asks in a conversation of its own, and gives that a title.
async fn talk(page: &Page, answer: &str, title: &str) -> Result<()> {
    page.click("#new").await?;
    page.see("!document.querySelector('#welcome').hidden").await?;
    page.ask(&plain(answer)).await?;
    page.says(0, answer).await?;
    page.is_idle().await?;
    page.see("document.querySelector('#sessions li:first-child [aria-current=page]')").await?;
    rename(page, title).await
}

/// Renames the conversation that is shown.
async fn rename(page: &Page, title: &str) -> Result<()> {
    page.click("#sessions li:has([aria-current]) .holder > button").await?;
    page.click("#sessions [role=menuitem]:first-child").await?;
    page.see("document.activeElement.matches('.renaming input')").await?;
    page.browser.type_text(title).await?;
    page.enter(0).await?;
    page.see(&format!("document.querySelector('#title').textContent === {}", json!(title))).await
}

#[tokio::test]
async fn conversations_are_listed_renamed_searched_opened_and_deleted() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    talk(&page, "about rivers", "Water").await?;
    talk(&page, "关于山", "山").await?;
    page.see(&format!("JSON.stringify({TITLES}) === '[\"山\",\"Water\"]'")).await?;

    page.browser.run("document.querySelector('#search').focus()").await?;
    page.browser.type_text("rivers").await?;
    page.see(&format!("JSON.stringify({TITLES}) === '[\"Water\"]'")).await?;
    page.click("#sessions .entry").await?;
    page.says(0, "about rivers").await?;
    page.see("document.title === 'Water · Weir'").await?;

    page.browser.page().refresh().await?;
    page.says(0, "about rivers").await?;
    page.see(&format!("{TITLES}.length === 2")).await?;
    page.click("#sessions li:has([aria-current]) .holder > button").await?;
    page.click("#sessions [role=menuitem].danger").await?;
    page.see("document.querySelector('dialog').innerText.includes('Water')").await?;
    assert_eq!(
        page.get("document.activeElement.textContent").await?,
        "Cancel",
        "what cannot be taken back needs more than Enter"
    );
    page.click("dialog .danger").await?;
    page.see(&format!("JSON.stringify({TITLES}) === '[\"山\"]'")).await?;
    page.see("!document.querySelector('#welcome').hidden && !location.hash").await?;
    page.close().await
}

#[tokio::test]
async fn a_title_is_text_and_one_that_is_too_long_changes_nothing() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    talk(&page, "a", "<img src=x onerror=window.hurt=1>").await?;
    page.click("#sessions li:has([aria-current]) .holder > button").await?;
    page.click("#sessions [role=menuitem]:first-child").await?;
    page.see("document.activeElement.matches('.renaming input')").await?;
    // 200 characters, as the field allows, but 600 bytes.
    page.browser.type_text(&"山".repeat(200)).await?;
    page.enter(0).await?;
    page.see("document.querySelector('#unlisted').textContent.includes('200 bytes')").await?;
    page.see(&format!("{TITLES}[0].startsWith('<img')")).await?;
    assert_eq!(page.get("window.hurt ?? 0").await?, 0);
    page.close().await
}

#[tokio::test]
async fn two_tabs_show_one_conversation_as_it_grows_whoever_asks() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let first = page.browser.tab().await?;
    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    page.ask(&held.question()).await?;
    page.says(0, "t4").await?;
    let address = page.get("location.href").await?;
    let second = page.browser.open_tab(address.as_str().unwrap_or_default()).await?;
    page.says(0, "t4").await?;
    model.release();
    page.says(0, "t19").await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(20).trim_end());
    page.ask(&tokens(7, 0)).await?;
    page.is_idle().await?;
    page.browser.go_to(&first).await?;
    page.says(1, "t6").await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(20).trim_end());
    assert_eq!(page.answer(1).await?, said(7).trim_end());

    // Deleted in one tab, it is gone in the other.
    page.click("#sessions li:has([aria-current]) .holder > button").await?;
    page.click("#sessions [role=menuitem].danger").await?;
    page.click("dialog .danger").await?;
    page.see(&format!("{TITLES}.length === 0")).await?;
    page.browser.go_to(&second).await?;
    page.see("document.querySelector('#notice').textContent.includes('deleted')").await?;
    page.see("document.querySelectorAll('.turn').length === 0").await?;
    page.close().await
}

/// A list of many conversations whose pages come slowly while it is refreshed
/// again and again.
const HURRIED: &str = "(async () => { \
    const base = document.querySelector('script[type=module]').src.replace(/[^/]*$/, ''); \
    const { Sidebar } = await import(base + 'sidebar/sidebar.js'); \
    const all = Array.from({ length: 450 }, (_, at) => ({ sessionId: `s${at}`, \
        title: at === 440 ? 'needle' : `hay ${at}`, updatedAt: new Date(1e12 - at * 1000).toISOString() })); \
    const later = value => new Promise(resolve => setTimeout(() => resolve(value), 300)); \
    const sessions = (cursor = '0', limit = 50) => { \
        const [from, to] = [Number(cursor), Number(cursor) + limit]; \
        return later({ sessions: all.slice(from, to), cursor: to < all.length ? String(to) : undefined }); \
    }; \
    const sidebar = new Sidebar({ isWaiting: false, sessions }, { open() {}, renamed() {} }); \
    sidebar.refresh(); \
    setInterval(() => sidebar.refresh(), 400); \
})()";

#[tokio::test]
async fn a_search_finds_old_conversations_however_often_the_list_is_refreshed() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    page.browser.run(HURRIED).await?;
    page.see(&format!("{TITLES}.length === 50")).await?;
    page.browser.run("document.querySelector('#search').focus()").await?;
    page.browser.type_text("needle").await?;
    page.see(&format!("JSON.stringify({TITLES}) === '[\"needle\"]'")).await?;
    page.close().await
}
