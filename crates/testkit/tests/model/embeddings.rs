//! Vectors, asked for as an embedder asks.

use anyhow::Result;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::model::{Ending, FakeModel};

async fn embed(model: &FakeModel, body: &Value) -> Result<Response> {
    let url = format!("{}/embeddings", model.base_url());
    Ok(Client::new().post(url).bearer_auth("key").json(body).send().await?)
}

fn vector(answer: &Value, at: usize) -> Vec<f64> {
    let numbers = answer["data"][at]["embedding"].as_array().cloned().unwrap_or_default();
    numbers.iter().filter_map(Value::as_f64).collect()
}

fn near(one: &[f64], two: &[f64]) -> f64 {
    one.iter().zip(two).map(|(one, two)| one * two).sum()
}

#[tokio::test]
async fn texts_of_one_meaning_are_near_each_other() -> Result<()> {
    let model = FakeModel::start().await?;
    let texts = ["my automobile", "the car", "我的轿车", "rain in Hangzhou"];
    let answer: Value =
        embed(&model, &json!({"model": "embed", "input": texts})).await?.json().await?;
    let vectors: Vec<_> = (0..texts.len()).map(|at| vector(&answer, at)).collect();
    assert!(vectors.iter().all(|it| it.len() == 64));
    assert!(near(&vectors[0], &vectors[1]) > 0.9 && near(&vectors[0], &vectors[2]) > 0.9);
    assert!(near(&vectors[0], &vectors[3]) < 0.5);
    assert_eq!((&answer["data"][3]["index"], &answer["model"]), (&json!(3), &json!("embed")));
    let call = &model.calls()[0];
    assert_eq!((call.path.as_str(), call.ending), ("/v1/embeddings", Ending::Finished));
    assert_eq!(
        (&call.body["input"][2], call.authorization.as_deref()),
        (&json!("我的轿车"), Some("Bearer key"))
    );
    Ok(())
}

#[tokio::test]
async fn one_text_needs_no_list_and_may_ask_for_a_length() -> Result<()> {
    let model = FakeModel::start().await?;
    let body = json!({"model": "embed-small", "input": "car", "dimensions": 8});
    let answer: Value = embed(&model, &body).await?.json().await?;
    assert_eq!(vector(&answer, 0).len(), 8);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_and_counted() -> Result<()> {
    let model = FakeModel::start().await?;
    let many = vec!["x"; 2049];
    for (body, status) in [
        (json!({"model": "script", "input": "x"}), 404),
        (json!({"model": "embed", "input": []}), 400),
        (json!({"model": "embed", "input": ["x", ""]}), 400),
        (json!({"model": "embed", "input": many}), 400),
        (json!({"model": "embed", "input": 7}), 400),
        (json!({"model": "embed", "input": "x", "dimensions": 0}), 400),
        (json!({"model": "embed", "input": "x", "encoding_format": "base64"}), 400),
        (json!({"model": "embed-status-429", "input": "x"}), 429),
    ] {
        let answer = embed(&model, &body).await?;
        assert_eq!(answer.status(), status, "{}", answer.text().await?);
    }
    let calls = model.calls();
    assert!(calls.len() == 8 && calls.iter().all(|it| it.ending == Ending::Refused));
    Ok(())
}
