//! How the chat page is served: what may be kept, in which form, under which
//! policy, and how much a first look costs.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use reqwest::Response;

use crate::harness::{Edge, problem, raw};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Bytes that everything a first look needs may have, compressed.
const FIRST_LOOK: usize = 100_000;

/// An edge, and who asks it as a browser does: what is compressed stays so.
struct Visit {
    edge: Edge,
    http: reqwest::Client,
}

impl Visit {
    async fn start() -> Self {
        let http = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
        Self { edge: Edge::start().await, http }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.get(format!("http://{}{path}", self.edge.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The index, and the version that it names.
    async fn index(&self) -> (String, String) {
        let html = self.get("/", &[]).await.text().await.unwrap();
        let version = html.split("/page/").nth(1).unwrap().split('/').next().unwrap().to_owned();
        (html, version)
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let values: Vec<_> = response.headers().get_all(name).iter().collect();
    assert!(values.len() <= 1, "{name} once: {values:?}");
    values.first().map_or("", |it| it.to_str().unwrap())
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// Every file in the page's folder, by its path there, but the index.
fn sources() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            if name != "index.html" {
                files.push((name.to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 5);
    files
}

#[tokio::test]
async fn every_part_is_served_in_both_forms_to_be_kept_for_ever() {
    let visit = Visit::start().await;
    let (_, version) = visit.index().await;
    for (name, source) in sources() {
        let path = format!("/page/{version}/{name}");
        let kind = match name.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{name}: the page has no files of kind {other}"),
        };
        let plain = visit.get(&path, &[]).await;
        let gzip = visit.get(&path, &[("accept-encoding", "br, gzip")]).await;
        for response in [&plain, &gzip] {
            assert_eq!(response.status(), 200, "{name}");
            assert_eq!(header(response, "content-type"), kind, "{name}");
            assert_eq!(header(response, "cache-control"), FOR_EVER, "{name}");
            assert_eq!(header(response, "vary"), "accept-encoding", "{name}");
        }
        assert_ne!(header(&plain, "etag"), header(&gzip, "etag"), "{name}");
        assert_eq!(header(&plain, "content-encoding"), "", "{name}");
        assert_eq!(header(&gzip, "content-encoding"), "gzip", "{name}");
        let lengths = [&plain, &gzip].map(|it| header(it, "content-length").to_owned());
        let (plain, gzip) = (plain.bytes().await.unwrap(), gzip.bytes().await.unwrap());
        assert_eq!(lengths, [&plain, &gzip].map(|it| it.len().to_string()), "{name}");
        assert_eq!(unzip(&gzip), plain, "{name}");
        same(&name, &String::from_utf8(plain.into()).unwrap(), &String::from_utf8(source).unwrap());
    }
}

/// What is compiled in is what lies there, line by line; only comments are left
/// out.
fn same(name: &str, served: &str, source: &str) {
    assert_eq!(served.lines().count(), source.lines().count(), "{name}");
    let (mut within, mut code) = (false, 0);
    for (served, source) in served.lines().zip(source.lines()) {
        let text = source.trim_start();
        let opens = text.starts_with("/*");
        let comment = within || opens || text.starts_with("//");
        assert!(served == source || comment && served.is_empty(), "{name}: {source}");
        within = (within || opens) && !source.contains("*/");
        code += usize::from(!served.is_empty());
    }
    assert!(code > 0 && !within, "{name}");
}

#[tokio::test]
async fn the_page_runs_nothing_but_itself_and_asks_nobody_else() {
    let visit = Visit::start().await;
    let (_, version) = visit.index().await;
    for path in ["/".to_owned(), format!("/page/{version}/app.js")] {
        let response = visit.get(&path, &[]).await;
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(&response, name), value, "{path}");
        }
        let permissions = header(&response, "permissions-policy");
        for feature in ["camera", "microphone", "geolocation", "usb", "payment"] {
            assert!(permissions.contains(&format!("{feature}=()")), "{permissions}");
        }
    }
}

#[tokio::test]
async fn who_has_a_form_of_a_part_is_not_sent_it_again() {
    let visit = Visit::start().await;
    let (_, version) = visit.index().await;
    for path in ["/".to_owned(), format!("/page/{version}/app.js"), "/page/0/app.js".to_owned()] {
        for coding in ["identity", "gzip"] {
            let first = visit.get(&path, &[("accept-encoding", coding)]).await;
            let tag = header(&first, "etag");
            let known = [("accept-encoding", coding), ("if-none-match", tag)];
            let again = visit.get(&path, &known).await;
            assert_eq!(again.status(), 304, "{path} {coding}");
            for name in ["etag", "cache-control", "vary", "content-security-policy"] {
                assert_eq!(header(&again, name), header(&first, name), "{path} {coding}");
            }
            assert!(again.bytes().await.unwrap().is_empty());
            let other = if coding == "gzip" { "identity" } else { "gzip" };
            let known = [("accept-encoding", other), ("if-none-match", tag)];
            assert_eq!(visit.get(&path, &known).await.status(), 200, "{path} {coding}");
        }
    }
}

#[tokio::test]
async fn a_head_tells_what_a_get_would_and_no_more() {
    let visit = Visit::start().await;
    let (_, version) = visit.index().await;
    for path in ["/".to_owned(), format!("/page/{version}/app.js")] {
        for coding in ["identity", "gzip"] {
            let got = visit.get(&path, &[("accept-encoding", coding)]).await;
            let request = format!(
                "HEAD {path} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {coding}\r\n\
                 connection: close\r\n\r\n"
            );
            let told = raw(visit.edge.address, request.as_bytes()).await.to_ascii_lowercase();
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{told}");
            for name in ["content-length", "content-type", "etag", "cache-control"] {
                let line = format!("\r\n{name}: {}", header(&got, name));
                assert!(head.contains(&line), "{path} {coding}: {line} in {head}");
            }
        }
    }
}

#[tokio::test]
async fn another_versions_address_leads_to_the_part_of_today_which_is_not_kept() {
    let visit = Visit::start().await;
    let (_, version) = visit.index().await;
    let today = visit.get(&format!("/page/{version}/app.js"), &[]).await;
    let (tag, today) = (header(&today, "etag").to_owned(), today.bytes().await.unwrap());
    for other in ["0", "0123456789abcdef", &version.to_uppercase().replace(char::is_numeric, "x")] {
        let response = visit.get(&format!("/page/{other}/app.js"), &[]).await;
        assert_eq!(header(&response, "cache-control"), "no-cache", "{other}");
        assert_eq!(header(&response, "etag"), tag, "{other}");
        assert_eq!(response.bytes().await.unwrap(), today, "{other}");
    }
    let index = visit.get("/", &[]).await;
    assert_eq!(header(&index, "cache-control"), "no-cache");
}

#[tokio::test]
async fn what_is_no_part_is_not_found_however_it_is_asked_for() {
    let visit = Visit::start().await;
    let (_, version) = visit.index().await;
    for name in [
        "none.js",
        "index.html",
        "APP.JS",
        "app.js/",
        "app.js%00",
        "app.js%20",
        "%ff",
        "..%2fCargo.toml",
        "%2e%2e%2f%2e%2e%2fCargo.toml",
        "..%5c..%5cCargo.toml",
        "%2fetc%2fpasswd",
        "style",
        ".%2fapp.js",
    ] {
        let response = visit.edge.get(&format!("/page/{version}/{name}")).send().await.unwrap();
        assert_eq!(header(&response, "cache-control"), "no-store", "{name}");
        let problem = problem(response, 404).await;
        assert_eq!(problem["detail"], "the page has no such file", "{name}");
    }
    // As no client would write them: they come as they are.
    for target in ["../../Cargo.toml", "../app.js", "/etc/passwd", "./app.js", "a/../app.js"] {
        let request = format!(
            "GET /page/{version}/{target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        let told = raw(visit.edge.address, request.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 404 "), "{target}: {told}");
    }
    for path in
        ["/page/", "/page/app.js", &format!("/page/{version}"), &format!("/page/{version}/")]
    {
        problem(visit.edge.get(path).send().await.unwrap(), 404).await;
    }
}

/// What a page of this index loads before anybody does anything.
fn named(index: &str) -> BTreeSet<String> {
    let attributes = index.split(['"']).filter(|it| it.starts_with("/page/"));
    attributes.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_first_look_names_every_module_and_is_below_its_weight() {
    let visit = Visit::start().await;
    let (html, version) = visit.index().await;
    let parts = named(&html);
    for (name, _) in
        sources().iter().filter(|it| it.0.rsplit_once('.').is_some_and(|it| it.1 == "js"))
    {
        let path = format!("/page/{version}/{name}");
        assert!(parts.contains(&path), "{path} would wait for who imports it");
    }
    let mut bytes = 0;
    for path in std::iter::once("/").chain(parts.iter().map(String::as_str)) {
        let response = visit.get(path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-encoding"), "gzip", "{path}");
        bytes += response.bytes().await.unwrap().len();
    }
    assert!(bytes < FIRST_LOOK, "{bytes} bytes in {} parts", parts.len() + 1);
}
