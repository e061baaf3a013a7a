//! Names of users and sessions: what is none is refused before anything is
//! stored, and what only looks dangerous is a name like any other.

use gateway::Config;

use super::rows::{Id, In, Place, Row, rows};
use super::stage::Stage;

/// What no name may be.
fn bad() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("129 bytes", vec![b'x'; 129]),
        ("129 bytes of characters", "é".repeat(65).into_bytes()),
        ("a NUL", b"a\0b".to_vec()),
        ("a line's end", b"a\nb".to_vec()),
        ("a command", b"a\r\nPUB x 1".to_vec()),
        ("DEL", b"\x7f".to_vec()),
        ("NEL", "\u{85}".into()),
        ("no UTF-8", b"\xff".to_vec()),
        ("an overlong dot", b"\xc0\xae".to_vec()),
        ("a surrogate", b"\xed\xa0\x80".to_vec()),
    ]
}

/// What is a name. The two last ones look the same and are not.
const ODD: [&str; 13] = [
    "a.b",
    "*",
    ">",
    "$JS.API.>",
    "..",
    "a/b",
    "a b",
    "%2e",
    "'; DROP TABLE log; --",
    "用户",
    "\u{ff0e}",
    "caf\u{e9}",
    "cafe\u{301}",
];

fn can_be_sent(place: Place, name: &[u8]) -> bool {
    match place.at {
        In::Path | In::Query => true,
        In::Body => std::str::from_utf8(name).is_ok(),
        In::Header => !name.is_empty() && name.iter().all(|it| (b' '..0x7f).contains(it)),
    }
}

#[tokio::test]
async fn what_is_no_name_is_refused_wherever_it_stands() {
    Stage::run(Config::default(), async |stage: &Stage| {
        let mut asked = 0;
        for row in rows() {
            for place in row.places.clone() {
                let expected: &[u16] = match place.id {
                    Id::User | Id::Session => &[400],
                    Id::Memory => &[404],
                    Id::Model => &[400, 404],
                };
                for (what, name) in bad() {
                    if !can_be_sent(place, &name) || (place.optional && name.is_empty()) {
                        continue;
                    }
                    // An empty part of a path may be another path, or none.
                    let missing = name.is_empty() && place.at == In::Path;
                    let expected = if missing { &[400, 404, 405] } else { expected };
                    let what = format!("{} is {what}", place.name);
                    stage.refuses(&row, &row.named(&[(place, &name)]), (&what, expected)).await;
                    asked += 1;
                }
            }
        }
        assert!(asked > 300, "{asked}");
        stage.asked_nothing();
    })
    .await;
}

#[tokio::test]
async fn names_that_look_dangerous_are_themselves_and_nothing_else() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in rows() {
            for place in row.places.clone() {
                for name in ODD {
                    if can_be_sent(place, name.as_bytes()) {
                        odd(stage, &row, (place, name)).await;
                    }
                }
            }
        }
    })
    .await;
}

/// A route that is asked with an odd name does the same as ever, and asks in that
/// name, if it asks.
async fn odd(stage: &Stage, row: &Row, (place, name): (Place, &str)) {
    let answer = stage.send(&row.named(&[(place, name.as_bytes())])).await;
    // Nothing is there yet under that name, or no longer.
    let known = answer.status == row.well || [404, 409].contains(&answer.status);
    if !known {
        let what = format!("{} {} is {name:?}: {answer:?}", row.name(), place.name);
        stage.wrong(what);
    }
    for (user, session) in stage.played() {
        let asked = if place.id == Id::User { user } else { session };
        if asked != name {
            stage.wrong(format!("{} {} is {name:?}, not {asked:?}", row.name(), place.name));
        }
    }
}

#[tokio::test]
async fn twins_that_look_the_same_stay_apart() {
    Stage::run(Config::default(), async |stage: &Stage| {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        let rows = rows();
        let find = |name: &str| rows.iter().find(|it| it.name() == name).unwrap().clone();
        let look = find("GET /v1/sessions/{session}");
        for row in rows.iter().filter(|it| it.place(Id::Session).is_some()) {
            let (session, of_look) = (row.place(Id::Session).unwrap(), look.places[0]);
            if session.at == In::Header {
                continue;
            }
            stage.send(&row.named(&[(session, composed.as_bytes())])).await;
            let twin = stage.send(&look.named(&[(of_look, decomposed.as_bytes())])).await;
            if twin.json()["status"] != "not_found" {
                stage.wrong(format!("{} made a session's twin: {twin:?}", row.name()));
            }
        }
        stage.played();
    })
    .await;
}
