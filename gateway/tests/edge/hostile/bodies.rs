//! Bodies that are not what a route reads: refused, and nothing is begun.

use gateway::Config;
use serde_json::{Map, Value, json};

use super::raw::Request;
use super::rows::{Row, rows};
use super::stage::Stage;

/// Fields of any JSON, whose meaning is judged later.
const ANY: [&str; 1] = ["args"];

fn with_bodies() -> Vec<Row> {
    let rows: Vec<_> = rows().into_iter().filter(|it| it.body.is_some()).collect();
    assert!(rows.len() >= 12, "{}", rows.len());
    rows
}

fn fields(row: &Row) -> Map<String, Value> {
    row.sent().unwrap().as_object().unwrap().clone()
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let texts = [
        ("nothing", String::new()),
        ("a word", "x".to_owned()),
        ("null", "null".to_owned()),
        ("a list", "[]".to_owned()),
        ("a text", "\"x\"".to_owned()),
        ("a number", "7".to_owned()),
        ("cut off", "{".to_owned()),
        ("two objects", "{}{}".to_owned()),
        ("a byte order mark", "\u{feff}{}".to_owned()),
        ("NaN", "{\"x\":NaN}".to_owned()),
        ("a lone surrogate", "{\"\\ud800\":1}".to_owned()),
        ("a control character", "{\"a\nb\":1}".to_owned()),
        ("a form", "userId=u&input=x".to_owned()),
        ("100,000 lists", "[".repeat(100_000)),
        ("100,000 objects", "{\"a\":".repeat(100_000)),
        ("a number of 900,000 digits", format!("{{\"x\":{}}}", "9".repeat(900_000))),
        ("50,000 fields", wide()),
    ];
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in with_bodies() {
            for (what, text) in &texts {
                stage.refuses(&row, &row.sending(text.as_str()), (what, &[400])).await;
            }
            let what = ("bytes that are no UTF-8", &[400][..]);
            stage.refuses(&row, &row.sending(b"{\"a\":\"\xff\xfe\"}"), what).await;
        }
        stage.asked_nothing();
    })
    .await;
}

fn wide() -> String {
    let fields: Vec<_> = (0..50_000).map(|it| format!("\"{it}\":\"\"")).collect();
    format!("{{{}}}", fields.join(","))
}

#[tokio::test]
async fn every_field_of_another_type_is_refused() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in with_bodies() {
            let fields = fields(&row);
            for (name, good) in &fields {
                if ANY.contains(&name.as_str()) {
                    continue;
                }
                let wrong = [json!(7), json!(true), json!("x"), json!([7]), json!({"x": {}})];
                for value in wrong {
                    if kind(&value) == kind(good) {
                        continue;
                    }
                    let what = format!("{name} is {value}");
                    let mut sent = fields.clone();
                    sent.insert(name.clone(), value);
                    let request = row.sending(Value::from(sent).to_string());
                    stage.refuses(&row, &request, (&what, &[400])).await;
                }
                twice(stage, &row, name).await;
            }
        }
        stage.asked_nothing();
    })
    .await;
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// A field that stands twice may mean two things.
async fn twice(stage: &Stage, row: &Row, name: &str) {
    let fields = fields(row);
    let text = Value::from(fields.clone()).to_string();
    let body = format!("{{{}:{},{}", json!(name), fields[name], &text[1..]);
    stage.refuses(row, &row.sending(body), (&format!("{name} twice"), &[400])).await;
}

#[tokio::test]
async fn unknown_fields_are_refused_on_native_routes_and_ignored_on_compatible_ones() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in with_bodies() {
            let mut sent = fields(&row);
            sent.insert("unknownField".to_owned(), json!({"role": "system"}));
            let request = row.sending(Value::from(sent).to_string());
            if row.is_native() {
                stage.refuses(&row, &request, ("an unknown field", &[400])).await;
                assert!(stage.send(&request).await.body.contains("unknownField"));
                continue;
            }
            let answer = stage.send(&request).await;
            if answer.status != row.well {
                stage.wrong(format!("{} does not ignore a field: {answer:?}", row.name()));
            }
        }
        stage.played();
    })
    .await;
}

#[tokio::test]
async fn bodies_of_another_form_or_size_are_refused() {
    let limit = Config::default().body_bytes;
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in with_bodies() {
            for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
            {
                let request = row.request().only("content-type", kind);
                stage.refuses(&row, &request, (&format!("a body of {kind:?}"), &[415])).await;
            }
            let mut bare = row.request();
            bare.headers.retain(|it| it.0 != "content-type");
            stage.refuses(&row, &bare, ("a body of no type", &[415])).await;
            for coding in ["gzip", "br", "identity, gzip"] {
                let request = row.request().header("content-encoding", coding);
                stage.refuses(&row, &request, (&format!("a body in {coding}"), &[415])).await;
            }
            let mut text = row.sent().unwrap().to_string();
            text.push_str(&" ".repeat(limit + 1 - text.len()));
            stage.refuses(&row, &row.sending(text.clone()), ("a byte too many", &[413])).await;
            let chunks = format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
            let request = row.sending(chunks).header("transfer-encoding", "chunked");
            let request = Request { is_measured: false, ..request };
            stage.refuses(&row, &request, ("a byte too many in chunks", &[413])).await;
            for lengths in [["5", "6"], ["5", "5"]] {
                let request = lengths
                    .iter()
                    .fold(row.request(), |it, length| it.header("content-length", length));
                let answer = stage.send(&request).await;
                if answer.status != 400 || answer.header("connection") != Some("close") {
                    stage.wrong(format!("{} takes two lengths: {answer:?}", row.name()));
                }
            }
        }
        stage.asked_nothing();
    })
    .await;
}
