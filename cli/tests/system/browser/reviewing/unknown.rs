//! A call that was under way when everything died: nobody knows what came of
//! it, and the human is told so.

use anyhow::Result;
use serde_json::json;
use testkit::process::Weir;

use super::super::address;
use super::{Desk, card};
use crate::tools::{Surroundings, configured};

#[tokio::test]
async fn a_call_that_nobody_knows_the_outcome_of_is_asked_about_as_such() -> Result<()> {
    let around = Surroundings::start().await?;
    let file = around.configure("")?;
    let data = around.folder().join("data").display().to_string();
    let start = async |http: &str| {
        let flags = ["up", "--http", http, "--grpc", "127.0.0.1:0", "--data", &data];
        Weir::start(configured(&flags, &file, "sk-one")).await
    };
    let mut first = start("127.0.0.1:0").await?;
    let page = super::Page::open(&first.value("page")?).await?;
    let here = address(&first)?.to_string();
    let ask = Desk::question(&[("a", "t__hold", json!({ "name": "x" }))]);
    page.ask(&ask).await?;
    page.choose("a", "accept").await?;
    around.server.wait_for_calls(1).await?;
    first.kill().await?;

    let _second = start(&here).await?;
    page.waiting(1).await?;
    let told = format!("{}.innerText", card("a"));
    for part in ["may or may not have been carried out", "Do it once more", "Say what happened"] {
        page.see(&format!("{told}.includes({})", json!(part))).await?;
    }
    page.choose("a", "respond").await?;
    page.browser.type_text("it was done").await?;
    page.submit("a").await?;
    page.see("[...document.querySelectorAll('.answer')].at(-1)?.innerText.includes('it was done')")
        .await?;
    assert_eq!(around.server.calls().len(), 1, "nothing is done twice");
    page.close().await
}
