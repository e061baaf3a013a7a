//! The browser helper against a page of its own.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use process::Lifecycle;
use serde_json::json;
use testkit::browser::Browser;
use tokio::net::TcpListener;

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>你好</title><p id=p>one</p>\
<script>setTimeout(() => p.textContent = 'two', 30)</script>";

async fn site(life: &Lifecycle) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let routes = Router::new().route("/", get(Html(PAGE)));
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
