//! Where callers are known: nothing without a credential, nothing of others with
//! one, and none in the address.

use gateway::Config;
use gateway::auth::keys::Role;

use super::raw::{Answer, Request};
use super::rows::{Id, In, Row, rows};
use super::stage::{Stage, open};
use crate::harness::Edge;
use crate::tokens::Keys;

/// What anybody may ask.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

async fn config(user: &str) -> (Keys, String, Config) {
    let keys = Keys::new();
    let (_, key) = keys.make(user, Role::User);
    let config = keys.config(None).await;
    (keys, format!("Bearer {key}"), config)
}

fn guarded() -> Vec<Row> {
    rows().into_iter().filter(|it| !OPEN.contains(&it.path)).collect()
}

#[tokio::test]
async fn without_a_credential_or_with_one_in_the_address_nothing_is_told() {
    let (_keys, key, config) = config("u").await;
    Stage::run(config, async |stage: &Stage| {
        let bare = key.trim_start_matches("Bearer ").to_owned();
        for row in guarded() {
            stage.refuses(&row, &row.request(), ("by nobody", &[401])).await;
            for bad in ["Basic dTp1", "Bearer", "Bearer weir_000000000000_x", "Bearer \u{7f}"] {
                let request = row.request().header("authorization", bad);
                if bad.contains('\u{7f}') {
                    continue;
                }
                stage.refuses(&row, &request, (bad, &[401])).await;
            }
            let twice = row.request().header("authorization", &key).header("authorization", &key);
            stage.refuses(&row, &twice, ("with two credentials", &[401])).await;
            for name in ["token", "access_token", "api_key", "ticket"] {
                let request = with_query(row.request(), &format!("{name}={bare}"));
                let what = format!("with {name} in the address");
                stage.refuses(&row, &request, (&what, &[400, 401])).await;
                if name != "ticket" {
                    let request = request.header("authorization", &key);
                    stage.refuses(&row, &request, (&what, &[400])).await;
                }
            }
            let cookie = row.request().header("cookie", format!("token={bare}"));
            stage.refuses(&row, &cookie, ("with a cookie", &[401])).await;
        }
        stage.asked_nothing();
    })
    .await;
}

fn with_query(mut request: Request, more: &str) -> Request {
    let sign = if request.target.contains('?') { '&' } else { '?' };
    request.target = format!("{}{sign}{more}", request.target);
    request
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let (_keys, key, config) = config("v").await;
    Stage::run(config, async |stage: &Stage| {
        let mut asked = 0;
        for row in guarded() {
            let Some(user) = row.place(Id::User) else { continue };
            let mut places = vec![(user, &b"canary"[..])];
            places.extend(row.place(Id::Session).map(|it| (it, &b"canary"[..])));
            let request = row.named(&places).header("authorization", &key);
            stage.refuses(&row, &request, ("for another user", &[403])).await;
            asked += 1;
        }
        assert!(asked > 20, "{asked}");
        stage.asked_nothing();
    })
    .await;
}

/// What an answer says, without what is different each time.
fn said(answer: &Answer, session: &str) -> (u16, String) {
    let json = answer.json();
    let mut fields = json.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !["requestId", "ticket", "expiresAt", "position"].contains(&&**name));
    let shown = serde_json::Value::from(fields).to_string();
    (answer.status, shown.replace(session, "SESSION"))
}

#[tokio::test]
async fn another_users_session_is_like_one_that_is_not_there_on_every_route() {
    let (_keys, key, config) = config("v").await;
    Stage::run(config, async |stage: &Stage| {
        let mut looked = 0;
        let mut rows = guarded();
        // Once there is a session of that name, there is something to see.
        rows.sort_by_key(Row::asks);
        for row in rows {
            let Some(session) = row.place(Id::Session) else { continue };
            // With authentication on, the user need not be named.
            let user = row.place(Id::User).map(|it| (it, &b"v"[..]));
            let mut answers = Vec::new();
            for name in ["canary", "nobody"] {
                let mut places = vec![(session, name.as_bytes())];
                places.extend(user);
                let request = row.named(&places).header("authorization", &key);
                let answer = stage.send(&request).await;
                let asks = !stage.played().is_empty();
                // The turn of a question is another one each time.
                answers.push(if asks {
                    (answer.status, String::new())
                } else {
                    said(&answer, name)
                });
            }
            if answers[0] != answers[1] {
                stage.wrong(format!("{}: {answers:?}", row.name()));
            }
            looked += 1;
        }
        assert!(looked > 14, "{looked}");
    })
    .await;
}

#[tokio::test]
async fn an_address_that_guesses_is_told_to_wait_and_learns_nothing() {
    let (_keys, key, config) = config("v").await;
    let failures = std::num::NonZeroU32::new(3).unwrap();
    let edge = Edge::with(Config { failures, ..open(config) }).await;
    let rows = guarded();
    let look = rows.iter().find(|it| it.name() == "GET /v1/sessions/{session}").unwrap();
    for (at, row) in rows.iter().enumerate() {
        let guess = format!("Bearer weir_{at:012}_guess");
        let answer = row.request().header("authorization", guess).send(edge.address).await;
        let expected = if at < 3 { 401 } else { 429 };
        assert_eq!(answer.status, expected, "{} {answer:?}", row.name());
        assert_eq!(answer.header("retry-after").is_some(), expected == 429);
    }
    // Who has a good one is served all the same.
    let user = look.places.iter().find(|it| it.at == In::Query).unwrap();
    let request = look.named(&[(*user, b"v")]).header("authorization", &key);
    assert_eq!(request.send(edge.address).await.status, 200);
}
