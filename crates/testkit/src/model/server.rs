//! The HTTP side of the fake model: connections, routes, answers.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::process::Lifecycle;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::{Method, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::call::{Call, Calls, Ending, Guard};
use super::request::Request;
use super::script::{BodyKind, Script};
use super::speech::Speech;

mod answer;
use answer::Answer;

type Response = http::Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Bytes of a request body; larger ones are refused.
const BODY: usize = 64 << 20;

/// Accepts connections until it is aborted.
pub(super) async fn serve(listener: TcpListener, calls: Arc<Calls>, life: Lifecycle) {
    while let Ok((stream, _)) = listener.accept().await {
        life.spawn(connection(stream, Arc::clone(&calls)));
    }
}

async fn connection(stream: TcpStream, calls: Arc<Calls>) {
    // Without it a token waits for the reader's acknowledgement of the last.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| route(request, Arc::clone(&calls)));
    let connection = hyper::server::conn::http1::Builder::new();
    // Its errors are the client's, or those that a script asked for.
    let ended = connection.serve_connection(TokioIo::new(stream), service).await;
    drop(ended);
}

async fn route(
    request: http::Request<Incoming>,
    calls: Arc<Calls>,
) -> Result<Response, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/models") => {
            let model =
                |id| json!({"id": id, "object": "model", "created": 0, "owned_by": "testkit"});
            let models = json!({"object": "list", "data": [model("script"), model("echo")]});
            plain(StatusCode::OK, &models)
        }
        (&Method::POST, "/v1/chat/completions") => completion(request, &calls).await,
        (method, path) => {
            let message = format!("there is no {method} {path} here");
            refusal(StatusCode::NOT_FOUND, &message)
        }
    })
}

async fn completion(request: http::Request<Incoming>, calls: &Arc<Calls>) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|it| it.to_str().ok()).map(str::to_owned);
    let Ok(body) = Limited::new(request.into_body(), BODY).collect().await else {
        return refusal(StatusCode::BAD_REQUEST, "the body broke off or is too large");
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let parsed = Request::deserialize(&body);
    let mut guard = calls.begin(Call {
        at: ::process::clock::now(),
        authorization,
        body,
        ended: None,
        ending: Ending::Open,
    });
    let decided = parsed.map_err(|it| it.to_string()).and_then(|request| {
        let script = decide(&request)?;
        Ok((request, script))
    });
    match decided {
        Ok((request, script)) => act(&request, script, guard).await,
        Err(message) => {
            guard.ends(Ending::Refused);
            refusal(StatusCode::BAD_REQUEST, &message)
        }
    }
}

/// The script of this request, a plain echo included.
fn decide(request: &Request) -> Result<Script, String> {
    let question = request.question();
    let script = match request.model.as_str() {
        "script" => Script::parse(&question)?,
        "echo" => None,
        other => {
            return Err(format!(
                "the model `{other}` does not exist; there are `script` and `echo`"
            ));
        }
    };
    let echo = || Script {
        text: Some(super::echo(&question, request.user_messages())),
        ..Script::default()
    };
    Ok(script.unwrap_or_else(echo))
}

async fn act(request: &Request, script: Script, mut guard: Guard) -> Response {
    if script.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
    }
    let status = script.status.and_then(|it| StatusCode::from_u16(it).ok());
    let before = guard.calls().before(guard.index());
    if let Some(status) = status.filter(|_| script.times.is_none_or(|times| before < times)) {
        guard.ends(Ending::Refused);
        return error(status, &script);
    }
    let speech = script.speech(request, before + 1);
    if !request.stream {
        tokio::time::sleep(pace(&script) * u32::try_from(speech.len()).unwrap_or(u32::MAX)).await;
        guard.ends(Ending::Finished);
        return plain(StatusCode::OK, &answer::whole(request, &speech));
    }
    let answer = Answer::new(request, script, speech, guard);
    let stream = futures::stream::unfold(Box::new(answer), |mut answer| async {
        let bytes = answer.next().await?;
        Some((bytes, answer))
    });
    let body = StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync();
    let response = http::Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-store");
    response.body(body).expect("its parts are constant")
}

fn pace(script: &Script) -> Duration {
    Duration::from_millis(script.every_ms)
}

/// The answer that a script with a `status` asks for.
fn error(status: StatusCode, script: &Script) -> Response {
    let mut response = match script.body {
        BodyKind::Json => refusal(status, "the script says so"),
        BodyKind::Html => {
            let page = format!("<html><body><h1>{status}</h1></body></html>\n");
            respond(status, "text/html", page)
        }
    };
    if let Some(seconds) = script.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// OpenAI's error object.
fn refusal(status: StatusCode, message: &str) -> Response {
    let kind = match status.as_u16() {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        0..500 => "invalid_request_error",
    };
    let error = json!({"message": message, "type": kind, "param": null, "code": null});
    plain(status, &json!({ "error": error }))
}

fn plain(status: StatusCode, body: &Value) -> Response {
    respond(status, "application/json", body.to_string())
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let response = http::Response::builder().status(status);
    let response = response.header(header::CONTENT_TYPE, kind).body(body);
    response.expect("its parts are constant")
}
