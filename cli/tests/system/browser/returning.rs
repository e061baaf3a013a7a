//! Reloads, cut connections, servers that go and come back, two tabs: nothing
//! is lost, nothing doubled.

use anyhow::Result;
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;
use testkit::proxy::Proxy;

use super::{Page, TROUBLE, address, stage};
use crate::stage::{Client, is_end, said, tokens, weir};

#[tokio::test]
async fn a_reload_in_the_middle_and_a_cut_connection_lose_nothing() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, page) = stage(&model).await?;
    let proxy = Proxy::start(address(&weir)?).await?;
    page.go(&format!("http://{}/", proxy.address())).await?;
    page.ask(&tokens(150, 20)).await?;
    page.says(0, "t10 ").await?;
    page.browser.page().refresh().await?;
    page.says(0, "t40 ").await?;

    proxy.cut();
    page.see(TROUBLE).await?;
    let before = page.answer(0).await?;
    proxy.mend();
    page.says(0, "t149").await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(150).trim_end());
    assert!(before.len() < said(150).len());
    assert_eq!(model.calls().len(), 1);
    page.close().await
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
    let mut first = start("127.0.0.1:0").await?;
    let page = Page::open(&first.value("page")?).await?;
    let held = Script { tokens: Some(30), hold_after: Some(10), ..Script::default() };
    page.ask(&held.question()).await?;
    page.says(0, "t9").await?;
    first.kill().await?;
    model.release();
    page.see(TROUBLE).await?;

    let _second = start(&address(&first)?.to_string()).await?;
    page.says(0, "t29").await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(30).trim_end());
    page.close().await
}

#[tokio::test]
async fn a_device_that_was_offline_while_the_answer_came_catches_up() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, page) = stage(&model).await?;
    page.ask(&tokens(300, 40)).await?;
    page.says(0, "t10 ").await?;
    page.browser.offline(true).await?;
    page.see("document.querySelector('#connection').textContent.includes('Offline')").await?;
    page.write("what I wrote meanwhile").await?;

    // Some twelve seconds, in which the answer ends.
    let client = Client::of(&weir)?.user("local");
    let session = page.get("location.hash.slice(2)").await?;
    let session = session.as_str().unwrap_or_default();
    let told = client.events(session, "start").await?.read_until(is_end).await?;
    assert!(told.last().is_some_and(|it| it.is("completed")));
    assert!(page.answer(0).await?.len() < said(300).len() / 2);

    page.browser.offline(false).await?;
    page.says(0, "t299").await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(300).trim_end());
    page.see("document.querySelector('#connection').textContent === ''").await?;
    assert_eq!(
        page.get("document.querySelector('#question').value").await?,
        "what I wrote meanwhile"
    );
    page.close().await
}

#[tokio::test]
async fn a_question_asked_while_the_server_is_away_is_kept_and_asked_once() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, page) = stage(&model).await?;
    let proxy = Proxy::start(address(&weir)?).await?;
    page.go(&format!("http://{}/", proxy.address())).await?;
    proxy.cut();
    page.see(TROUBLE).await?;
    page.ask(&tokens(5, 0)).await?;
    page.see("document.querySelector('.trouble-box')").await?;
    // The page sends by itself what it could not send.
    proxy.mend();
    page.says(0, "t4").await?;
    page.is_idle().await?;
    page.see("!document.querySelector('.trouble-box')").await?;
    assert_eq!(page.get("document.querySelectorAll('.turn').length").await?, 1);
    page.browser.page().refresh().await?;
    page.says(0, "t4").await?;
    page.is_idle().await?;
    assert_eq!(model.calls().len(), 1);
    page.close().await
}

#[tokio::test]
async fn an_address_that_names_no_conversation_is_told_and_one_can_ask_all_the_same() -> Result<()>
{
    let model = FakeModel::start().await?;
    let (weir, page) = stage(&model).await?;
    for bad in ["#/%zz", "#/.", "#/.."] {
        page.browser.open("about:blank").await?;
        page.browser.open(&format!("{}{bad}", weir.value("page")?)).await?;
        page.see("document.querySelector('#notice').textContent.includes('no conversation')")
            .await?;
    }
    page.ask(&tokens(3, 0)).await?;
    page.says(0, "t2").await?;
    page.see("document.querySelector('#notice').hidden").await?;
    page.close().await
}
