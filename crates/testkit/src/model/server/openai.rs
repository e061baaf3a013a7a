//! OpenAI's chat completions, as the fake model reads and writes them.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::request::Message;
use super::protocol::{Asked, Fault, Form, Wire};
use super::{Request, Speech, put_together};

pub(super) const PATH: &str = "/v1/chat/completions";

/// The rest of a chunk after its delta.
const TAIL: &[u8] = b",\"finish_reason\":null}]}\n\n";

/// The body of a request. Other fields are ignored, as OpenAI does.
#[derive(Debug, Deserialize)]
struct Body {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

pub(super) fn read(body: &Value) -> Result<Asked, Fault> {
    let read = Body::deserialize(body);
    let body = read.map_err(|it| Fault::new(StatusCode::BAD_REQUEST, it.to_string()))?;
    let request = Request {
        model: body.model,
        messages: body.messages,
        stream: body.stream,
        usage: body.stream_options.is_some_and(|it| it.include_usage),
    };
    Ok(Asked { request, form: Form::OpenAi })
}

/// The error object.
pub(super) fn error(fault: &Fault) -> Value {
    let kind = match fault.status.as_u16() {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        0..500 => "invalid_request_error",
    };
    json!({ "error": { "message": fault.message, "type": kind, "param": null, "code": fault.code } })
}

/// The error object in a stream, where only it can name a status.
pub(super) fn event(fault: &Fault) -> String {
    let mut error = error(fault);
    if fault.code.is_none() && fault.status != StatusCode::INTERNAL_SERVER_ERROR {
        error["error"]["code"] = fault.status.as_u16().into();
    }
    format!("data: {error}\n\n")
}

/// `chat.completion.chunk` after `chat.completion.chunk`.
pub(super) struct Chunks {
    /// A chunk up to its delta.
    head: String,
    call: usize,
    usage: Option<Value>,
}

impl Chunks {
    pub(super) fn new(request: &Request, call: usize, speech: &Speech) -> Self {
        let model = Value::from(request.model.as_str());
        let created = ::process::clock::now().as_secs();
        Self {
            head: format!(
                r#"data: {{"id":"chatcmpl-{call}","object":"chat.completion.chunk","created":{created},"model":{model},"choices":[{{"index":0,"delta":"#
            ),
            call,
            usage: request.usage.then(|| usage(request, speech)),
        }
    }
}

impl Wire for Chunks {
    fn opening(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.delta(br#"{"role":"assistant","content":""}"#, &mut out);
        out
    }

    fn delta(&mut self, delta: &[u8], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(self.head.as_bytes());
        let text = out.len() + r#"{"content":""#.len();
        out.extend_from_slice(delta);
        out.extend_from_slice(TAIL);
        text
    }

    fn error(&mut self, fault: &Fault) -> Vec<u8> {
        event(fault).into_bytes()
    }

    fn closing(&mut self, finish: &str) -> Vec<u8> {
        let finish = Value::from(finish);
        let mut out = format!("{}{{}},\"finish_reason\":{finish}}}]}}\n\n", self.head);
        if let Some(usage) = &self.usage {
            let id = format!("chatcmpl-{}", self.call);
            let chunk =
                json!({"id": id, "object": "chat.completion.chunk", "choices": [], "usage": usage});
            out.extend(["data: ", &chunk.to_string(), "\n\n"]);
        }
        out += "data: [DONE]\n\n";
        out.into_bytes()
    }
}

fn usage(request: &Request, speech: &Speech) -> Value {
    let (asked, said) = (request.words(), speech.len());
    json!({"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said})
}

/// The whole answer as one object.
pub(super) fn whole(request: &Request, speech: &Speech) -> Value {
    json!({
        "id": "chatcmpl-whole", "object": "chat.completion",
        "created": ::process::clock::now().as_secs(), "model": request.model,
        "choices": [{
            "index": 0,
            "message": put_together(speech).message(),
            "finish_reason": speech.finish,
        }],
        "usage": usage(request, speech),
    })
}
