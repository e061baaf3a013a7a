//! DashScope's own text generation, as the fake model reads and writes it.
//!
//! Follows the vendor's API reference: a stream is asked for with the header
//! `X-DashScope-SSE: enable`, an event repeats everything said so far unless
//! `incremental_output` is asked for, and the finish reason is the string
//! `null` until the end. Refuses what the vendor refuses: no key, a format other
//! than `message`, a last message of the assistant's, and increments without a
//! stream.

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::request::Message;
use super::super::tools::Whole;
use super::protocol::{Asked, Fault, Form, Wire};
use super::{Request, Speech, put_together};

pub(super) const PATH: &str = "/api/v1/services/aigc/text-generation/generation";

/// The body of a request. Other fields are ignored.
#[derive(Debug, Deserialize)]
struct Body {
    model: String,
    input: Input,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Debug, Deserialize)]
struct Input {
    messages: Vec<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    result_format: String,
    incremental_output: bool,
    enable_thinking: bool,
}

pub(super) fn read(headers: &HeaderMap, body: &Value) -> Result<Asked, Fault> {
    let key = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    if key.and_then(|it| it.strip_prefix("Bearer ")).is_none_or(str::is_empty) {
        let message = "No API-key provided.".to_owned();
        return Err(Fault::new(StatusCode::UNAUTHORIZED, message));
    }
    let wrong = |message: String| Fault::new(StatusCode::BAD_REQUEST, message);
    let body = Body::deserialize(body).map_err(|it| wrong(it.to_string()))?;
    let stream = headers.get("x-dashscope-sse").is_some_and(|it| it == "enable");
    let incremental = body.parameters.incremental_output;
    if body.parameters.result_format != "message" {
        return Err(wrong("parameter result_format must be `message` here".to_owned()));
    }
    if incremental && !stream {
        return Err(wrong("parameter incremental_output only support stream call".to_owned()));
    }
    if body.parameters.enable_thinking && !incremental {
        let message =
            "The incremental_output parameter must be \"true\" when enable_thinking is true";
        return Err(wrong(message.to_owned()));
    }
    if !body.input.messages.last().is_some_and(Message::wants_an_answer) {
        return Err(wrong("the role in last message must be in [\"user\",\"tool\"]".to_owned()));
    }
    let Body { model, input, .. } = body;
    let request = Request { model, messages: input.messages, stream, usage: true };
    Ok(Asked { request, form: Form::DashScope { incremental } })
}

/// The error object.
pub(super) fn error(fault: &Fault) -> Value {
    let usual = match fault.status.as_u16() {
        401 => "InvalidApiKey",
        403 => "AccessDenied",
        404 => "ModelNotFound",
        408 => "RequestTimeOut",
        429 => "Throttling",
        503 => "ModelUnavailable",
        500.. => "InternalError",
        0..500 => "InvalidParameter",
    };
    let code = fault.code.as_deref().unwrap_or(usual);
    json!({ "code": code, "message": fault.message, "request_id": "request-refused" })
}

/// The error object as the event of that number.
pub(super) fn event(id: usize, fault: &Fault) -> String {
    let status = fault.status.as_u16();
    format!("id:{id}\nevent:error\n:HTTP_STATUS/{status}\ndata:{}\n\n", error(fault))
}

/// Event after event, each a whole result.
pub(super) struct Events {
    incremental: bool,
    request_id: String,
    input: usize,
    sent: usize,
    reasoning: usize,
    said: Whole,
}

impl Events {
    pub(super) fn new(request: &Request, call: usize, incremental: bool) -> Self {
        Self {
            incremental,
            request_id: format!("request-{call}"),
            input: request.words(),
            sent: 0,
            reasoning: 0,
            said: Whole::default(),
        }
    }

    fn event(&mut self, message: &Value, finish: &str, output: usize) -> String {
        self.sent += 1;
        let result = json!({
            "output": { "choices": [{ "message": message, "finish_reason": finish, "index": 0 }] },
            "usage": usage(self.input, output, self.reasoning),
            "request_id": self.request_id,
        });
        format!("id:{}\nevent:result\n:HTTP_STATUS/200\ndata:{result}\n\n", self.sent)
    }
}

impl Wire for Events {
    fn opening(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn delta(&mut self, delta: &[u8], out: &mut Vec<u8>) -> usize {
        let mut delta: Value = serde_json::from_slice(delta).unwrap_or_default();
        let before = if self.incremental { "" } else { self.said.content() };
        // Without the quotes around it.
        let before = Value::from(before).to_string().len() - 2;
        self.said.add(&delta);
        self.reasoning += usize::from(delta["reasoning_content"].is_string());
        let message = if self.incremental {
            delta["role"] = "assistant".into();
            if delta["content"].is_null() {
                delta["content"] = "".into();
            }
            delta
        } else {
            self.said.message()
        };
        let event = self.event(&message, "null", self.sent + 1);
        let field = r#""content":""#;
        let text = event.find(field).map_or(event.len(), |it| it + field.len() + before);
        let text = out.len() + text;
        out.extend_from_slice(event.as_bytes());
        text
    }

    fn error(&mut self, fault: &Fault) -> Vec<u8> {
        event(self.sent + 1, fault).into_bytes()
    }

    fn closing(&mut self, finish: &str) -> Vec<u8> {
        let nothing = json!({ "role": "assistant", "content": "" });
        let message = if self.incremental { nothing } else { self.said.message() };
        self.event(&message, finish, self.sent).into_bytes()
    }
}

fn usage(input: usize, output: usize, reasoning: usize) -> Value {
    json!({
        "input_tokens": input, "output_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": { "cached_tokens": 0 },
        "output_tokens_details": { "reasoning_tokens": reasoning },
    })
}

/// The whole answer as one object.
pub(super) fn whole(request: &Request, speech: &Speech) -> Value {
    let message = put_together(speech).message();
    json!({
        "output": { "choices": [{ "message": message, "finish_reason": speech.finish }] },
        "usage": usage(request.words(), speech.len(), 0),
        "request_id": "request-whole",
    })
}
