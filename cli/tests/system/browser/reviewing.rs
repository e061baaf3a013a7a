//! Calls that wait for a human, as the human sees and decides them.

mod elsewhere;
mod unknown;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::browser::SHIFT;
use testkit::model::Script;
use testkit::process::Weir;

use super::Page;
use crate::tools::{Surroundings, call, configured};

/// A model, a server of tools and a page; `rules` stand behind `[tools.rules]`.
struct Desk {
    around: Surroundings,
    weir: Weir,
    page: Page,
}

impl Desk {
    async fn new(rules: &str) -> Result<Self> {
        let around = Surroundings::start().await?;
        let file = around.configure(&format!("[tools.rules]\n{rules}\n"))?;
        let flags = ["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
        let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
        let page = Page::open(&weir.value("page")?).await?;
        Ok(Self { around, weir, page })
    }

    /// Asks for these calls, and what is said when all have their results.
    async fn ask(&self, calls: &[(&str, &str, Value)]) -> Result<()> {
        self.page.ask(&Self::question(calls)).await
    }

    /// The question that makes the model do so.
    fn question(calls: &[(&str, &str, Value)]) -> String {
        let calls = calls.iter().map(|(id, name, arguments)| call(id, name, arguments));
        let script = Script {
            text: Some("I would do this.".to_owned()),
            tool_calls: calls.collect(),
            then: vec![Script { echo_tools: true, ..Script::default() }],
            ..Script::default()
        };
        script.question()
    }

    /// The arguments that the server's tools were really called with.
    fn made(&self) -> Vec<Value> {
        let calls = self.around.server.calls();
        calls.into_iter().map(|it| json!([it.tool, it.arguments])).collect()
    }
}

/// The card of a call, as an expression.
fn card(id: &str) -> String {
    format!("document.querySelector('.pending[data-call={id}]')")
}

/// The state of the n-th tool that is shown, as an expression.
fn state(at: usize) -> String {
    format!("document.querySelectorAll('.tool')[{at}]?.dataset.state")
}

impl Page {
    /// Waits for the card of a call, and presses one of its four buttons.
    async fn choose(&self, id: &str, choice: &str) -> Result<()> {
        self.click(&format!(".pending[data-call={id}] [data-choice={choice}]")).await
    }

    /// Ends what one writes in a card.
    async fn submit(&self, id: &str) -> Result<()> {
        let buttons = format!(".pending[data-call={id}] form button[type=submit]:enabled");
        self.click(&buttons).await
    }

    /// Waits until so many calls wait.
    async fn waiting(&self, calls: usize) -> Result<()> {
        self.see(&format!("document.querySelectorAll('.review .pending').length === {calls}")).await
    }

    /// Puts a text in the place of all that stands where one writes.
    async fn overwrite(&self, text: &str) -> Result<()> {
        self.browser.run("document.activeElement.select()").await?;
        self.browser.type_text(text).await
    }
}

#[tokio::test]
async fn a_call_that_is_accepted_is_made_with_what_was_shown() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&[("a", "t__count", json!({ "by": 7 }))]).await?;
    page.waiting(1).await?;
    page.see(&format!("{} === 'waiting'", state(0))).await?;
    let shown = page.get(&format!("{}.innerText", card("a"))).await?;
    let shown = shown.as_str().context("a text")?;
    for part in ["count", "· t", "count in t: by = 7", "Nothing has been done yet", "\"by\": 7"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    page.see("document.querySelector('#spoken').textContent.includes('waits for your decision')")
        .await?;
    page.see("document.activeElement.id === 'question'").await?;
    assert!(desk.made().is_empty(), "nothing is done before");

    // Pressed with the keyboard: afterwards one is where one writes.
    page.browser.run("document.querySelector('.pending [data-choice=accept]').focus()").await?;
    page.enter(0).await?;
    page.says(1, "the counter is 7").await?;
    page.waiting(0).await?;
    page.see(&format!("{} === 'done'", state(0))).await?;
    page.see("document.activeElement.id === 'question'").await?;
    assert_eq!(desk.made(), [json!(["count", { "by": 7 }])]);
    desk.page.close().await
}

#[tokio::test]
async fn another_question_closes_a_review_only_when_one_means_it() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&[("a", "t__count", json!({ "by": 7 }))]).await?;
    page.waiting(1).await?;
    let next = Script { text: Some("something else".to_owned()), ..Script::default() }.question();
    page.ask(&next).await?;
    page.click("dialog.ask .quiet").await?;
    page.see("!document.querySelector('dialog')").await?;
    let kept = page.get("document.querySelector('#question').value").await?;
    assert_eq!(kept, next, "what was written is not lost");
    page.waiting(1).await?;
    page.browser.run("document.querySelector('#question').focus()").await?;
    page.enter(0).await?;
    page.click("dialog.ask .danger").await?;
    page.says(1, "something else").await?;
    page.waiting(0).await?;
    page.see(&format!("{} === 'undecided'", state(0))).await?;
    let note = page.get("document.querySelector('.tool-note').innerText").await?;
    ensure!(note.as_str().is_some_and(|it| it.contains("the next question closed")), "{note}");
    assert!(desk.made().is_empty(), "and nothing was done");
    desk.page.close().await
}

#[tokio::test]
async fn arguments_are_edited_only_into_json_and_what_changes_is_seen() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&[("a", "t__count", json!({ "by": 1 }))]).await?;
    page.choose("a", "edit").await?;
    page.see("document.activeElement.matches('textarea.json')").await?;
    let accept = "document.querySelector('.pending form button[type=submit]')";
    let check = "document.querySelector('.pending .check').textContent";
    for (wrong, place) in [
        ("{\n  \"by\": 2\n  \"x\": 1\n}", "Line 3, column 3"),
        ("{\"by\": 02}", "Line 1, column 8"),
        ("[1]", "must be an object"),
    ] {
        page.overwrite(wrong).await?;
        page.see(&format!("{check}.includes({})", json!(place))).await?;
        page.see(&format!("{accept}.disabled")).await?;
        page.see("document.activeElement.getAttribute('aria-invalid') === 'true'").await?;
    }
    page.overwrite("{\"by\": 20}").await?;
    page.see(&format!("!{accept}.disabled")).await?;
    page.see("document.querySelector('.changes del')?.textContent.includes('\"by\": 1')").await?;
    page.see("document.querySelector('.changes ins')?.textContent.includes('\"by\": 20')").await?;

    // The tab key leaves the editor, Escape puts it away, and nothing is lost.
    page.browser.press("Tab", 0).await?;
    page.see("document.activeElement.matches('.check-row button')").await?;
    page.browser.press("Tab", SHIFT).await?;
    page.browser.press("Escape", 0).await?;
    page.see("document.activeElement.matches('[data-choice=edit]')").await?;
    page.choose("a", "edit").await?;
    page.see("document.activeElement.value === '{\"by\": 20}'").await?;

    page.submit("a").await?;
    page.says(1, "the counter is 20").await?;
    assert_eq!(desk.made(), [json!(["count", { "by": 20 }])]);
    page.see("!document.querySelector('.tool .badge').hidden").await?;
    page.click(".tool summary").await?;
    page.see("document.querySelector('.tool .inside').innerText.includes('\"by\": 1\\n')").await?;

    // The transcript says it in the result alone.
    page.browser.page().refresh().await?;
    page.see("document.querySelector('.tool .badge')?.hidden === false").await?;
    desk.page.close().await
}

#[tokio::test]
async fn a_call_is_rejected_with_a_reason_and_another_is_answered_in_its_place() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&[("a", "t__count", json!({ "by": 1 })), ("b", "t__hold", json!({ "name": "x" }))])
        .await?;
    page.waiting(2).await?;
    let send = "document.querySelector('.together .send')";
    page.see(&format!("{send}.disabled")).await?;
    page.choose("a", "reject").await?;
    page.browser.type_text("too <b>dear</b>").await?;
    page.submit("a").await?;
    page.see("document.querySelector('.verdict').innerText.includes('too <b>dear</b>')").await?;
    page.see(&format!("!{send}.disabled")).await?;

    page.choose("b", "respond").await?;
    let answer = "document.querySelector('.pending[data-call=b] form button[type=submit]')";
    page.see(&format!("{answer}.disabled")).await?;
    page.browser.type_text("forty-two").await?;
    page.submit("b").await?;
    // It can be taken back, and what was written is still there.
    page.click(".pending[data-call=b] .undo").await?;
    page.see("document.querySelector('.pending[data-call=b] textarea').value === 'forty-two'")
        .await?;
    page.submit("b").await?;
    page.click(".together .send").await?;
    page.says(1, "too <b>dear</b>").await?;
    page.says(1, "forty-two").await?;
    page.see(&format!("{} === 'rejected' && {} === 'answered'", state(0), state(1))).await?;
    assert!(desk.made().is_empty(), "{:?}", desk.made());
    desk.page.close().await
}

#[tokio::test]
async fn all_are_accepted_at_once_only_when_each_was_before_ones_eyes() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    let ids: Vec<_> = (0..6).map(|it| format!("c{it}")).collect();
    let calls: Vec<_> =
        (1..).zip(&ids).map(|(by, id)| (id.as_str(), "t__count", json!({ "by": by }))).collect();
    desk.ask(&calls).await?;
    page.waiting(6).await?;
    let all = "document.querySelector('.together .all')";
    page.see(&format!("{all}.disabled && {all}.title.includes('not seen yet')")).await?;
    for id in ids.iter().rev() {
        let card = card(id);
        page.browser.run(&format!("{card}.scrollIntoView({{ block: 'center' }})")).await?;
        page.see(&format!("{card}.dataset.seen === 'true'")).await?;
    }
    page.see(&format!("!{all}.disabled")).await?;
    page.click(".together .all").await?;
    page.see("document.querySelector('.together .count').textContent === '6 of 6 decided'").await?;
    assert!(desk.made().is_empty(), "collected, and not sent");
    page.click(".together .send").await?;
    page.see("document.querySelectorAll('.tool[data-state=done]').length === 6").await?;
    assert_eq!(desk.around.server.count(), 21);
    desk.page.close().await
}

#[tokio::test]
async fn what_would_hide_or_act_in_a_call_is_shown_as_text() -> Result<()> {
    let desk = Desk::new("\"t__set\" = \"review\"").await?;
    let Desk { page, .. } = &desk;
    let nasty = "<img src=x onerror=window.hurt=1>\u{202e}\u{200b}\u{1b}[2J";
    let long = "line <script>window.hurt=2</script>\n".repeat(1_500);
    desk.ask(&[("a", "t__set", json!({ "key": nasty, "value": long }))]).await?;
    page.waiting(1).await?;
    let shown = page.get(&format!("{}.querySelector('.long pre').textContent", card("a"))).await?;
    let shown = shown.as_str().context("a text")?;
    assert!(
        shown.contains(r"<img src=x onerror=window.hurt=1>\u202e\u200b\u001b[2J"),
        "{shown:.80}"
    );
    assert_eq!(shown.matches("<script>").count(), 1_500, "nothing of it is left out");
    let tall = format!("{}.querySelector('.long pre').clientHeight < 500", card("a"));
    page.see(&tall).await?;
    page.choose("a", "accept").await?;
    page.see(&format!("{} === 'done'", state(0))).await?;
    page.click(".tool summary").await?;
    page.see("document.querySelector('.tool').innerText.includes('is line <script>')").await?;
    let found = "[window.hurt ?? 0, document.querySelectorAll('main :is(img, script)').length]";
    assert_eq!(page.get(found).await?, json!([0, 0]));
    desk.page.close().await
}

#[tokio::test]
async fn a_call_is_decided_with_the_keyboard_alone_and_everybody_can_use_the_cards() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&[("a", "t__count", json!({ "by": 7 })), ("b", "t__count", json!({ "by": 8 }))])
        .await?;
    page.waiting(2).await?;
    page.choose("a", "edit").await?;
    page.overwrite("{\"by\": 70}").await?;
    page.choose("b", "reject").await?;
    page.click(".tool summary").await?;
    for dark in [false, true] {
        page.browser.dark(dark).await?;
        assert_eq!(page.browser.axe().await?, [""; 0]);
    }
    page.browser.phone().await?;
    assert_eq!(page.browser.axe().await?, [""; 0]);
    page.see("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        .await?;

    page.submit("b").await?;
    page.browser.run("document.querySelector('#question').focus()").await?;
    page.browser.press("Tab", SHIFT).await?;
    page.see("document.activeElement.matches('.together .send')").await?;
    page.enter(0).await?;
    page.see(&format!("{} === 'rejected'", state(1))).await?;
    page.waiting(1).await?;
    page.browser.run("document.querySelector('textarea.json').focus()").await?;
    for _ in 0..3 {
        page.browser.press("Tab", 0).await?;
    }
    page.see("document.activeElement.matches('.pending form button[type=submit]')").await?;
    page.enter(0).await?;
    page.says(2, "the counter is 70").await?;
    desk.page.close().await
}
