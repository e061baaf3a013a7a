//! Methods that a route does not have.

use std::collections::{BTreeMap, BTreeSet};

use gateway::Config;

use super::rows::{Row, rows};
use super::stage::{Stage, refusal};

const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "BREW", "PROPFIND"];

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_which_it_has() {
    Stage::run(Config::default(), async |stage: &Stage| {
        let mut paths: BTreeMap<_, Vec<Row>> = BTreeMap::new();
        for row in rows() {
            paths.entry(row.path).or_default().push(row);
        }
        for rows in paths.values() {
            let has: BTreeSet<_> = rows.iter().map(|it| it.method).collect();
            for method in METHODS.into_iter().filter(|it| !has.contains(it)) {
                // Asked as the route that reads it, with nothing that could be one.
                let mut request = rows[0].request();
                method.clone_into(&mut request.method);
                let answer = stage.send(&request).await;
                let allowed = answer.header("allow").unwrap_or_default().to_ascii_uppercase();
                let allowed: BTreeSet<_> = allowed.split(',').map(str::trim).collect();
                let mut expected = has.clone();
                expected.extend(has.contains("GET").then_some("HEAD"));
                let told = refusal(rows[0].family(), &answer, &[405]);
                if told.is_err() || allowed != expected {
                    let path = rows[0].path;
                    stage.wrong(format!("{method} {path}: {told:?} {allowed:?} {answer:?}"));
                }
            }
        }
        stage.asked_nothing();
    })
    .await;
}

#[tokio::test]
async fn nothing_is_connected_and_a_look_at_the_head_asks_nothing() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in rows() {
            let mut request = row.request();
            "CONNECT".clone_into(&mut request.method);
            for target in [request.target.clone(), "169.254.169.254:80".to_owned()] {
                request.target = target;
                let answer = stage.send(&request).await;
                if !(400..500).contains(&answer.status) {
                    stage.wrong(format!("CONNECT {}: {answer:?}", request.target));
                }
            }
            let mut request = row.request();
            "HEAD".clone_into(&mut request.method);
            let answer = stage.send(&request).await;
            if answer.status >= 500 || answer.status == 0 {
                stage.wrong(format!("HEAD {}: {answer:?}", request.target));
            }
        }
        stage.asked_nothing();
    })
    .await;
}

#[tokio::test]
async fn pages_that_the_document_does_not_tell_of_are_only_read_and_only_by_their_own() {
    Stage::run(Config::default(), async |stage: &Stage| {
        let healthy = rows().into_iter().find(|it| it.path == "/healthz").unwrap();
        for path in ["/", "/page/0/app.js", "/docs/", "/openapi.json"] {
            let asked = |method: &str| {
                let mut request = healthy.request();
                path.clone_into(&mut request.target);
                method.clone_into(&mut request.method);
                request
            };
            let read = stage.send(&asked("GET")).await;
            if read.status != 200 || read.header("content-security-policy").is_none() {
                stage.wrong(format!("GET {path}: {read:?}"));
            }
            for method in ["POST", "PUT", "DELETE", "TRACE", "BREW"] {
                stage.refuses(&healthy, &asked(method), (path, &[405])).await;
            }
            let foreign = asked("GET").header("sec-fetch-site", "cross-site");
            stage.refuses(&healthy, &foreign, (path, &[403])).await;
            let host = asked("GET").only("host", "evil.example");
            stage.refuses(&healthy, &host, (path, &[421])).await;
        }
    })
    .await;
}
