//! Heads of requests: pages of other sites, hosts that are not ours, marks of
//! other streams, and what is too long.

use gateway::Config;

use super::rows::{Family, Id, Row, rows};
use super::stage::{Stage, refusal};

#[tokio::test]
async fn pages_of_other_sites_have_no_effects_and_read_nothing() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in rows() {
            let mut foreign = vec![("sec-fetch-site", "cross-site")];
            if row.has_effects() {
                foreign.extend([
                    ("sec-fetch-site", "same-site"),
                    ("sec-fetch-site", "nonsense"),
                    ("origin", "http://evil.example"),
                    ("origin", "https://localhost.evil.example"),
                    ("origin", "http://localhost:1"),
                    ("origin", "null"),
                    ("origin", ""),
                ]);
            }
            for (name, value) in foreign {
                let request = row.request().header(name, value);
                stage.refuses(&row, &request, (&format!("{name}: {value}"), &[403])).await;
                let answer = stage.send(&request).await;
                if answer.header("access-control-allow-origin").is_some() {
                    stage.wrong(format!("{} lets {value} read", row.name()));
                }
            }
        }
        stage.asked_nothing();
    })
    .await;
}

#[tokio::test]
async fn other_hosts_are_not_answered_for() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in rows() {
            for host in ["evil.example", "localhost.evil.example", "169.254.169.254", "0.0.0.0"] {
                let request = row.request().only("host", host);
                stage.refuses(&row, &request, (&format!("of {host}"), &[421])).await;
            }
            for host in ["", "a b", "localhost, evil.example", "evil.example@localhost"] {
                let request = row.request().only("host", host);
                let (what, expected) = (format!("of {host:?}"), [400, 421]);
                stage.refuses(&row, &request, (&what, &expected)).await;
            }
            let request = row.request().header("host", "localhost").header("host", "evil.example");
            stage.refuses(&row, &request, ("of two hosts", &[400])).await;
        }
        stage.asked_nothing();
    })
    .await;
}

#[tokio::test]
async fn what_is_too_long_or_too_much_is_refused_before_anything_is_done() {
    let config = Config::default();
    let (uri, head, lines) = (config.uri_bytes, config.head_bytes, config.headers);
    Stage::run(config, async |stage: &Stage| {
        for row in rows() {
            let mut long = row.request();
            let sign = if long.target.contains('?') { '&' } else { '?' };
            long.target = format!("{}{sign}x={}", long.target, "y".repeat(uri));
            stage.refuses(&row, &long, ("a long address", &[414])).await;
            let large = row.request().header("x-large", "y".repeat(2 * head));
            let many = (0..=lines).fold(row.request(), |it, n| it.header(&format!("x-{n}"), "y"));
            for (what, request) in [("a large header", large), ("many headers", many)] {
                // It is refused before anybody knows which route it is for.
                let answer = stage.send(&request).await;
                if answer.status != 431 || answer.json()["status"] != 431 {
                    stage.wrong(format!("{} {what}: {answer:?}", row.name()));
                }
            }
        }
        stage.asked_nothing();
    })
    .await;
}

#[tokio::test]
async fn headers_that_mean_nothing_here_change_nothing() {
    Stage::run(Config::default(), async |stage: &Stage| {
        let odd = [
            ("x-forwarded-for", "6.6.6.6, '; --"),
            ("forwarded", "for=\"_evil\""),
            ("x-forwarded-host", "evil.example"),
            ("x-original-url", "/readyz"),
            ("x-http-method-override", "DELETE"),
            ("authorization", "Bearer nobody asks"),
            ("cookie", "session=canary; userId=canary"),
            ("traceparent", "00-zz-zz-zz"),
            ("tracestate", "=,=,="),
            ("x-request-id", "a\"b\\c"),
            ("range", "bytes=0-1"),
            ("if-match", "*"),
            ("accept-encoding", "gzip;q=nonsense"),
            ("content-language", "\u{7f}"),
        ];
        for (name, value) in odd {
            for row in rows().into_iter().filter(|it| it.method != "DELETE") {
                if name == "content-language" {
                    break;
                }
                let answer = stage.send(&row.request().header(name, value)).await;
                if answer.status != row.well {
                    stage.wrong(format!("{} {name}: {answer:?}", row.name()));
                }
            }
        }
        let played = stage.played();
        assert!(played.iter().all(|it| it.0 == "u" || it.0 == "openai"), "{played:?}");
    })
    .await;
}

#[tokio::test]
async fn what_a_client_cannot_take_is_refused_and_nonsense_is_no_wish() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in rows() {
            for accept in ["image/png", "text/event-stream;q=x", ",,;", "\u{ff}", "*/*;q=0"] {
                let answer = stage.send(&row.request().only("accept", accept)).await;
                let refused = refusal(row.family(), &answer, &[400, 404, 406, 409]).is_ok();
                if answer.status >= 400 && !refused {
                    stage.wrong(format!("{} accept {accept:?}: {answer:?}", row.name()));
                }
            }
        }
        stage.played();
    })
    .await;
}

/// Routes on which a reader goes on.
fn resumable() -> Vec<Row> {
    let goes_on = |it: &Row| {
        it.path.ends_with("/events") || it.name() == "GET /stream" || it.name().ends_with("/turns")
    };
    let rows: Vec<_> = rows().into_iter().filter(goes_on).collect();
    assert!(rows.len() >= 3);
    rows
}

#[tokio::test]
async fn the_mark_of_another_stream_shows_nothing_of_it() {
    Stage::run(Config::default(), async |stage: &Stage| {
        let find = |name: &str| rows().into_iter().find(|it| it.name() == name).unwrap();
        let look = find("GET /v1/sessions/{session}");
        let [session, user] = [Id::Session, Id::User].map(|it| look.place(it).unwrap());
        let canary = look.named(&[(session, b"canary"), (user, b"canary")]);
        let foreign = stage.send(&canary).await.json()["position"].as_str().unwrap().to_owned();
        for row in resumable() {
            for mark in [&foreign, "zzzz-1", "zzzz-99999999999999", "x", "-", "1-2-3-4", "💥"] {
                let request = row.request().header("last-event-id", mark);
                let answer = stage.send(&request).await;
                let refused = refusal(Family::Problem, &answer, &[400]).is_ok();
                let empty = answer.status == 204;
                if !(refused || empty || answer.status == 200) || shows(&answer.body) {
                    stage.wrong(format!("{} after {mark}: {answer:?}", row.name()));
                }
            }
        }
        let events = stage.edge.get("/v1/sessions/s/events?userId=u");
        let events = events.header("last-event-id", &foreign).send().await.unwrap();
        let mut events = crate::harness::Frames::of(events);
        stage.send(&find("POST /v1/sessions/{session}/turns").request()).await;
        for frame in events.until("completed").await {
            assert!(frame.data["sessionId"] == "s" && !shows(&frame.raw), "{frame:?}");
        }
        stage.played();
    })
    .await;
}

fn shows(text: &str) -> bool {
    text.contains(super::stage::SECRET) || text.contains("canary")
}
