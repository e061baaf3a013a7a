//! The same review on several screens: after a reload, in another tab, by
//! another program; and decisions that come too late.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Desk, card, state};
use crate::stage::Client;
use crate::tools::decision;

/// Who sits at a page on this computer.
const USER: &str = "local";

const NOTE: &str = "document.querySelector('.review [role=status]').textContent";
const TROUBLE: &str = "document.querySelector('.review [role=alert]').textContent";

impl Desk {
    /// The session that the page shows.
    async fn session(&self) -> Result<String> {
        let name = self.page.get("decodeURIComponent(location.hash.slice(2))").await?;
        Ok(name.as_str().context("a session")?.to_owned())
    }

    /// What the page's user has to decide, as another program sees it.
    async fn seen(&self) -> Result<(Client, String, Value)> {
        let client = Client::of(&self.weir)?.user(USER);
        let session = self.session().await?;
        let seen = client.session(&session).await?;
        Ok((client, session, seen))
    }

    /// Accepts the n-th call that waits, as another program.
    async fn accept(&self, at: usize) -> Result<()> {
        let (client, session, seen) = self.seen().await?;
        let turn = seen["interruptedTurnId"].as_str().context("a turn")?;
        let accept = decision(&seen["pending"][at], "accept", &json!({}));
        let response = client.decide(&session, turn, &[accept]).send().await?;
        ensure!(response.status() == 200, "{}", response.text().await?);
        Ok(())
    }
}

fn counting() -> [(&'static str, &'static str, Value); 2] {
    [("a", "t__count", json!({ "by": 1 })), ("b", "t__count", json!({ "by": 10 }))]
}

#[tokio::test]
async fn what_waits_is_there_after_a_reload_and_two_tabs_decide_it_together() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&counting()).await?;
    page.waiting(2).await?;
    page.browser.page().refresh().await?;
    page.waiting(2).await?;
    page.see(&format!("{} === 'waiting' && {} === 'waiting'", state(0), state(1))).await?;

    let first = page.browser.tab().await?;
    let address = page.get("location.href").await?;
    let second = page.browser.open_tab(address.as_str().context("an address")?).await?;
    page.waiting(2).await?;
    page.choose("a", "accept").await?;
    page.click(".together .send").await?;
    page.waiting(1).await?;
    page.see(&format!("{} === 'done' && {} === 'waiting'", state(0), state(1))).await?;
    page.see(&format!("{NOTE} === ''")).await?;

    page.browser.go_to(&first).await?;
    page.waiting(1).await?;
    page.see(&format!("{NOTE}.includes('decided in another window')")).await?;
    page.see(&format!("{} === 'done' && {} === 'waiting'", state(0), state(1))).await?;
    page.choose("b", "accept").await?;
    page.says(2, "the counter is 11").await?;
    page.browser.go_to(&second).await?;
    page.waiting(0).await?;
    page.says(2, "the counter is 11").await?;
    assert_eq!(desk.around.server.count(), 11);
    desk.page.close().await
}

#[tokio::test]
async fn what_one_is_writing_outlives_what_others_decide() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&counting()).await?;
    page.choose("b", "edit").await?;
    page.overwrite("{\"by\": 100").await?;
    desk.accept(0).await?;
    page.waiting(1).await?;
    page.see("document.activeElement.matches('textarea.json')").await?;
    page.see("document.activeElement.value === '{\"by\": 100'").await?;
    page.browser.press("}", 0).await?;
    page.submit("b").await?;
    page.says(2, "the counter is 101").await?;
    desk.page.close().await
}

/// Lets somebody else be faster: before the page's next decision goes out, the
/// same calls are accepted by another one, and that has ended.
const FASTER: &str = r"
    const real = window.fetch;
    window.fetch = async (path, options) => {
      if (!String(path).endsWith('/decisions')) return real(path, options);
      window.fetch = real;
      const body = JSON.parse(options.body);
      body.decisions = body.decisions.map(({ callId, argumentsHash }) => ({ callId, argumentsHash, type: 'accept' }));
      const headers = { 'content-type': 'application/json' };
      await (await real(path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
      return real(path, options);
    };";

#[tokio::test]
async fn a_decision_that_comes_too_late_is_told_in_words_and_not_carried_out() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&counting()[..1]).await?;
    page.waiting(1).await?;
    page.browser.run(FASTER).await?;
    page.choose("a", "reject").await?;
    page.submit("a").await?;
    page.see(&format!("{TROUBLE}.includes('Somebody else was faster')")).await?;
    page.waiting(0).await?;
    page.see(&format!("{} === 'done'", state(0))).await?;
    assert_eq!(desk.around.server.count(), 1);
    desk.page.close().await
}

#[tokio::test]
async fn a_call_whose_tool_is_gone_can_still_be_decided() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&counting()[..1]).await?;
    page.waiting(1).await?;
    desk.around.server.remove("count");
    page.choose("a", "accept").await?;
    // Refused as long as the tool is away; nothing is used up, and nobody is
    // asked for a question that was none.
    page.see("document.querySelector('.trouble-box')?.innerText.includes('cannot be made like that now')")
        .await?;
    page.see("!document.querySelector('.trouble-box button')").await?;
    page.waiting(1).await?;
    page.see(&format!("!{}.querySelector('fieldset').disabled", card("a"))).await?;
    // Once more is another request, not the answer to the first one.
    page.choose("a", "accept").await?;
    page.see("document.querySelectorAll('.trouble-box').length === 2").await?;
    page.see(&format!("!{}.querySelector('fieldset').disabled", card("a"))).await?;
    page.choose("a", "reject").await?;
    page.submit("a").await?;
    page.see(&format!("{} === 'rejected'", state(0))).await?;
    assert!(desk.made().is_empty());
    desk.page.close().await
}

#[tokio::test]
async fn a_decision_without_a_server_is_kept_and_sent_once_it_is_back() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&counting()[..1]).await?;
    page.waiting(1).await?;
    page.browser.offline(true).await?;
    page.choose("a", "respond").await?;
    page.browser.type_text("forty-two").await?;
    page.submit("a").await?;
    page.see(&format!("{TROUBLE}.includes('will not carry it out twice')")).await?;
    page.see("document.querySelector('.pending textarea').value === 'forty-two'").await?;
    page.browser.offline(false).await?;
    page.submit("a").await?;
    page.says(1, "forty-two").await?;
    page.waiting(0).await?;
    desk.page.close().await
}

/// Makes the server refuse the page's next decision like this.
fn refusing(status: u16, code: &str) -> String {
    let problem = json!({
        "type": format!("urn:weir:problem:{code}"), "status": status, "detail": "the server's words",
    });
    format!(
        "const real = window.fetch; \
         window.fetch = async (path, options) => {{ \
           if (!String(path).endsWith('/decisions')) return real(path, options); \
           window.fetch = real; \
           return new Response({}, {{ status: {status} }}); \
         }};",
        json!(problem.to_string())
    )
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_what_still_waits_can_be_decided() -> Result<()> {
    let desk = Desk::new("").await?;
    let Desk { page, .. } = &desk;
    desk.ask(&counting()[..1]).await?;
    page.choose("a", "respond").await?;
    page.browser.type_text("forty-two").await?;
    for (status, code, words) in [
        (409, "already_decided", "Somebody else was faster"),
        (409, "call_altered", "The call is another one by now"),
        (410, "decision_expired", "too late to decide"),
        (404, "nothing_pending", "Nothing waits"),
        (409, "review_closed", "went on without a decision"),
        (409, "turn_in_progress", "Another answer is under way"),
        (429, "rate_limited", "Too many requests"),
        (503, "unavailable", "cannot be reached"),
        (400, "invalid_request", "was not accepted: the server's words"),
    ] {
        page.browser.run(&refusing(status, code)).await?;
        page.submit("a").await?;
        page.see(&format!("{TROUBLE}.includes({})", json!(words))).await?;
        page.see("document.querySelector('.pending textarea').value === 'forty-two'").await?;
    }
    page.submit("a").await?;
    page.says(1, "forty-two").await?;
    page.see(&format!("{TROUBLE} === ''")).await?;
    desk.page.close().await
}
