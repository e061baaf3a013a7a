//! Which proxies are used: the one that the configuration names, and none that
//! the environment does.

use std::process::{Command, Stdio};

use model::Provider;

use crate::asking::{answer, heard, models, provider, question};
use crate::server::Endpoint;

/// No machine has this name.
const NOWHERE: &str = "http://model.invalid/v1";

/// A proxy that answers in the place of whom it is asked for.
async fn answering() -> Endpoint {
    let body =
        "data: {\"choices\":[{\"delta\":{\"content\":\"三\"},\"finish_reason\":\"stop\"}]}\n\n";
    Endpoint::respond("200 OK", "content-type: text/event-stream\r\n", body).await
}

/// An answer of what is nowhere: its text, or the code of the failure.
async fn asked(proxy: Option<String>) -> Result<String, &'static str> {
    let provider = Provider { proxy: proxy.map(Into::into), ..provider(NOWHERE) };
    let model = models("openai/script", provider).named("").unwrap();
    let (text, end) = heard(answer(&model, question("?")).await);
    end.map(|_| text).map_err(|it| it.code)
}

#[tokio::test]
async fn the_proxy_of_the_configuration_is_used_and_told_its_password() {
    let proxy = answering().await;
    let url = proxy.url().replace("http://", "http://me:p%40ss@");
    assert_eq!(asked(Some(url)).await.as_deref(), Ok("三"));
    let seen = proxy.seen().requests;
    assert_eq!(seen.len(), 1);
    let head = seen[0].to_ascii_lowercase();
    assert!(head.starts_with("post http://model.invalid/v1/chat/completions "), "{head}");
    // me:p@ss
    assert!(seen[0].contains("Basic bWU6cEBzcw=="), "{head}");
}

/// Does its work as a child of the next test; alone it sees the same failure.
#[tokio::test]
async fn without_a_proxy_nowhere_is_not_reached() {
    assert_eq!(asked(None).await, Err("model_unavailable"));
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_not_used() {
    let proxy = answering().await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxies::without_a_proxy_nowhere_is_not_reached"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url());
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    child.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(proxy.seen().requests, [""; 0]);
}

#[test]
fn a_proxy_that_is_none_is_refused_without_telling_its_password() {
    for bad in [
        "",
        "me:secret@host:3128",
        "socks5://me:secret@host",
        "http://me:sec/ret@host",
        "http://me:secret@host/path",
        "http://me:secret@host?secret",
        "http://me:secret@[::1",
    ] {
        let provider = Provider { proxy: Some(bad.into()), ..provider(NOWHERE) };
        let refused = provider.check("mine").unwrap_err().to_string();
        let want = "the proxy of the provider `mine` must be an http or https URL of a host";
        assert_eq!(refused, want, "{bad}");
        assert!(!format!("{provider:?}").contains("secret"));
    }
    for good in ["http://me:secret@host:3128", "https://host/"] {
        let provider = Provider { proxy: Some(good.into()), ..provider(NOWHERE) };
        provider.check("mine").unwrap();
        assert!(!format!("{provider:?}").contains("secret"));
    }
}
