//! OpenAI's own clients for Python and Node, as they are published, against the
//! whole system.

mod client;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::model::{FakeModel, Script, ToolCall};
use testkit::process::Weir;

use self::client::{Client, Sdk};
use crate::stage::weir;
use crate::tools::{Surroundings, call, configured};

/// Everything in one process, with a model that does what its question says.
async fn up(model: &FakeModel) -> Result<Weir> {
    let mut command =
        weir(&["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script"]).env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

fn asking(question: &str) -> Value {
    json!({ "model": "weir", "messages": [{ "role": "user", "content": question }] })
}

/// The same with more fields.
fn with(mut arguments: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        arguments[name] = value.clone();
    }
    arguments
}

/// In a session of user `u`.
fn within(session: &str, arguments: Value) -> Value {
    with(arguments, &json!({ "user": "u", "extra_headers": { "x-session-id": session } }))
}

/// What a client puts together of a field of the deltas.
fn joined(chunks: &Value, field: &str) -> String {
    let chunks = chunks.as_array().into_iter().flatten();
    chunks.filter_map(|it| it["choices"][0]["delta"][field].as_str()).collect()
}

#[tokio::test]
async fn the_clients_stream_with_usage_reasoning_and_every_character() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let text = "帕金森 🌍 «naïve»\n\ndata: [DONE]\n";
    let said = Script {
        text: Some(text.to_owned()),
        reasoning: Some("First I think. ".to_owned()),
        ..Script::default()
    };
    for sdk in Sdk::BOTH {
        let client = Client::of(sdk, &weir)?;
        let usage = json!({ "stream_options": { "include_usage": true } });
        let arguments = with(asking(&said.question()), &usage);
        let told = client.run("stream", &arguments).await?;
        assert_eq!(told["error"], Value::Null, "{sdk:?}: {told}");
        let chunks = &told["chunks"];
        assert_eq!(joined(chunks, "content"), text, "{sdk:?}");
        assert_eq!(joined(chunks, "reasoning_content"), "First I think. ", "{sdk:?}");
        let last = chunks.as_array().and_then(|it| it.last()).context("a last chunk")?;
        assert_eq!(last["choices"], json!([]));
        ensure!(last["usage"]["total_tokens"].as_u64() > Some(0), "{last}");
        let whole = client.run("gather", &asking(&said.question())).await?;
        let choice = &whole["result"]["choices"][0];
        assert_eq!(choice["message"]["content"], text, "{sdk:?}: {whole}");
        assert_eq!(choice["finish_reason"], "stop");
    }
    Ok(())
}

#[tokio::test]
async fn the_clients_get_whole_answers_and_the_models() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let said = Script { text: Some("Guten Tag".to_owned()), ..Script::default() }.question();
    for sdk in Sdk::BOTH {
        let client = Client::of(sdk, &weir)?;
        let told = client.run("create", &asking(&said)).await?;
        let answer = &told["result"];
        assert_eq!(answer["choices"][0]["message"]["content"], "Guten Tag", "{sdk:?}: {told}");
        assert_eq!(
            (&answer["object"], &answer["model"]),
            (&json!("chat.completion"), &json!("weir"))
        );
        ensure!(answer["usage"]["prompt_tokens"].as_u64() > Some(0), "{told}");
        ensure!(told["request"].is_string(), "{sdk:?}: the request's name: {told}");
        let named = with(asking(&said), &json!({ "model": "openai/script" }));
        let told = client.run("create", &named).await?;
        assert_eq!(told["result"]["model"], "openai/script", "{sdk:?}: {told}");

        let models = client.run("models", &json!({})).await?;
        let ids: Vec<_> =
            models["result"].as_array().into_iter().flatten().map(|it| &it["id"]).collect();
        assert_eq!(ids[0], "weir", "{sdk:?}: {models}");
        ensure!(ids.contains(&&json!("openai/script")), "{models}");
        let one = client.run("model", &json!({ "model": "openai/script" })).await?;
        assert_eq!(one["result"]["id"], "openai/script", "{sdk:?}: {one}");
    }
    Ok(())
}

#[tokio::test]
async fn a_conversation_goes_on_in_its_session_and_nowhere_else() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    for sdk in Sdk::BOTH {
        let client = Client::of(sdk, &weir)?;
        let session = format!("{sdk:?}");
        for (arguments, heard) in [
            (within(&session, asking("one")), 1),
            (within(&session, asking("two")), 2),
            (asking("three"), 1),
            (asking("four"), 1),
        ] {
            let told = client.run("create", &arguments).await?;
            let text = told["result"]["choices"][0]["message"]["content"].as_str();
            let expected = format!("(user message {heard})");
            ensure!(text.is_some_and(|it| it.contains(&expected)), "{sdk:?}: {told}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_clients_raise_their_own_exceptions() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let failing = |status: u16, after: Option<usize>| {
        let status = if after.is_some() { (None, Some(status)) } else { (Some(status), None) };
        let tokens = after.map(|_| 5);
        asking(
            &Script {
                status: status.0,
                error_status: status.1,
                error_after: after,
                tokens,
                ..Script::default()
            }
            .question(),
        )
    };
    let image = json!([{ "type": "image_url", "image_url": { "url": "data:," } }]);
    for sdk in Sdk::BOTH {
        let client = Client::of(sdk, &weir)?.never_again();
        for (arguments, kind, status, code) in [
            (with(asking("x"), &json!({ "n": 2 })), "BadRequestError", 400, "invalid_request"),
            (
                json!({ "model": "weir", "messages": [{ "role": "user", "content": image }] }),
                "BadRequestError",
                400,
                "invalid_request",
            ),
            (
                with(asking("x"), &json!({ "model": "none/such" })),
                "NotFoundError",
                404,
                "model_not_found",
            ),
            (failing(429, None), "RateLimitError", 429, "rate_limit_exceeded"),
            (failing(401, None), "InternalServerError", 500, "model_auth"),
        ] {
            let told = client.run("create", &arguments).await?;
            let error = &told["error"];
            let got = (&error["kind"], &error["status"], &error["code"]);
            assert_eq!(got, (&json!(kind), &json!(status), &json!(code)), "{sdk:?}: {told}");
        }
        let told = client.run("stream", &failing(500, Some(3))).await?;
        assert_eq!(told["error"]["kind"], "APIError", "{sdk:?}: {told}");
        assert_eq!(joined(&told["chunks"], "content"), "t0 t1 t2 ", "what was said before");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_gives_up_stops_the_model() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let endless = Script { tokens: Some(10_000), every_ms: 50, ..Script::default() }.question();
    for (sdk, kind) in [(Sdk::Python, "APITimeoutError"), (Sdk::Node, "APIConnectionTimeoutError")]
    {
        let client = Client::of(sdk, &weir)?.never_again();
        let before = model.calls().len();
        let told = client.clone().patient(1).run("create", &asking(&endless)).await?;
        assert_eq!(told["error"]["kind"], kind, "{sdk:?}: {told}");
        let told = client.run("leave", &asking(&endless)).await?;
        ensure!(told["result"].is_object(), "{sdk:?}: {told}");
        for call in before..before + 2 {
            client::ended(&model, call).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_asks_again_under_its_key_gets_the_same_answer() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let named = Script { name: Some("n".to_owned()), tokens: Some(3), ..Script::default() };
    for (sdk, key) in [(Sdk::Python, "p"), (Sdk::Node, "n")] {
        let client = Client::of(sdk, &weir)?;
        let before = model.calls().len();
        let mut answers = Vec::new();
        for _ in 0..2 {
            let keyed = json!({ "extra_headers": { "idempotency-key": key } });
            let arguments = with(asking(&named.question()), &keyed);
            let told = client.run("create", &arguments).await?;
            answers.push(told["result"]["choices"].clone());
        }
        assert_eq!(answers[0], answers[1], "{sdk:?}");
        ensure!(answers[0].is_array(), "{answers:?}");
        assert_eq!(model.calls().len(), before + 1, "{sdk:?}: the model was asked once");
    }
    Ok(())
}

#[tokio::test]
async fn the_key_says_who_asks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.toml").display().to_string();
    let made = weir(&["keys", "create", "--user", "alice"]).env("WEIR_API_KEYS", &file).output();
    let key = String::from_utf8(made.await?.stdout)?.trim().to_owned();
    let weir = crate::stage::up(&["--ephemeral", "--api-keys", &file]).await?;
    for sdk in Sdk::BOTH {
        let client = Client::of(sdk, &weir)?;
        let wrong = client.clone().key("weir_wrong").run("create", &asking("x")).await?;
        let error = &wrong["error"];
        assert_eq!(error["kind"], "AuthenticationError", "{sdk:?}: {wrong}");
        assert_eq!((&error["status"], &error["code"]), (&json!(401), &json!("invalid_api_key")));
        let client = client.key(&key);
        let right = client.run("create", &asking("What is Weir?")).await?;
        ensure!(right["result"]["choices"].is_array(), "{sdk:?}: {right}");
        let other = with(asking("x"), &json!({ "user": "bob" }));
        let told = client.run("create", &other).await?;
        assert_eq!(told["error"]["kind"], "PermissionDeniedError", "{sdk:?}: {told}");
    }
    Ok(())
}

/// Asks for a number to be counted, and tells what came of it.
fn counting(by: u64) -> String {
    let calls: Vec<ToolCall> = vec![call("pay", "t__count", &json!({ "by": by }))];
    let then = vec![Script { echo_tools: true, ..Script::default() }];
    Script { text: Some("I would count.".to_owned()), tool_calls: calls, then, ..Script::default() }
        .question()
}

#[tokio::test]
async fn a_call_that_waits_is_shown_as_the_clients_show_calls_and_decided_by_a_message()
-> Result<()> {
    let around = Surroundings::start().await?;
    let file = around.configure("")?;
    let flags = ["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
    let mut counted = 0;
    for sdk in Sdk::BOTH {
        let client = Client::of(sdk, &weir)?;
        for (session, decision, by) in [("respond", None, 0), ("accept", Some("accept"), 5)] {
            let session = format!("{sdk:?} {session}");
            let asked = within(&session, asking(&counting(5)));
            let do_it = if decision.is_some() { "gather" } else { "create" };
            let told = client.run(do_it, &asked).await?;
            let choice = &told["result"]["choices"][0];
            assert_eq!(choice["finish_reason"], "tool_calls", "{sdk:?}: {told}");
            let shown = &choice["message"]["tool_calls"][0];
            assert_eq!(shown["function"]["name"], "t__count", "{told}");
            assert_eq!(shown["function"]["arguments"], "{\"by\":5}");
            assert_eq!(around.server.count(), counted, "nothing is done before a human said so");
            let mut tool =
                json!({ "role": "tool", "tool_call_id": shown["id"], "content": "forty-two" });
            if let Some(decision) = decision {
                tool["weir"] = json!({ "decision": decision });
            }
            let message =
                json!({ "role": "assistant", "content": "I would count.", "tool_calls": [shown] });
            let mut answer = within(&session, asking(&counting(5)));
            answer["messages"].as_array_mut().context("messages")?.extend([message, tool]);
            let told = client.run("create", &answer).await?;
            counted += by;
            let text = told["result"]["choices"][0]["message"]["content"].as_str();
            let expected = if by == 0 { "forty-two" } else { "the counter is" };
            ensure!(text.is_some_and(|it| it.contains(expected)), "{sdk:?}: {told}");
            assert_eq!(around.server.count(), counted);
            let again = client.clone().never_again().run("create", &answer).await?;
            assert_eq!(again["error"]["kind"], "ConflictError", "{sdk:?}: {again}");
        }
    }
    Ok(())
}
