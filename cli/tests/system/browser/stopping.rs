//! Stopping an answer, and taking back a question that waits.

use anyhow::Result;
use testkit::model::{Ending, FakeModel, Script};

use super::{RUNNING, stage};
use crate::stage::said;

#[tokio::test]
async fn the_stop_button_stops_the_model_and_keeps_what_was_said() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    page.ask(&held.question()).await?;
    page.says(0, "t4").await?;
    page.see(RUNNING).await?;
    page.click("#stop").await?;
    assert_eq!(model.wait_for_hangup().await?.ending, Ending::HungUp);
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(5).trim_end());
    page.close().await
}

#[tokio::test]
async fn a_question_that_waits_says_how_many_come_before_it_and_can_be_taken_back() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    page.ask(&held.question()).await?;
    page.says(0, "t4").await?;
    page.ask("second").await?;
    page.ask("third").await?;
    let waits = |turn: usize, before: usize| {
        format!(
            "document.querySelectorAll('.turn')[{turn}]?.querySelector('.queue')\
             ?.innerText.includes('behind {before} question')"
        )
    };
    page.see(&waits(1, 1)).await?;
    page.see(&waits(2, 2)).await?;
    page.click(".turn:nth-child(2) .queue button").await?;
    model.release();
    page.is_idle().await?;
    page.see("document.querySelectorAll('.turn')[1].dataset.status === 'cancelled'").await?;
    page.see("document.querySelectorAll('.turn')[2].dataset.status === 'completed'").await?;
    assert_eq!(page.answer(0).await?, said(20).trim_end());
    assert!(model.calls().iter().all(|it| !it.body.to_string().contains("second")));
    page.close().await
}
