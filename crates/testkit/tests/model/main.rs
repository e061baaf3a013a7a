//! The fake model, driven over HTTP as the agent drives it.

mod answers;
mod dashscope;
mod embeddings;
mod steps;

use anyhow::Result;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::model::{FakeModel, Script};
use testkit::sse::{Frame, Sse};

async fn post(model: &FakeModel, body: &Value) -> Result<Response> {
    let url = format!("{}/chat/completions", model.base_url());
    Ok(Client::new().post(url).bearer_auth("key").json(body).send().await?)
}

async fn ask(model: &FakeModel, script: &Script) -> Result<Response> {
    let question = [json!({"role": "user", "content": script.question()})];
    let usage = json!({"include_usage": true});
    post(
        model,
        &json!({"model": "script", "stream": true, "stream_options": usage, "messages": question}),
    )
    .await
}

async fn stream(model: &FakeModel, script: &Script) -> Result<Sse> {
    Sse::open(ask(model, script).await?).await
}

fn field<'a>(frame: &'a Value, name: &str) -> &'a str {
    frame["choices"][0]["delta"][name].as_str().unwrap_or_default()
}

fn said(frames: &[Frame], name: &str) -> String {
    frames.iter().map(|it| field(&it.json(), name).to_owned()).collect()
}
