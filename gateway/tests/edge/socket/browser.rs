//! Sockets in the pages of a real browser.

use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::proxy::Proxy;

use crate::harness::Edge;

/// Opens a socket in the page and keeps what comes.
const OPEN: &str = "window.said = []; window.ended = null;
    window.socket = PROTOCOLS
        ? new WebSocket('URL', PROTOCOLS)
        : new WebSocket('URL');
    socket.onmessage = (message) => said.push(message.data);
    socket.onclose = (close) => { window.ended = close.code; };
    socket.onopen = () => socket.send(FIRST);";

async fn open(browser: &Browser, url: &str, protocols: &Value, first: &str) {
    let script = OPEN
        .replace("URL", url)
        .replace("PROTOCOLS", &protocols.to_string())
        .replace("FIRST", &Value::from(first).to_string());
    browser.run(&script).await.unwrap();
}

#[tokio::test]
async fn a_page_asks_in_both_protocols_and_gets_the_whole_answer() {
    let edge = Edge::start().await;
    let browser = Browser::start().await.unwrap();
    // The page's own policy lets it: no other server is asked.
    browser.open(&format!("http://{}/", edge.address)).await.unwrap();
    let url = format!("ws://{}/chat?userId=u&sessionId=s", edge.address);
    open(&browser, &url, &Value::Null, "Why?").await;
    let mut work = edge.work().await;
    for text in ["Be", "cause ", "你好"] {
        work.text(text).await;
    }
    browser.wait_for("said.join('') === 'Because 你好'").await.unwrap();
    work.complete().await;
    work.settle().await;
    let ask = json!({"type": "ask", "id": "q1", "input": "And?"}).to_string();
    open(&browser, &url, &json!(["weir.v1.json"]), &ask).await;
    let mut work = edge.work().await;
    work.text("So ").await;
    work.text("it is").await;
    work.complete().await;
    let ended = "said.map((it) => JSON.parse(it)).some((it) => it.event === 'completed')";
    browser.wait_for(ended).await.unwrap();
    let heard = "return said.map((it) => JSON.parse(it)).map((it) => it.data.text ?? it.event)";
    assert_eq!(
        browser.run(heard).await.unwrap(),
        json!(["session", "accepted", "started", "So ", "it is", "completed"])
    );
    assert_eq!(
        browser.run("return [socket.protocol, ended]").await.unwrap(),
        json!(["weir.v1.json", null])
    );
    edge.life.drain();
    browser.wait_for("ended === 1001").await.unwrap();
    browser.close().await.unwrap();
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let edge = Edge::start().await;
    // Another port is another origin. This document has no policy of its own.
    let foreign = Edge::start().await;
    let browser = Browser::start().await.unwrap();
    let url = format!("ws://{}/chat?userId=u&sessionId=s", edge.address);
    for protocols in [Value::Null, json!(["weir.v1.json"])] {
        browser.open(&format!("http://{}/healthz", foreign.address)).await.unwrap();
        open(&browser, &url, &protocols, "Why?").await;
        browser.wait_for("ended === 1006").await.unwrap();
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
    // The same page reaches its own server.
    open(
        &browser,
        &url.replace(&edge.address.to_string(), &foreign.address.to_string()),
        &Value::Null,
        "Why?",
    )
    .await;
    foreign.work().await.text("Because").await;
    browser.wait_for("said[0] === 'Because'").await.unwrap();
    browser.close().await.unwrap();
}

/// The example of the documentation, as it stands there.
fn example() -> String {
    let page = include_str!("../../../../docs/websocket.md");
    let (_, example) = page.rsplit_once("```js\n").unwrap();
    example.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_documents_example_works_when_pasted_and_survives_cuts() {
    let edge = Edge::start().await;
    let proxy = Proxy::start(edge.address).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://{}/", proxy.address())).await.unwrap();
    let keep = "window.logged = []; console.log = (it) => logged.push(it);";
    browser.run(&format!("{keep}\n{}", example())).await.unwrap();
    let mut work = edge.work().await;
    for text in ["one ", "two ", "three ", "four"] {
        proxy.cut();
        work.text(text).await;
        proxy.mend();
        let so_far = format!("logged.at(-1)?.endsWith({})", json!(text));
        browser.wait_for(&so_far).await.unwrap();
    }
    work.complete().await;
    browser.wait_for("logged.at(-1).ending === 'completed'").await.unwrap();
    let answer = browser.run("return logged.at(-1).text").await.unwrap();
    assert_eq!(answer, "one two three four");
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 1);
    browser.close().await.unwrap();
}
