//! Who sits before the page: keys that are asked for, taken back and changed,
//! names that are switched, and that nobody sees another one's words.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::browser::{Browser, SHIFT};
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;
use tokio::time::{sleep, timeout};

use super::{Page, stage};
use crate::keys::{create, keys};
use crate::stage::{Client, said, weir};

const PATIENCE: Duration = Duration::from_secs(20);
/// The page asks for a key, and takes what is typed.
const ASKED: &str = "document.activeElement?.id === 'key'";
const SIGNED: &str = "!document.querySelector('dialog') && \
                      document.activeElement?.id === 'question'";
/// The titles in the list of conversations.
const TITLES: &str = "[...document.querySelectorAll('#sessions .name')].map(it => it.textContent)";
/// All that is kept in this browser and all that is in the page, as one text.
const EVERYTHING: &str = "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, \
     document.title, document.documentElement.outerHTML, \
     [...document.querySelectorAll('input, textarea')].map(it => it.value), \
     performance.getEntriesByType('resource').map(it => it.name)])";

/// A question that is answered at once.
fn plain(answer: &str) -> String {
    Script { text: Some(answer.to_owned()), ..Script::default() }.question()
}

/// Everything in one process, for who has a key.
async fn guarded(model: &FakeModel, file: &Path) -> Result<Weir> {
    let mut command =
        weir(&["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script"]).env("OPENAI_BASE_URL", model.base_url());
    command.arg("--api-keys").arg(file);
    Weir::start(command).await
}

/// A page that asks for a key.
async fn asking(weir: &Weir) -> Result<Page> {
    let page = Page { browser: Browser::start().await? };
    page.browser.open(&weir.value("page")?).await?;
    page.see(ASKED).await?;
    Ok(page)
}

/// Makes a key of alice's, and waits until it counts.
async fn make(weir: &Weir, file: &Path, more: &[&str]) -> Result<String> {
    let key = create(file, "alice", more).await?;
    let client = Client::of(weir)?;
    let counts = async {
        while client.get("/v1/me").bearer_auth(&key).send().await?.status() != 200 {
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, counts).await??;
    Ok(key)
}

async fn revoke(file: &Path, key: &str) -> Result<()> {
    let id = key.split('_').nth(1).context("a key has an id")?;
    let revoked = keys(file, &["revoke", id]).await?;
    ensure!(revoked.status.success(), "{revoked:?}");
    Ok(())
}

/// Shows a key where the page asks for one.
async fn sign_in(page: &Page, key: &str) -> Result<()> {
    page.see(ASKED).await?;
    page.browser.type_text(key).await?;
    page.enter(0).await?;
    page.see(SIGNED).await
}

async fn sign_out(page: &Page) -> Result<()> {
    page.click("#settings-open").await?;
    page.click("#settings .who button").await?;
    page.see(ASKED).await
}

async fn titles(page: &Page, expected: &Value) -> Result<()> {
    page.see(&format!("JSON.stringify({TITLES}) === {}", json!(expected.to_string()))).await
}

/// That a text is nowhere in the page, and nowhere in the browser.
async fn forgets(page: &Page, text: &str) -> Result<()> {
    let everything = page.get(EVERYTHING).await?;
    let found = everything.as_str().context("a text")?;
    let at = found.find(text).map(|it| found[it.saturating_sub(60)..].chars().take(120));
    ensure!(at.is_none(), "{text:?} is left: {:?}", at.map(String::from_iter));
    Ok(())
}

async fn choose(page: &Page, setting: &str, value: &str) -> Result<()> {
    page.browser.run("document.querySelector('#settings-open').focus()").await?;
    page.enter(0).await?;
    let select = format!("document.querySelector('#settings-{setting}')");
    page.see(&select).await?;
    let script = format!(
        "const select = {select}; select.value = {}; select.dispatchEvent(new Event('change'))",
        json!(value)
    );
    page.browser.run(&script).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_is_asked_for_and_after_another_one_everything_goes_on_where_it_was() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    let file = folder.path().join("keys.toml");
    let first = create(&file, "alice", &[]).await?;
    let weir = guarded(&model, &file).await?;
    let page = asking(&weir).await?;
    for (wrong, told) in [("weir_wrong", "does not accept"), ("a key", "This is no key")] {
        page.browser.type_text(wrong).await?;
        page.enter(0).await?;
        let told = format!("document.querySelector('#key-fault').textContent.includes('{told}')");
        page.see(&told).await?;
        page.see(ASKED).await?;
    }
    // What was typed is marked, so that the next key takes its place.
    sign_in(&page, &format!("  {first} ")).await?;

    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    page.ask(&held.question()).await?;
    page.says(0, "t4").await?;
    page.write("a draft").await?;
    revoke(&file, &first).await?;
    page.see(ASKED).await?;
    let draft = "document.querySelector('#question').value === 'a draft'";
    // One may read on without a key; what is asked waits for one.
    page.browser.press("Escape", 0).await?;
    page.see("document.querySelector('#key-wanted')").await?;
    page.see(draft).await?;
    let second = plain("and the second");
    page.browser.run("document.querySelector('#question').value = ''").await?;
    page.ask(&second).await?;
    page.click("#key-wanted button").await?;
    let key = make(&weir, &file, &[]).await?;
    model.release();
    sign_in(&page, &key).await?;
    page.says(0, "t19").await?;
    page.says(1, "and the second").await?;
    page.is_idle().await?;
    assert_eq!(page.answer(0).await?, said(20).trim_end());
    assert_eq!(model.calls().len(), 2);
    page.see("!document.querySelector('#key-wanted')").await?;
    // Not kept on the device, and nowhere else but in this tab's store.
    page.browser.run("sessionStorage.removeItem('weir.key')").await?;
    for key in [&first, &key] {
        forgets(&page, &key[18..]).await?;
    }
    let problems = page.browser.problems().await?;
    assert!(
        !problems.iter().any(|it| it.contains(&key[18..]) || !it.contains("401")),
        "{problems:?}"
    );
    page.close().await
}

#[tokio::test]
async fn two_people_in_turn_on_one_browser_see_nothing_of_each_other() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    let file = folder.path().join("keys.toml");
    let [alice, bob] = [create(&file, "alice", &[]).await?, create(&file, "bob", &[]).await?];
    let weir = guarded(&model, &file).await?;
    let page = asking(&weir).await?;
    // With the keyboard alone: to the choice and back.
    page.browser.press("Tab", 0).await?;
    page.browser.press(" ", 0).await?;
    page.see("document.querySelector('#key-keep').checked").await?;
    page.browser.press("Tab", SHIFT).await?;
    sign_in(&page, &alice).await?;
    page.ask(&plain("marigold")).await?;
    page.says(0, "marigold").await?;
    page.see(&format!("{TITLES}.length === 1")).await?;
    let hers = page.get("location.href").await?;
    page.write("a marigold draft").await?;

    sign_out(&page).await?;
    forgets(&page, "marigold").await?;
    forgets(&page, "alice").await?;
    sign_in(&page, &bob).await?;
    titles(&page, &json!([])).await?;
    page.browser.open("about:blank").await?;
    page.go(hers.as_str().context("an address")?).await?;
    forgets(&page, "marigold").await?;
    page.ask(&plain("hyacinth")).await?;
    page.says(0, "hyacinth").await?;
    page.write("a hyacinth draft").await?;

    // Another person's key in the middle.
    revoke(&file, &bob).await?;
    page.see(ASKED).await?;
    page.browser.type_text(&alice).await?;
    page.enter(0).await?;
    page.see(&format!("{SIGNED} && {TITLES}.length === 1")).await?;
    let body = page.get("document.body.innerText + document.querySelector('#question').value");
    let body = body.await?;
    assert!(!body.to_string().contains("hyacinth"), "{body}");
    page.click("#sessions .entry").await?;
    page.says(0, "marigold").await?;
    page.close().await
}

#[tokio::test]
async fn a_kept_key_is_every_tabs_and_so_is_signing_out() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    let file = folder.path().join("keys.toml");
    let alice = create(&file, "alice", &[]).await?;
    let weir = guarded(&model, &file).await?;
    let page = asking(&weir).await?;
    let first = page.browser.tab().await?;
    let second = page.browser.open_tab(&weir.value("page")?).await?;
    page.click("#key-keep").await?;
    page.browser.run("document.querySelector('#key').focus()").await?;
    sign_in(&page, &alice).await?;
    page.browser.go_to(&first).await?;
    page.see("!document.querySelector('dialog')").await?;
    page.see("!document.querySelector('#welcome').hidden").await?;
    page.ask(&plain("marigold")).await?;
    page.says(0, "marigold").await?;

    page.write("a marigold draft").await?;
    page.browser.go_to(&second).await?;
    sign_out(&page).await?;
    page.browser.go_to(&first).await?;
    page.see("document.querySelector('#key-entry')").await?;
    forgets(&page, "marigold").await?;
    forgets(&page, &alice[18..]).await?;
    page.close().await
}

#[tokio::test]
async fn another_name_clears_the_page_in_every_tab_and_has_its_own_conversations() -> Result<()> {
    let model = FakeModel::start().await?;
    let (weir, page) = stage(&model).await?;
    page.ask(&plain("marigold")).await?;
    page.says(0, "marigold").await?;
    // Whoever asks on this machine without a name is the same user everywhere.
    let sessions = Client::of(&weir)?.get("/v1/sessions?userId=local").send().await?;
    let sessions: Value = sessions.json().await?;
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1), "{sessions}");
    page.write("a marigold draft").await?;
    let first = page.browser.tab().await?;
    page.browser.open_tab(&weir.value("page")?).await?;
    page.see(&format!("{TITLES}.length === 1")).await?;

    page.click("#settings-open").await?;
    let long = "字".repeat(43);
    for (name, told) in
        [("", "Write a name"), ("a\u{7}b", "control characters"), (&long, "128 bytes")]
    {
        let script = format!("document.querySelector('#user').value = {}", json!(name));
        page.browser.run(&script).await?;
        page.click("#settings .who button").await?;
        page.see(&format!("document.querySelector('#user-fault').textContent.includes('{told}')"))
            .await?;
    }
    page.browser.run("document.querySelector('#user').select()").await?;
    page.browser.type_text(" 用户乙 ").await?;
    page.enter(0).await?;
    page.see("!document.querySelector('dialog') && document.querySelector('#welcome')").await?;
    for tab in [None, Some(&first)] {
        if let Some(tab) = tab {
            page.browser.go_to(tab).await?;
        }
        page.see("document.querySelector('#welcome')?.hidden === false").await?;
        titles(&page, &json!([])).await?;
        let text = page.get("document.body.innerText + document.querySelector('#question').value");
        let text = text.await?.to_string();
        assert!(!text.contains("marigold"), "{text}");
    }
    page.click("#settings-open").await?;
    page.see("document.querySelector('#user').value === '用户乙'").await?;
    page.browser.run("document.querySelector('#user').select()").await?;
    page.browser.type_text("local").await?;
    page.enter(0).await?;
    page.see(&format!("{TITLES}.length === 1")).await?;
    page.close().await
}

#[tokio::test]
async fn language_colours_and_model_stay_and_a_draft_survives_them() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    page.write("a draft").await?;
    choose(&page, "theme", "dark").await?;
    let dark = "getComputedStyle(document.documentElement).colorScheme === 'dark'";
    page.see(dark).await?;
    page.browser.press("Escape", 0).await?;
    page.see("document.activeElement?.id === 'settings-open'").await?;
    choose(&page, "model", "extractive").await?;
    page.browser.press("Escape", 0).await?;
    choose(&page, "language", "zh").await?;
    page.see("document.documentElement.lang === 'zh'").await?;
    page.see("document.querySelector('#question').value === 'a draft'").await?;
    page.browser.page().refresh().await?;
    let both = format!("document.documentElement.lang === 'zh' && {dark}");
    page.see(&format!("{both} && document.querySelector('#question').value")).await?;
    page.browser.run("document.querySelector('#question').select()").await?;
    page.browser.type_text("What is Weir?").await?;
    page.enter(0).await?;
    page.see("document.querySelector('.turn .answer')?.innerText.length > 20").await?;
    page.is_idle().await?;
    assert!(model.calls().is_empty(), "another model was chosen");
    page.close().await
}

#[tokio::test]
async fn a_key_that_expires_is_told_from_one_that_was_taken_back() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    let file = folder.path().join("keys.toml");
    create(&file, "bob", &[]).await?;
    let weir = guarded(&model, &file).await?;
    let page = asking(&weir).await?;
    let key = make(&weir, &file, &["--expires", "5s"]).await?;
    sign_in(&page, &key).await?;
    page.write("a draft").await?;
    page.see(ASKED).await?;
    page.see("document.querySelector('#key-why').textContent.includes('expired')").await?;
    let key = make(&weir, &file, &[]).await?;
    sign_in(&page, &key).await?;
    page.see("document.querySelector('#question').value === 'a draft'").await?;
    page.close().await
}

#[tokio::test]
async fn everybody_can_use_the_key_entry_and_the_settings() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    let file = folder.path().join("keys.toml");
    let alice = create(&file, "alice", &["--expires", "90d"]).await?;
    let weir = guarded(&model, &file).await?;
    let page = asking(&weir).await?;
    let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    page.browser.phone().await?;
    for dark in [false, true] {
        page.browser.dark(dark).await?;
        assert_eq!(page.browser.axe().await?, Vec::<String>::new(), "dark: {dark}");
    }
    assert_eq!(page.get(wide).await?, 0);
    sign_in(&page, &alice).await?;
    page.click("#settings-open").await?;
    page.see("document.querySelector('#settings-model')").await?;
    page.see("document.querySelector('#settings .who').innerText.includes('alice')").await?;
    for dark in [false, true] {
        page.browser.dark(dark).await?;
        assert_eq!(page.browser.axe().await?, Vec::<String>::new(), "dark: {dark}");
    }
    assert_eq!(page.get(wide).await?, 0);
    page.close().await
}
