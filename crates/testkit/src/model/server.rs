//! The HTTP side of the fake model: connections, routes, answers.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::process::Lifecycle;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::call::{Call, Calls, Ending, Guard};
use super::lessons::Lessons;
use super::request::Request;
use super::script::{BodyKind, Script};
use super::speech::Speech;
use super::tools::Whole;

mod answer;
mod dashscope;
mod embeddings;
mod openai;
mod protocol;

use answer::Answer;
use protocol::{Asked, Fault, Protocol};

type Response = http::Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Bytes of a request body; larger ones are refused.
const BODY: usize = 64 << 20;

/// What all connections share: the calls so far, and what was taught.
type Known = (Arc<Calls>, Arc<Lessons>);

/// Accepts connections until it is aborted.
pub(super) async fn serve(listener: TcpListener, known: Known, life: Lifecycle) {
    while let Ok((stream, _)) = listener.accept().await {
        life.spawn(connection(stream, known.clone()));
    }
}

async fn connection(stream: TcpStream, known: Known) {
    // Without it a token waits for the reader's acknowledgement of the last.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| route(request, known.clone()));
    let connection = hyper::server::conn::http1::Builder::new();
    // Its errors are the client's, or those that a script asked for.
    let ended = connection.serve_connection(TokioIo::new(stream), service).await;
    drop(ended);
}

async fn route(request: http::Request<Incoming>, known: Known) -> Result<Response, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/models") => {
            let model =
                |id| json!({"id": id, "object": "model", "created": 0, "owned_by": "testkit"});
            let models = ["script", "echo", "embed"].map(model);
            plain(StatusCode::OK, &json!({"object": "list", "data": models}))
        }
        (&Method::POST, openai::PATH) => completion(request, &known, Protocol::OpenAi).await,
        (&Method::POST, dashscope::PATH) => completion(request, &known, Protocol::DashScope).await,
        (&Method::POST, embeddings::PATH) => embedding(request, &known.0).await,
        (method, path) => {
            let message = format!("there is no {method} {path} here");
            Protocol::OpenAi.refusal(&Fault::new(StatusCode::NOT_FOUND, message))
        }
    })
}

/// A request as it came.
struct Received {
    path: String,
    headers: HeaderMap,
    body: Value,
}

impl Received {
    async fn read(request: http::Request<Incoming>) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY).collect().await else {
            let message = "the body broke off or is too large".to_owned();
            return Err(Fault::new(StatusCode::BAD_REQUEST, message));
        };
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        Ok(Self { path: parts.uri.path().to_owned(), headers: parts.headers, body })
    }

    fn begin(self, calls: &Arc<Calls>, asked: Option<(String, usize)>) -> Guard {
        let header = |name: &str| Some(self.headers.get(name)?.to_str().ok()?.to_owned());
        calls.begin(Call {
            authorization: header("authorization"),
            traceparent: header("traceparent"),
            path: self.path,
            at: ::process::clock::now(),
            body: self.body,
            ended: None,
            ending: Ending::Open,
            asked,
        })
    }
}

async fn completion(
    request: http::Request<Incoming>,
    (calls, lessons): &Known,
    protocol: Protocol,
) -> Response {
    let received = match Received::read(request).await {
        Ok(received) => received,
        Err(fault) => return protocol.refusal(&fault),
    };
    let read = protocol.read(&received.headers, &received.body);
    let question = |it: &Asked| (it.request.question(), it.request.steps());
    let mut guard = received.begin(calls, read.as_ref().ok().map(question));
    let decided = read.and_then(|asked| {
        let script = decide(&asked.request, lessons, protocol)?;
        Ok((asked, script))
    });
    match decided {
        Ok((asked, script)) => act(asked, script, guard).await,
        Err(fault) => {
            guard.ends(Ending::Refused);
            protocol.refusal(&fault)
        }
    }
}

/// The script of this request, a plain echo included.
fn decide(request: &Request, lessons: &Lessons, protocol: Protocol) -> Result<Script, Fault> {
    let wrong = |message| Fault::new(StatusCode::BAD_REQUEST, message);
    let question = request.question();
    let script = match request.model.as_str() {
        "script" => {
            let taught = lessons.meaning(&question).map(Ok);
            taught.or_else(|| Script::parse(&question).transpose()).transpose().map_err(wrong)?
        }
        "echo" => None,
        other => return Err(protocol.unknown_model(other)),
    };
    request.check().map_err(wrong)?;
    let echo = || Script {
        text: Some(super::echo(&question, request.user_messages())),
        ..Script::default()
    };
    Ok(script.map_or_else(echo, |it| it.step(request)))
}

async fn act(asked: Asked, script: Script, mut guard: Guard) -> Response {
    let asked = if script.cumulative { asked.repeating() } else { asked };
    if script.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
    }
    let status = script.status.and_then(|it| StatusCode::from_u16(it).ok());
    let before = guard.calls().before(guard.index());
    if let Some(status) = status.filter(|_| script.times.is_none_or(|times| before < times)) {
        guard.ends(Ending::Refused);
        return error(status, &script, asked.protocol());
    }
    let speech = script.speech(&asked.request, before + 1);
    if !asked.request.stream {
        tokio::time::sleep(pace(&script) * u32::try_from(speech.len()).unwrap_or(u32::MAX)).await;
        guard.ends(Ending::Finished);
        return plain(StatusCode::OK, &asked.whole(&speech));
    }
    let answer = Answer::new(&asked, script, speech, guard);
    let stream = futures::stream::unfold(Box::new(answer), |mut answer| async {
        let bytes = answer.next().await?;
        Some((bytes, answer))
    });
    let body = StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync();
    let response = http::Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream;charset=UTF-8")
        .header(header::CACHE_CONTROL, "no-store");
    response.body(body).expect("its parts are constant")
}

async fn embedding(request: http::Request<Incoming>, calls: &Arc<Calls>) -> Response {
    let protocol = Protocol::OpenAi;
    let received = match Received::read(request).await {
        Ok(received) => received,
        Err(fault) => return protocol.refusal(&fault),
    };
    let answer = embeddings::answer(&received.body);
    let mut guard = received.begin(calls, None);
    match answer {
        Ok(body) => {
            guard.ends(Ending::Finished);
            plain(StatusCode::OK, &body)
        }
        Err(fault) => {
            guard.ends(Ending::Refused);
            protocol.refusal(&fault)
        }
    }
}

fn pace(script: &Script) -> Duration {
    Duration::from_millis(script.every_ms)
}

/// The answer that a script with a `status` asks for.
fn error(status: StatusCode, script: &Script, protocol: Protocol) -> Response {
    let message = script.error_message.clone();
    let message = message.unwrap_or_else(|| "the script says so".to_owned());
    let fault = Fault { status, code: script.error_code.clone(), message };
    let mut response = match script.body {
        BodyKind::Json => protocol.refusal(&fault),
        BodyKind::Event => respond(status, "application/json", protocol.event(&fault)),
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

fn plain(status: StatusCode, body: &Value) -> Response {
    respond(status, "application/json", body.to_string())
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let response = http::Response::builder().status(status);
    let response = response.header(header::CONTENT_TYPE, kind).body(body);
    response.expect("its parts are constant")
}

/// An answer to a caller that does not stream, put together.
fn put_together(speech: &Speech) -> Whole {
    let (mut whole, mut delta) = (Whole::default(), Vec::new());
    for at in 0..speech.len() {
        delta.clear();
        speech.write(at, &mut delta);
        whole.add(&serde_json::from_slice(&delta).unwrap_or_default());
    }
    whole
}
