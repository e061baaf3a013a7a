//! `GET /v1/sessions` and `PATCH /v1/sessions/{session}`.

use std::collections::BTreeSet;

use broker::{Bucket, Expected, Key};
use prost::Message as _;
use proto::{Ending, Session, SessionRecord, Status};
use reqwest::Response;
use serde_json::{Value, json};
use testkit::nats::Server;

use crate::harness::{Edge, problem};

fn of(user: &str, id: &str) -> Session {
    Session::parse(user, id).unwrap()
}

/// What a worker would write of a session whose last activity was then.
fn record(title: &str, updated: u64) -> SessionRecord {
    let at = |it: u64| Some(proto::timestamp(std::time::Duration::from_secs(it)));
    SessionRecord {
        version: proto::FORMAT,
        title: title.to_owned(),
        created: at(1_000),
        updated: at(updated),
        question: format!("About {title}?"),
        answer: "Yes.".to_owned(),
        status: Status::Idle.into(),
        ending: Ending::Completed.into(),
        ..SessionRecord::default()
    }
}

async fn write(edge: &Edge, session: &Session, record: &SessionRecord) {
    let value = record.encode_to_vec().into();
    let key = Key::session(session);
    edge.broker.records.put(Bucket::Sessions, &key, value, Expected::Any).await.unwrap();
}

async fn stored(edge: &Edge, session: &Session) -> Option<SessionRecord> {
    let found = edge.broker.records.get(Bucket::Sessions, &Key::session(session)).await.unwrap();
    found.map(|it| SessionRecord::decode(it.value).unwrap())
}

async fn get(edge: &Edge, query: &[(&str, &str)]) -> Response {
    edge.get("/v1/sessions").query(query).send().await.unwrap()
}

/// A page of user `u`.
async fn page(edge: &Edge, query: &[(&str, &str)]) -> Value {
    let response = get(edge, &[&[("userId", "u")], query].concat()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

fn ids(page: &Value) -> Vec<&str> {
    let listed = page["sessions"].as_array().unwrap();
    listed.iter().map(|it| it["sessionId"].as_str().unwrap()).collect()
}

async fn ask(edge: &Edge, user: &str, session: &str) {
    let body = json!({"userId": user, "input": "What is\nnew?"});
    let request = edge.post(&format!("/v1/sessions/{session}/turns"), &body);
    let asked = request.header("prefer", "respond-async").send().await.unwrap();
    assert_eq!(asked.status(), 202);
}

#[tokio::test]
async fn sessions_are_listed_by_their_last_activity_and_as_they_stand() {
    let edge = Edge::start().await;
    for (session, title, updated) in
        [(of("u", "old"), "Old", 10), (of("u", "runs"), "Runs", 30), (of("v", "theirs"), "No", 40)]
    {
        write(&edge, &session, &record(title, updated)).await;
    }
    let waits = SessionRecord {
        status: Status::Interrupted.into(),
        ending: Ending::Interrupted.into(),
        ..record("Waits", 20)
    };
    write(&edge, &of("u", "waits.用户"), &waits).await;
    ask(&edge, "u", "runs").await;
    let mut work = edge.work().await;
    ask(&edge, "u", "new").await;

    let listed = page(&edge, &[]).await;
    assert_eq!(ids(&listed), ["new", "runs", "waits.用户", "old"]);
    assert_eq!(listed.get("cursor"), None);
    let sessions = listed["sessions"].as_array().unwrap();
    let told: Vec<_> = sessions.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(told, ["queued", "running", "interrupted", "idle"]);
    assert_eq!(
        (&sessions[0]["title"], &sessions[0]["unfinished"]),
        (&"What is new?".into(), &1.into())
    );
    assert_eq!(sessions[1]["turnId"], work.delivery.turn.to_string());
    assert_eq!(
        sessions[3],
        json!({
            "sessionId": "old", "status": "idle", "ending": "completed", "unfinished": 0,
            "title": "Old", "createdAt": "1970-01-01T00:16:40Z",
            "updatedAt": "1970-01-01T00:00:10Z",
            "lastQuestion": "About Old?", "lastAnswer": "Yes.",
        })
    );
    work.complete().await;
    work.settle().await;
    let listed = page(&edge, &[]).await;
    let runs = &listed["sessions"][1];
    assert_eq!((&runs["status"], &runs["ending"]), (&"idle".into(), &"completed".into()));
    let theirs: Value = get(&edge, &[("userId", "v")]).await.json().await.unwrap();
    assert_eq!(ids(&theirs), ["theirs"]);
    let nobody: Value = get(&edge, &[("userId", "nobody")]).await.json().await.unwrap();
    assert_eq!(nobody, json!({"sessions": []}));
}

#[tokio::test]
async fn what_does_not_change_while_pages_are_read_is_on_exactly_one_of_them() {
    let edge = Edge::start().await;
    for n in 0..250_u64 {
        // Many at the same moment, as machines do.
        write(&edge, &of("u", &format!("s{n}")), &record("It", 1_000 + n / 7)).await;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut moved = BTreeSet::new();
    let (mut cursor, mut round) = (None, 0_u64);
    loop {
        let mut query = vec![("limit", "17")];
        query.extend(cursor.as_deref().map(|it| ("cursor", it)));
        let read = page(&edge, &query).await;
        assert!(ids(&read).len() <= 17);
        seen.extend(ids(&read).into_iter().map(str::to_owned));
        let Some(next) = read["cursor"].as_str() else { break };
        cursor = Some(next.to_owned());
        // Others are active meanwhile, one is new, and the last one read is gone.
        for n in [round * 13 % 250, round * 29 % 250] {
            let id = format!("s{n}");
            write(&edge, &of("u", &id), &record("It", 9_000 + round)).await;
            moved.insert(id);
        }
        write(&edge, &of("u", &format!("new{round}")), &record("New", 9_500 + round)).await;
        if round == 3 {
            let last = seen.last().unwrap().clone();
            let key = Key::session(&of("u", &last));
            edge.broker.records.delete(Bucket::Sessions, &key).await.unwrap();
        }
        round += 1;
    }
    assert!(round > 10, "{round} pages");
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "none is listed twice");
    for id in (0..250).map(|it| format!("s{it}")).filter(|it| !moved.contains(it)) {
        assert!(distinct.contains(&id), "{id} is lost");
    }
    assert!(seen.iter().all(|it| !it.starts_with("new")));
}

#[tokio::test]
async fn a_deleted_session_is_listed_no_more_even_if_something_of_it_is_left() {
    let edge = Edge::start().await;
    ask(&edge, "u", "gone").await;
    let mut work = edge.work().await;
    work.complete().await;
    work.settle().await;
    write(&edge, &of("u", "gone"), &record("Gone", 20)).await;
    write(&edge, &of("u", "kept"), &record("Kept", 10)).await;
    let answer: Value = edge.erase("gone").send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["sessionId"], "gone");
    assert_eq!(answer["removed"]["records"], 1);
    assert_eq!(ids(&page(&edge, &[]).await), ["kept"]);
    // As a worker would leave it that was late.
    write(&edge, &of("u", "gone"), &record("Gone", 20)).await;
    assert_eq!(ids(&page(&edge, &[("limit", "1")]).await), ["kept"]);
    let shown = edge.get("/v1/sessions/gone?userId=u").send().await.unwrap();
    assert_eq!(shown.json::<Value>().await.unwrap().get("title"), None);
    ask(&edge, "u", "gone").await;
    assert_eq!(page(&edge, &[]).await["sessions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_page_that_makes_no_sense_is_refused_by_field() {
    let edge = Edge::start().await;
    let long = "x".repeat(300);
    for (query, field) in [
        (&[("limit", "0")][..], "limit"),
        (&[("limit", "101")], "limit"),
        (&[("limit", "-1")], "limit"),
        (&[("limit", "ten")], "limit"),
        (&[("cursor", "")], "cursor"),
        (&[("cursor", "5")], "cursor"),
        (&[("cursor", "../../etc")], "cursor"),
    ] {
        let refused = get(&edge, &[&[("userId", "u")], query].concat()).await;
        assert_eq!(problem(refused, 400).await["violations"][0]["field"], field, "{query:?}");
    }
    for user in ["", "a\nb", &long] {
        let refused = get(&edge, &[("userId", user)]).await;
        assert_eq!(problem(refused, 400).await["violations"][0]["field"], "userId");
    }
    problem(get(&edge, &[]).await, 400).await;
}

async fn rename(edge: &Edge, session: &str, body: &Value) -> Response {
    let url = format!("http://{}/v1/sessions/{session}", edge.address);
    edge.http.patch(url).json(body).send().await.unwrap()
}

#[tokio::test]
async fn a_session_is_renamed_and_shows_it() {
    let edge = Edge::start().await;
    write(&edge, &of("u", "s"), &record("Old", 10)).await;
    let renamed = rename(&edge, "s", &json!({"userId": "u", "title": "  旅行 ✈ "})).await;
    assert_eq!(renamed.status(), 200);
    let shown: Value = renamed.json().await.unwrap();
    assert_eq!((&shown["sessionId"], &shown["title"]), (&"s".into(), &"旅行 ✈".into()));
    let kept = stored(&edge, &of("u", "s")).await.unwrap();
    assert_eq!(kept, SessionRecord { title: "旅行 ✈".into(), named: true, ..record("Old", 10) });
    let shown: Value =
        edge.get("/v1/sessions/s?userId=u").send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["title"], "旅行 ✈");
    assert_eq!(shown["lastQuestion"], "About Old?");
    assert_eq!(page(&edge, &[]).await["sessions"][0]["title"], "旅行 ✈");
    // Of one whose first question still waits, too.
    ask(&edge, "u", "new").await;
    assert_eq!(rename(&edge, "new", &json!({"userId": "u", "title": "N"})).await.status(), 200);
    assert_eq!(page(&edge, &[]).await["sessions"][0]["title"], "N");
}

#[tokio::test]
async fn a_title_that_cannot_be_one_and_a_session_that_is_none_are_refused() {
    let edge = Edge::start().await;
    write(&edge, &of("u", "s"), &record("Old", 10)).await;
    for (body, field) in [
        (json!({"userId": "u", "title": " "}), "title"),
        (json!({"userId": "u", "title": "a\nb"}), "title"),
        (json!({"userId": "u", "title": "a\u{0}b"}), "title"),
        (json!({"userId": "u", "title": "x".repeat(201)}), "title"),
        (json!({"userId": "u", "title": 7}), "title"),
        (json!({"userId": "u"}), "title"),
        (json!({"title": "x"}), "userId"),
        (json!({"userId": "", "title": "x"}), "userId"),
        (json!({"userId": "u", "title": "x", "name": "x"}), "name"),
    ] {
        let refused = rename(&edge, "s", &body).await;
        assert_eq!(problem(refused, 400).await["violations"][0]["field"], field, "{body}");
    }
    let named = |user: &str| json!({"userId": user, "title": "Mine"});
    problem(rename(&edge, "s", &named("v")).await, 404).await;
    problem(rename(&edge, "none", &named("u")).await, 404).await;
    problem(rename(&edge, &"x".repeat(300), &named("u")).await, 400).await;
    assert_eq!(stored(&edge, &of("u", "s")).await, Some(record("Old", 10)));
    assert_eq!(stored(&edge, &of("v", "s")).await, None);
    assert_eq!(stored(&edge, &of("u", "none")).await, None);
    assert_eq!(edge.erase("s").send().await.unwrap().status(), 200);
    problem(rename(&edge, "s", &named("u")).await, 404).await;
    assert_eq!(stored(&edge, &of("u", "s")).await, None);
}

#[tokio::test]
async fn a_new_title_and_what_a_worker_writes_at_the_same_time_are_both_kept() {
    let edge = Edge::start().await;
    let session = of("u", "s");
    write(&edge, &session, &record("Old", 10)).await;
    let key = Key::session(&session);
    let working = async {
        for updated in 11..40 {
            loop {
                let found = edge.broker.records.get(Bucket::Sessions, &key).await.unwrap().unwrap();
                let before = SessionRecord::decode(found.value).unwrap();
                let next = SessionRecord { updated: record("", updated).updated, ..before };
                let (value, expected) =
                    (next.encode_to_vec().into(), Expected::Revision(found.revision));
                match edge.broker.records.put(Bucket::Sessions, &key, value, expected).await {
                    Ok(_) => break,
                    Err(broker::Error::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let renaming = async {
        let mut named = 0;
        for n in 0..10 {
            let body = json!({"userId": "u", "title": format!("T{n}")});
            match rename(&edge, "s", &body).await.status().as_u16() {
                200 => named = n,
                status => assert_eq!(status, 503, "what was not stored is said"),
            }
        }
        named
    };
    let ((), named) = tokio::join!(working, renaming);
    let kept = stored(&edge, &session).await.unwrap();
    assert_eq!((kept.title, kept.named), (format!("T{named}"), true));
    assert_eq!(kept.updated, record("", 39).updated);
}

#[tokio::test]
async fn sessions_on_nats_are_listed_in_pages_and_renamed_by_any_gateway() {
    let server = Server::start().await.unwrap();
    let config = broker::nats::Config::new(server.url());
    let edge =
        Edge::on(gateway::Config::default(), broker::nats::open(config).await.unwrap()).await;
    let other = edge.another().await;
    for n in 0..40 {
        write(&edge, &of("u", &format!("s.{n}")), &record("It", 1_000 + n)).await;
        write(&edge, &of("u.v", &format!("s.{n}")), &record("Theirs", 1_000 + n)).await;
    }
    ask(&edge, "u", "new").await;
    let first = page(&edge, &[("limit", "30")]).await;
    assert_eq!(ids(&first)[..2], ["new", "s.39"]);
    let cursor = first["cursor"].as_str().unwrap();
    let renamed = rename(&other, "s.0", &json!({"userId": "u", "title": "Mine"})).await;
    assert_eq!(renamed.status(), 200);
    let rest = page(&other, &[("limit", "30"), ("cursor", cursor)]).await;
    assert_eq!((ids(&rest).len(), rest.get("cursor")), (11, None));
    assert_eq!(rest["sessions"][10]["title"], "Mine", "a title is no activity");
}
