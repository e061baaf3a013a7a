//! The document of the edge, and the page that shows it.

use std::collections::BTreeSet;
use std::time::Duration;

use broker::Bucket;
use fantoccini::Locator;
use gateway::Config;
use gateway::auth::keys::Role;
use proto::{PendingCall, Review, Session};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::nats::Authority;
use tokio::time::timeout;

use crate::decisions::store;
use crate::harness::{Edge, PATIENCE};
use crate::tokens::Keys;

async fn document(edge: &Edge) -> Value {
    edge.get("/openapi.json").send().await.unwrap().json().await.unwrap()
}

/// Every operation that the document names.
fn operations(document: &Value) -> Vec<(Method, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, described) in item.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            all.push((method, path.as_str(), described));
        }
    }
    assert!(all.len() > 30, "{all:?}");
    all
}

/// A path with its parameters and the query as the document shows them.
fn pasted(path: &str, described: &Value) -> (String, Vec<(String, String)>) {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in described["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let Some(example) = parameter.get("example") else {
            assert_ne!(parameter["required"], true, "{path} has no example of {name}");
            continue;
        };
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &example),
            Some("query") => query.push((name.to_owned(), example)),
            place => panic!("{path}: an example in {place:?}"),
        }
    }
    (path, query)
}

/// The request that the document shows.
fn request(
    edge: &Edge,
    method: &Method,
    (path, query): (&str, &[(String, String)]),
) -> RequestBuilder {
    edge.http.request(method.clone(), format!("http://{}{path}", edge.address)).query(query)
}

/// What a request needs that the document shows: a turn that waits, calls that
/// wait, or a session and a memory.
async fn prepare(edge: &Edge, path: &str, example: &Value) -> String {
    let session = Session::parse("u1", "s1").unwrap();
    if path.ends_with("/decisions") || path.contains("/resume") {
        let decided = &example["decisions"][0];
        let text = |it: &Value, other: &str| it.as_str().unwrap_or(other).to_owned();
        let call = PendingCall {
            call_id: text(&decided["callId"], "call_1"),
            arguments_hash: text(&decided["argumentsHash"], &"0".repeat(64)),
            ..PendingCall::default()
        };
        let turn = text(&example["turnId"], "0198c0de-0000-7000-8000-000000000001");
        let expires = Some(proto::timestamp(process::clock::now() + Duration::from_hours(1)));
        let version = proto::FORMAT;
        let review = Review {
            version,
            turn_ids: vec![turn],
            calls: vec![call],
            expires,
            ..Review::default()
        };
        store(edge, &session, Bucket::Reviews, &review).await;
        return String::new();
    }
    let body = json!({"userId": "u1", "input": "Hello"});
    let asked = edge.post("/v1/sessions/s1/turns", &body).header("prefer", "respond-async");
    assert_eq!(asked.send().await.unwrap().status(), 202);
    if !path.ends_with("/cancel") {
        let mut work = edge.work().await;
        work.text("Hello!").await;
        work.complete().await;
        work.settle().await;
    }
    let kept = edge.post("/v1/memories", &json!({"userId": "u1", "text": "likes tea"}));
    let kept: Value = kept.send().await.unwrap().json().await.unwrap();
    kept["id"].as_str().unwrap().to_owned()
}

/// Answers every question.
async fn play(edge: &Edge) {
    loop {
        let mut work = edge.work().await;
        work.text("Because.").await;
        work.complete().await;
        work.settle().await;
    }
}

#[tokio::test]
async fn every_example_of_the_document_works_as_it_is_pasted() {
    let edge = Edge::start().await;
    let document = document(&edge).await;
    for (method, path, described) in operations(&document) {
        let edge = Edge::start().await;
        let body = &described["requestBody"]["content"]["application/json"]["example"];
        let memory = prepare(&edge, path, body).await;
        let (mut pasted, query) = pasted(path, described);
        if path.starts_with("/v1/memories/") {
            // Its id is made by the server.
            pasted = format!("/v1/memories/{memory}");
        }
        let mut request = request(&edge, &method, (&pasted, &query));
        if described.get("requestBody").is_some() {
            assert!(body.is_object(), "{path} has no example");
            request = request.json(body);
        }
        let socket = described["responses"].get("101").is_some();
        if socket {
            request = request.header("connection", "upgrade").header("upgrade", "websocket");
            request = request.header("sec-websocket-version", "13");
            request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        }
        let stops = path.ends_with("/cancel");
        let played = async { if stops { std::future::pending().await } else { play(&edge).await } };
        let answer = tokio::select! {
            answer = timeout(PATIENCE, request.send()) => answer.expect("an answer").unwrap(),
            () = played => unreachable!("it goes on"),
        };
        let status = answer.status();
        let good = if socket { status == 101 } else { status.is_success() };
        assert!(good, "{method} {pasted}: {status}");
        let told = described["responses"].get(status.as_str());
        assert!(told.is_some(), "{method} {path} does not tell of {status}");
    }
}

#[tokio::test]
async fn a_path_answers_to_the_methods_that_its_document_names_and_to_no_other() {
    let edge = Edge::start().await;
    let document = document(&edge).await;
    let mut names = BTreeSet::new();
    for (_, path, described) in operations(&document) {
        assert!(names.insert(described["operationId"].as_str().unwrap()), "{path}");
        let item = document["paths"][path].as_object().unwrap();
        let mut expected: BTreeSet<_> = item.keys().map(|it| it.to_uppercase()).collect();
        if expected.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        let (path, query) = pasted(path, described);
        let answer = request(&edge, &Method::PUT, (&path, &query)).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed = answer.headers()["allow"].to_str().unwrap();
        let allowed: BTreeSet<_> = allowed.split(',').map(|it| it.trim().to_owned()).collect();
        assert_eq!(allowed, expected, "{path}");
    }
}

#[tokio::test]
async fn the_list_of_routes_for_people_has_all_that_the_document_has() {
    let edge = Edge::start().await;
    let document = document(&edge).await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let text = std::fs::read_to_string(path).unwrap();
    let methods = ["GET ", "POST ", "PATCH ", "DELETE "];
    let rows = text.lines().filter(|it| it.starts_with("| `"));
    let listed = rows.filter_map(|it| it.split('`').nth(1));
    let listed: BTreeSet<_> =
        listed.filter(|it| methods.iter().any(|method| it.starts_with(method))).collect();
    let named =
        operations(&document).into_iter().map(|(method, path, _)| format!("{method} {path}"));
    let named: BTreeSet<_> = named.collect();
    let listed: BTreeSet<_> = listed.into_iter().map(str::to_owned).collect();
    assert_eq!(listed, named);
}

/// Writes down whatever goes wrong in a page.
const FAULTS: &str = "
    window.faults = [];
    const fault = (...words) => window.faults.push(words.join(' '));
    addEventListener('error', it => fault('error', it.message, it.target?.src, it.target?.href), true);
    addEventListener('unhandledrejection', it => fault('rejection', it.reason));
    addEventListener('securitypolicyviolation', it => fault('policy', it.violatedDirective, it.blockedURI));
    const say = console.error;
    console.error = (...words) => { fault('console', ...words); say(...words); };
";

/// A browser that writes down whatever goes wrong.
async fn watched() -> Browser {
    let browser = Browser::start().await.unwrap();
    let source = json!({ "source": FAULTS });
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", source).await.unwrap();
    browser
}

async fn click(browser: &Browser, css: &str) {
    browser.wait_for(&format!("document.querySelector({})", Value::from(css))).await.unwrap();
    browser.page().find(Locator::Css(css)).await.unwrap().click().await.unwrap();
}

/// Opens an operation and sends its request as it stands there; the answer's status.
async fn execute(browser: &Browser, operation: &str) -> Value {
    let block = format!("#operations-{operation}");
    click(browser, &format!("{block} .opblock-summary-control")).await;
    click(browser, &format!("{block} .try-out__btn")).await;
    click(browser, &format!("{block} .execute")).await;
    let status = format!(
        "document.querySelector('{block} .live-responses-table .response .response-col_status')"
    );
    browser.wait_for(&format!("{status}?.innerText.trim().length === 3")).await.unwrap();
    browser.run(&format!("return {status}.innerText.trim()")).await.unwrap()
}

/// Everything that a page has fetched is from where it is itself, and nothing was
/// refused to it: its policy would not let it ask anybody else.
async fn unharmed(browser: &Browser, own: &str) {
    assert_eq!(browser.run("return window.faults").await.unwrap(), json!([]));
    let fetched = "return performance.getEntriesByType('resource').map(it => it.name)";
    let fetched = browser.run(fetched).await.unwrap();
    let fetched: Vec<_> = fetched.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(fetched.len() > 3, "{fetched:?}");
    for url in fetched {
        assert!(url.starts_with(own) || url.starts_with("data:"), "{url}");
    }
}

#[tokio::test]
async fn the_page_shows_every_operation_and_tries_it_with_a_key() {
    let keys = Keys::new();
    let (_, key) = keys.make("u1", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let count = operations(&document(&edge).await).len();
    let browser = watched().await;
    browser.open(&format!("http://{}/docs", edge.address)).await.unwrap();
    let shown = format!("document.querySelectorAll('.opblock').length === {count}");
    browser.wait_for(&shown).await.unwrap();
    let look = async |name: &str| {
        let path = format!("{}/docs-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        browser.screenshot(path).await.unwrap();
    };
    look("all").await;
    assert_eq!(execute(&browser, "server-get_v1_status").await, "401");
    browser.run("scrollTo(0, 0)").await.unwrap();
    click(&browser, ".auth-wrapper .btn.authorize").await;
    click(&browser, ".auth-container input").await;
    let field = browser.page().find(Locator::Css(".auth-container input")).await.unwrap();
    field.send_keys(&key).await.unwrap();
    click(&browser, ".auth-btn-wrapper .authorize").await;
    click(&browser, ".auth-btn-wrapper .btn-done").await;
    assert_eq!(execute(&browser, "memories-post_v1_memories").await, "201");
    look("tried").await;
    unharmed(&browser, &format!("http://{}/", edge.address)).await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn the_page_opens_in_tls_as_well() {
    let authority = Authority::new().unwrap();
    let (chain, key) = authority.vouch("edge").unwrap();
    let tls = tls::Server::open(tls::Identity { chain, key }, None, gateway::PROTOCOLS).unwrap();
    let edge = Edge::with(Config { tls: Some(tls), ..Config::default() }).await;
    let browser = watched().await;
    // It does not know who vouches for the certificate.
    let ignore = json!({ "ignore": true });
    browser.devtools("Security.setIgnoreCertificateErrors", ignore).await.unwrap();
    let own = format!("https://localhost:{}/", edge.address.port());
    browser.open(&format!("{own}docs/")).await.unwrap();
    browser.wait_for("document.querySelectorAll('.opblock').length > 30").await.unwrap();
    assert_eq!(execute(&browser, "server-get_v1_status").await, "200");
    unharmed(&browser, &own).await;
    browser.close().await.unwrap();
}

#[tokio::test]
async fn the_document_says_whether_a_credential_is_needed_and_needs_none_itself() {
    let keys = Keys::new();
    keys.make("u1", Role::User);
    for (edge, required) in
        [(Edge::start().await, false), (Edge::with(keys.config(None).await).await, true)]
    {
        for path in ["/docs/", "/openapi.json", "/docs/swagger-ui.css"] {
            let answer = edge.get(path).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["cache-control"], "no-cache", "{path}");
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        }
        let settings = edge.get("/docs/swagger-initializer.js").send().await.unwrap();
        let settings = settings.text().await.unwrap();
        assert!(settings.contains(r#""validatorUrl": "none""#), "{settings}");
        let document = document(&edge).await;
        let anybody = document["security"].as_array().unwrap().contains(&json!({}));
        assert_eq!(anybody, !required);
        assert_eq!(document["paths"]["/healthz"]["get"]["security"], json!([{}]));
        assert_eq!(document["openapi"], "3.1.0");
    }
}
