//! How the page looks and is reached: small screens, keyboards, screen readers.

use anyhow::{Result, ensure};
use testkit::browser::{Browser, SHIFT};
use testkit::model::{FakeModel, Script};

use super::{Page, RUNNING, scripted, stage};
use crate::stage::said;

#[tokio::test]
async fn a_phone_sees_the_page_without_sideways_scrolling() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    page.browser.phone().await?;
    let wide = format!("{} ```\n{}\n```", "word ".repeat(40), "x".repeat(300));
    let script = Script { text: Some(wide), ..Script::default() };
    page.ask(&script.question()).await?;
    page.says(0, "xxx").await?;
    page.is_idle().await?;
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(page.get(overflow).await?, 0);

    // Neither what is nested without end nor what is heaped on one letter leaves
    // its place.
    let deep = format!(
        "{}deep\n\n{}quoted\n\nZ{}\n\n{}",
        "* ".repeat(60),
        "> ".repeat(60),
        "\u{301}".repeat(500),
        "1. a\n".repeat(3) + &"y".repeat(300)
    );
    let script = Script { text: Some(deep), ..Script::default() };
    page.ask(&script.question()).await?;
    page.says(1, "yyy").await?;
    page.is_idle().await?;
    assert_eq!(page.get(overflow).await?, 0);
    let last = "document.querySelector('.turn:last-child .answer')";
    let inside = format!(
        "[...{last}.querySelectorAll('p')].every(it => it.getBoundingClientRect().width > 60 \
         && it.getBoundingClientRect().right <= document.documentElement.clientWidth)"
    );
    assert_eq!(page.get(&inside).await?, true);
    let heaped = format!("({last}.textContent.match(/\\u0301/g) ?? []).length");
    ensure!(page.get(&heaped).await?.as_u64().is_some_and(|it| (1..10).contains(&it)));

    // The list is a drawer, and all that can be reached while it is open.
    page.click("#menu").await?;
    page.see("document.querySelector('#sidebar').getBoundingClientRect().left === 0").await?;
    page.see("document.querySelector('#room').inert").await?;
    page.click("#new").await?;
    page.see("!document.querySelector('#room').inert").await?;
    page.see("!document.querySelector('#welcome').hidden").await?;
    assert_eq!(page.get(overflow).await?, 0);
    page.close().await
}

/// An answer with everything that Markdown has.
const RICH: &str = "# Title\n\nSome **bold** text with a [link](https://example.org) and `code`.\n\n\
                    | a | b |\n| --- | --- |\n| 1 | 2 |\n\n- one\n- two\n\n```rust\nfn main() {}\n```\n\n> quoted\n";

#[tokio::test]
async fn nothing_grave_stands_in_the_way_of_a_screen_reader_in_light_and_dark() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    for dark in [false, true] {
        page.browser.dark(dark).await?;
        page.click("#new").await?;
        page.see("!document.querySelector('#welcome').hidden").await?;
        check(&page, "the welcome").await?;
        let script =
            Script { reasoning: Some("Hm.".into()), text: Some(RICH.into()), ..Script::default() };
        page.ask(&script.question()).await?;
        page.says(0, "quoted").await?;
        page.is_idle().await?;
        check(&page, "an answer").await?;
        page.click("#tools [aria-label=Memory]").await?;
        page.see("document.querySelector('dialog')").await?;
        check(&page, "the memory").await?;
        page.browser.press("Escape", 0).await?;
        page.click("#sessions .holder > button").await?;
        check(&page, "a menu").await?;
        page.browser.press("Escape", 0).await?;
    }
    page.close().await
}

async fn check(page: &Page, what: &str) -> Result<()> {
    let found = page.browser.axe().await?;
    ensure!(found.is_empty(), "{what}:\n{}", found.join("\n"));
    Ok(())
}

#[tokio::test]
async fn everything_is_done_with_the_keyboard_alone() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let focus = "document.activeElement";
    page.see(&format!("{focus}.id === 'question'")).await?;
    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    page.browser.type_text(&held.question()).await?;
    page.enter(0).await?;
    page.says(0, "t4").await?;
    page.see(RUNNING).await?;
    walk(&page, 0, "#stop").await?;
    page.enter(0).await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(5).trim_end());

    // The first stop on the page leads past the list, to the question.
    page.browser.page().refresh().await?;
    page.says(0, "t4").await?;
    page.browser.run("document.activeElement.blur()").await?;
    walk(&page, SHIFT, "#question").await?;
    walk(&page, SHIFT, "#sessions .holder > button").await?;
    page.enter(0).await?;
    page.see(&format!("{focus}.matches('[role=menuitem]')")).await?;
    page.browser.press("ArrowDown", 0).await?;
    page.see(&format!("{focus}.matches('[role=menuitem].danger')")).await?;
    page.browser.press("Escape", 0).await?;
    page.see(&format!("{focus}.matches('#sessions .holder > button')")).await?;
    walk(&page, SHIFT, "#skip").await?;
    page.enter(0).await?;
    page.see(&format!("{focus}.id === 'question'")).await?;
    page.close().await
}

/// Walks with Tab until what is looked for has the focus.
async fn walk(page: &Page, modifiers: u8, wanted: &str) -> Result<()> {
    for _ in 0..60 {
        page.browser.press("Tab", modifiers).await?;
        if page.get(&format!("document.activeElement.matches('{wanted}')")).await? == true {
            return Ok(());
        }
    }
    anyhow::bail!("Tab does not lead to {wanted}")
}

#[tokio::test]
async fn a_browser_that_speaks_chinese_gets_a_chinese_page() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = scripted(&model).await?;
    let page = Page { browser: Browser::start_in("zh-CN").await? };
    page.go(&weir.value("page")?).await?;
    page.see("document.documentElement.lang === 'zh'").await?;
    page.see("document.querySelector('#welcome h2').textContent === '想了解什么？'").await?;
    page.see("document.querySelector('#question').placeholder === '输入问题'").await?;
    page.close().await
}

#[tokio::test]
async fn the_page_follows_what_is_said_until_one_goes_up_however_little() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let lines = "line\n\n".repeat(60);
    let script = Script {
        text: Some(lines),
        tokens: Some(90),
        every_ms: 20,
        hold_after: Some(60),
        ..Script::default()
    };
    page.ask(&script.question()).await?;
    let below = "document.documentElement.scrollHeight - scrollY - innerHeight";
    page.see(&format!("document.documentElement.scrollHeight > 2 * innerHeight && {below} < 4"))
        .await?;
    page.browser.run("scrollBy(0, -12)").await?;
    page.see(&format!("{below} > 8")).await?;
    model.release();
    page.is_idle().await?;
    page.see(&format!("{below} > 200 && !document.querySelector('#latest').hidden")).await?;
    page.click("#latest").await?;
    page.see(&format!("{below} < 4 && document.querySelector('#latest').hidden")).await?;
    page.close().await
}
