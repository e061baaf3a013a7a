//! The browser helper against a page of its own.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header;
use process::Lifecycle;
use serde_json::json;
use testkit::browser::{Browser, CONTROL, SHIFT};
use tokio::net::TcpListener;

const PAGE: &str = "<!doctype html><meta charset=utf-8>\
<meta name=viewport content=width=device-width><title>你好</title><p id=p>one</p>\
<script>setTimeout(() => p.textContent = 'two', 30)</script>";

/// A page that nobody can use who does not see it, under the strictest policy.
const STRICT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Strict</title>\
<main><h1>Strict</h1><img src=data:,><button></button><textarea aria-label=text></textarea></main>\
<script src=/strict.js></script>";
const SCRIPT: &str = "
const field = document.querySelector('textarea');
globalThis.pressed = [];
for (const kind of ['keydown', 'compositionstart', 'compositionend']) {
    field.addEventListener(kind, (it) => pressed.push(`${it.type} ${it.key ?? it.data}`));
}
";
const POLICY: &str = "default-src 'none'; script-src 'self'; img-src data:; \
    require-trusted-types-for 'script'; trusted-types 'none'";

async fn site(life: &Lifecycle) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let script = ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT);
    let strict = ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(STRICT));
    let saved = ([(header::CONTENT_DISPOSITION, "attachment; filename=\"saved.txt\"")], "kept");
    let routes = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/strict", get(strict))
        .route("/strict.js", get(script))
        .route("/saved", get(saved));
    life.serve("site", async { axum::serve(listener, routes).await });
    Ok(url)
}

#[tokio::test]
async fn a_page_is_opened_asked_pictured_and_cut_off() -> Result<()> {
    let life = Lifecycle::new();
    let url = site(&life).await?;
    let browser = Browser::start().await?;
    browser.open(&url).await?;
    assert_eq!(browser.run("return document.title").await?, "你好");
    browser.wait_for("p.textContent === 'two'").await?;
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("page.png");
    browser.screenshot(&picture).await?;
    assert!(tokio::fs::read(&picture).await?.starts_with(b"\x89PNG"));

    browser.offline(true).await?;
    let fetch = "return fetch('/').then(it => it.status, () => 'cut')";
    assert_eq!(browser.run(fetch).await?, "cut");
    assert_eq!(browser.run("return navigator.onLine").await?, false);
    browser.offline(false).await?;
    assert_eq!(browser.run(fetch).await?, json!(200));
    browser.close().await
}

#[tokio::test]
async fn a_dropped_browser_leaves_no_process() -> Result<()> {
    let browser = Browser::start().await?;
    let capabilities = browser.page().capabilities().context("it has capabilities")?;
    let pid = capabilities["goog:processID"].as_u64().context("it has a process")?;
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie has ended: whoever adopted it has not looked yet.
        stat.is_empty() || stat.contains(") Z ")
    };
    assert!(!gone());
    drop(browser);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !gone() {
            tokio::task::yield_now().await;
        }
    });
    Ok(ended.await?)
}

#[tokio::test]
async fn a_person_has_a_language_a_phone_and_likes_it_dark() -> Result<()> {
    let life = Lifecycle::new();
    let url = site(&life).await?;
    let browser = Browser::start_in("zh-CN").await?;
    browser.open(&url).await?;
    let languages = "return [navigator.language, navigator.languages[0]]";
    assert_eq!(browser.run(languages).await?, json!(["zh-CN", "zh-CN"]));
    let dark = "matchMedia('(prefers-color-scheme: dark)').matches";
    assert_eq!(browser.run(&format!("return {dark}")).await?, false);
    browser.dark(true).await?;
    browser.wait_for(dark).await?;
    browser.dark(false).await?;
    browser.wait_for(&format!("!{dark}")).await?;
    browser.phone().await?;
    browser.wait_for("innerWidth === 390 && innerHeight === 844").await?;
    assert_eq!(
        browser
            .run("return [navigator.maxTouchPoints, matchMedia('(pointer: coarse)').matches]")
            .await?,
        json!([5, true])
    );
    browser.close().await
}

#[tokio::test]
async fn keys_are_pressed_words_composed_and_the_policy_hears_of_neither() -> Result<()> {
    let life = Lifecycle::new();
    let url = site(&life).await?;
    let browser = Browser::start().await?;
    assert_eq!(browser.run("return navigator.language").await?, "en-US");
    browser.open(&format!("{url}strict")).await?;
    browser.run("document.querySelector('textarea').focus()").await?;
    browser.type_text("one").await?;
    browser.press("Enter", SHIFT).await?;
    browser.press("b", 0).await?;
    browser.compose("ni").await?;
    browser.wait_for("document.querySelector('textarea').value === 'one\\nbni'").await?;
    browser.type_text("你").await?;
    browser.wait_for("document.querySelector('textarea').value === 'one\\nb你'").await?;
    let pressed = ["keydown Enter", "keydown b", "compositionstart ", "compositionend 你"];
    assert_eq!(browser.run("return pressed").await?, json!(pressed));
    browser.press("a", CONTROL).await?;
    browser.press("Delete", 0).await?;
    browser.wait_for("document.querySelector('textarea').value === ''").await?;
    browser.press("Tab", SHIFT).await?;
    browser.wait_for("document.activeElement.localName === 'button'").await?;
    assert_eq!(browser.problems().await?, Vec::<String>::new());
    browser.close().await
}

#[tokio::test]
async fn two_tabs_are_of_one_person_and_a_download_is_found() -> Result<()> {
    let life = Lifecycle::new();
    let url = site(&life).await?;
    let browser = Browser::start().await?;
    browser.open(&url).await?;
    browser.run("localStorage.setItem('who', 'me'); document.title = 'first'").await?;
    let first = browser.tab().await?;
    let second = browser.open_tab(&url).await?;
    assert_ne!(first, second);
    let said = browser.run("return [document.title, localStorage.getItem('who')]").await?;
    assert_eq!(said, json!(["你好", "me"]));
    browser.go_to(&first).await?;
    assert_eq!(browser.run("return document.title").await?, "first");

    let folder = tempfile::tempdir()?;
    browser.downloads(folder.path()).await?;
    browser
        .run("const link = document.createElement('a'); link.href = '/saved'; link.click()")
        .await?;
    let file = browser.downloaded(folder.path()).await?;
    assert_eq!(file.file_name().context("it has a name")?, "saved.txt");
    assert_eq!(tokio::fs::read_to_string(&file).await?, "kept");
    browser.close().await
}

#[tokio::test]
async fn what_the_browser_complains_of_is_heard_once() -> Result<()> {
    let life = Lifecycle::new();
    let url = site(&life).await?;
    let browser = Browser::start().await?;
    browser.open(&format!("{url}strict")).await?;
    assert_eq!(browser.problems().await?, Vec::<String>::new());
    for (script, word) in [
        ("console.error('said so')", "said so"),
        ("setTimeout(() => nothing(), 0)", "nothing is not defined"),
        ("setTimeout(() => document.body.innerHTML = 'x', 0)", "TrustedHTML"),
        ("fetch('/')", "Content Security Policy"),
        (
            "document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/' }))",
            "Content Security Policy",
        ),
    ] {
        browser.run(script).await?;
        let mut heard = Vec::new();
        let waited = tokio::time::timeout(std::time::Duration::from_secs(10), async {
            while !heard.iter().any(|it: &String| it.contains(word)) {
                heard.extend(browser.problems().await?);
            }
            anyhow::Ok(())
        });
        waited.await.with_context(|| format!("{script}: {word}"))??;
    }
    browser.run("console.warn('only a word')").await?;
    assert_eq!(browser.problems().await?, Vec::<String>::new());
    browser.close().await
}

#[tokio::test]
async fn axe_runs_under_the_strictest_policy_and_names_what_is_in_the_way() -> Result<()> {
    let life = Lifecycle::new();
    let url = site(&life).await?;
    let browser = Browser::start().await?;
    browser.open(&format!("{url}strict")).await?;
    let found = browser.axe().await?;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("critical: button-name") && found[0].contains("<button></button>"));
    assert!(found[1].contains("critical: image-alt"), "{found:?}");
    browser.run("document.querySelector('button').textContent = 'Send'; document.querySelector('img').alt = ''").await?;
    assert_eq!(browser.axe().await?, Vec::<String>::new());
    assert_eq!(browser.problems().await?, Vec::<String>::new());
    browser.close().await
}
