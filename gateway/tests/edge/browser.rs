//! The chat page in a real browser.

use proto::event;
use serde_json::Value;
use testkit::browser::Browser;

use crate::harness::{Edge, Work};

struct Page {
    edge: Edge,
    browser: Browser,
}

impl Page {
    async fn open() -> Self {
        let edge = Edge::start().await;
        let browser = Browser::start().await.unwrap();
        let page = Self { edge, browser };
        page.load().await;
        page
    }

    async fn load(&self) {
        let url = format!("http://{}/", self.edge.address);
        self.browser.open(&url).await.unwrap();
    }

    /// The same conversation anew: the address names it.
    async fn reload(&self) {
        self.browser.page().refresh().await.unwrap();
    }

    /// Types a question and sends it with Enter.
    async fn ask(&self, question: &str) {
        self.type_keys(question).await;
        self.type_keys("\u{e007}").await;
    }

    async fn type_keys(&self, keys: &str) {
        let find = fantoccini::Locator::Css("#question");
        let field = self.browser.page().find(find).await.unwrap();
        field.send_keys(keys).await.unwrap();
    }

    async fn click(&self, css: &str) {
        let find = fantoccini::Locator::Css(css);
        let found = self.browser.page().find(find).await.unwrap();
        found.click().await.unwrap();
    }

    async fn wait(&self, condition: &str) {
        self.browser.wait_for(condition).await.unwrap();
    }

    async fn wait_answer(&self, text: &str) {
        let text = Value::from(text);
        let last = "[...document.querySelectorAll('.answer')].at(-1)?.innerText.trim()";
        self.wait(&format!("{last} === {text}")).await;
    }

    async fn run(&self, script: &str) -> Value {
        self.browser.run(script).await.unwrap()
    }

    async fn look(&self, name: &str) {
        let path = format!("{}/page-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        self.browser.screenshot(path).await.unwrap();
    }

    async fn close(self) {
        self.browser.close().await.unwrap();
    }
}

fn citation(number: u32) -> event::Kind {
    event::Kind::Citation(proto::Citation {
        number,
        source: "streams.md".into(),
        heading: "Streams > Resuming".into(),
        first_line: 12,
        last_line: 15,
        quote: "A reader that reconnects gets exactly the rest.".into(),
    })
}

async fn fail(work: &mut Work) {
    let message = "The model does not answer.".to_owned();
    let failed = proto::Failed { message, ..Default::default() };
    work.say(vec![event::Kind::Failed(failed)]).await;
}

#[tokio::test]
async fn a_question_is_answered_with_its_sources() {
    let page = Page::open().await;
    page.wait("!document.getElementById('welcome').hidden").await;
    page.look("welcome").await;
    page.ask("What is **Weir**?").await;
    let mut work = page.edge.work().await;
    assert_eq!(work.delivery.job.messages[0].content, "What is **Weir**?");
    work.text("Weir keeps answers in a **log** [1].\n\n- lose nothing\n- double nothing\n\n").await;
    page.wait("document.querySelectorAll('.answer li').length === 2").await;
    page.wait("!document.getElementById('stop').hidden").await;
    page.look("running").await;
    work.say(vec![citation(1), event::Kind::Text("```\ncurl -N <b>\n```".into())]).await;
    work.complete().await;
    page.wait("document.querySelector('.sources summary')?.innerText.includes('Resuming')").await;
    page.wait("document.querySelector('.answer pre')?.innerText === 'curl -N <b>'").await;
    page.wait("document.querySelector('.answer .mark')?.innerText === '1'").await;
    page.wait("document.getElementById('stop').hidden && !document.getElementById('send').hidden")
        .await;
    assert_eq!(page.run("return document.activeElement.id").await, "question");
    page.look("answered").await;
    page.close().await;
}

#[tokio::test]
async fn an_answer_survives_a_reload_and_a_cut_connection() {
    let page = Page::open().await;
    page.ask("Why?").await;
    let mut work = page.edge.work().await;
    work.text("one ").await;
    page.wait_answer("one").await;
    page.reload().await;
    page.wait_answer("one").await;
    work.text("two ").await;
    page.wait_answer("one two").await;
    page.browser.offline(true).await.unwrap();
    page.wait("document.getElementById('connection').innerText !== ''").await;
    page.look("offline").await;
    work.text("three ").await;
    page.browser.offline(false).await.unwrap();
    page.wait_answer("one two three").await;
    page.wait("document.getElementById('connection').innerText === ''").await;
    let to = 2;
    work.say(vec![event::Kind::Rewind(proto::Rewind { to })]).await;
    page.wait_answer("one two").await;
    work.complete().await;
    page.wait("document.getElementById('stop').hidden").await;
    page.reload().await;
    page.wait_answer("one two").await;
    assert_eq!(page.run("return document.querySelectorAll('.turn').length").await, 1);
    page.close().await;
}

#[tokio::test]
async fn the_stop_button_asks_for_a_cancel_and_keeps_the_text() {
    let page = Page::open().await;
    page.ask("Why?").await;
    let mut work = page.edge.work().await;
    work.text("Because").await;
    page.wait_answer("Because").await;
    page.click("#stop").await;
    page.wait("document.getElementById('stop').disabled").await;
    let log = std::sync::Arc::clone(&page.edge.broker.log);
    let session = work.delivery.session.clone();
    let mut follow = broker::Follow::open(log, session, broker::From::Start).await.unwrap();
    for _ in 0..3 {
        follow.next().await.unwrap();
    }
    work.catch_up().await;
    work.say(vec![event::Kind::Cancelled(proto::Cancelled {})]).await;
    page.wait("document.querySelector('.state')?.innerText === 'Stopped.'").await;
    page.wait_answer("Because").await;
    page.close().await;
}

#[tokio::test]
async fn a_failure_is_shown_and_can_be_tried_again() {
    let page = Page::open().await;
    page.ask("Why?").await;
    let mut work = page.edge.work().await;
    fail(&mut work).await;
    work.settle().await;
    page.wait("document.querySelector('.trouble-box')?.innerText.includes('does not answer')")
        .await;
    page.look("failed").await;
    page.click(".trouble-box button").await;
    let mut work = page.edge.work().await;
    assert_eq!(work.delivery.job.messages[0].content, "Why?");
    work.text("Because").await;
    work.complete().await;
    page.wait_answer("Because").await;
    page.close().await;
}

#[tokio::test]
async fn a_question_that_could_not_be_sent_is_kept_and_sent_once() {
    let page = Page::open().await;
    page.wait("!document.getElementById('welcome').hidden").await;
    page.browser.offline(true).await.unwrap();
    page.ask("Why?").await;
    page.wait("document.querySelector('.trouble-box')").await;
    page.browser.offline(false).await.unwrap();
    let mut work = page.edge.work().await;
    work.text("Because").await;
    work.complete().await;
    page.wait_answer("Because").await;
    assert_eq!(page.run("return document.querySelectorAll('.turn').length").await, 1);
    assert_eq!(page.edge.broker.queue.depth().await.unwrap(), 1);
    page.close().await;
}

#[tokio::test]
async fn enter_sends_only_when_it_is_meant_to() {
    let page = Page::open().await;
    page.type_keys("a\u{e008}\u{e007}\u{e000}b").await;
    page.wait("document.getElementById('question').value === 'a\\nb'").await;
    let composing = "const field = document.getElementById('question');
        const press = (how) => field.dispatchEvent(
            new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...how }));
        press({ isComposing: true });
        press({ keyCode: 229 });
        return field.value;";
    assert_eq!(page.run(composing).await, "a\nb");
    page.type_keys("\u{e007}").await;
    let work = page.edge.work().await;
    assert_eq!(work.delivery.job.messages[0].content, "a\nb");
    page.close().await;
}

#[tokio::test]
async fn what_a_model_says_is_inert_on_a_narrow_screen_too() {
    let page = Page::open().await;
    page.ask("用中文回答<script>alert(1)</script>").await;
    let mut work = page.edge.work().await;
    let evil = "<img src=x onerror=\"window.evil=1\"> [x](javascript:evil) ![](https://evil.example/?q=1) ";
    work.text(evil).await;
    work.text(&"长".repeat(400)).await;
    work.text(&format!("\n\n```\n{}\n```\n", "x".repeat(300))).await;
    work.complete().await;
    page.wait("document.querySelector('.answer')?.innerText.includes('onerror')").await;
    page.wait("document.querySelector('.answer pre')").await;
    assert_eq!(
        page.run("return document.querySelectorAll('.turn img, .turn script').length").await,
        0
    );
    // What the image would have fetched is a link, for whoever wants to follow it.
    let links = "return [...document.querySelectorAll('.answer a')].map(it => [it.href, it.rel])";
    let expected =
        serde_json::json!([["https://evil.example/?q=1", "noopener noreferrer nofollow"]]);
    assert_eq!(page.run(links).await, expected);
    assert_eq!(page.run("return window.evil ?? null").await, Value::Null);
    page.browser.page().set_window_size(390, 844).await.unwrap();
    let narrow =
        serde_json::json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    page.browser.devtools("Emulation.setDeviceMetricsOverride", narrow).await.unwrap();
    page.wait("innerWidth === 390 && document.documentElement.scrollWidth === 390").await;
    page.look("narrow").await;
    let dark = serde_json::json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    page.browser.devtools("Emulation.setEmulatedMedia", dark).await.unwrap();
    page.look("dark").await;
    let chinese = serde_json::json!({"userAgent": "x", "acceptLanguage": "zh-CN"});
    page.browser.devtools("Emulation.setUserAgentOverride", chinese).await.unwrap();
    page.load().await;
    page.wait("document.getElementById('question').placeholder === '输入问题'").await;
    page.close().await;
}
