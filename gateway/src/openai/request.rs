//! What a client of chat completions asks, parsed. Pure.
//!
//! Refuses what would change the answer and that Weir does not do: tools of the
//! client's own, several answers, answers in JSON, anything but text. Fields that
//! only steer how a model chooses its words are ignored, and so are unknown ones.

use std::collections::BTreeMap;

use proto::{Message, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::Refusal;
use crate::question::{
    INPUT_BYTES, SYSTEM_BYTES, check_length, check_metadata, check_model, check_text,
};

/// The agent's own model, for clients that must name one.
pub(crate) const STANDARD: &str = "weir";
/// Messages in a request, as many as an agent takes.
const MESSAGES: usize = 2_000;
/// Calls in a message.
const CALLS: usize = 128;

/// The body of `POST /v1/chat/completions`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ChatCompletion)]
pub(crate) struct Body {
    #[schema(required = true, min_items = 1, max_items = 2000)]
    messages: Vec<Sent>,
    model: Option<String>,
    pub(crate) stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    pub(crate) user: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    n: Option<u64>,
    tools: Option<Vec<Value>>,
    functions: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    function_call: Option<Value>,
    response_format: Option<Format>,
    modalities: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResponseFormat)]
struct Format {
    r#type: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatMessage)]
struct Sent {
    #[schema(pattern = "^(system|developer|user|assistant|tool)$", example = "user")]
    role: String,
    #[serde(default)]
    content: Value,
    tool_calls: Option<Vec<Call>>,
    tool_call_id: Option<String>,
    weir: Option<Extension>,
}

/// What a tool's message may say beyond OpenAI's contract.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ToolDecision)]
struct Extension {
    decision: String,
    arguments: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatCall)]
struct Call {
    id: String,
    function: Function,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatFunction)]
struct Function {
    name: String,
    arguments: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Asked {
    /// Oldest first.
    pub(crate) messages: Vec<Message>,
    pub(crate) system: String,
    /// Empty for the agent's own.
    pub(crate) model: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// The answers to calls that wait, when the messages end with them.
    pub(crate) decisions: Vec<Decided>,
    /// Whether a stream ends with what was used.
    #[serde(skip)]
    pub(crate) usage: bool,
}

/// The answer to a call, as its message says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Decided {
    pub(crate) call: String,
    /// `accept`, `edit`, `reject` or `respond`.
    pub(crate) kind: String,
    pub(crate) arguments: String,
    pub(crate) message: String,
}

impl Body {
    /// Checks the request and reads it.
    pub(crate) fn read(self) -> Result<Asked, Refusal> {
        self.check()?;
        let model = self.model.filter(|it| it != STANDARD).unwrap_or_default();
        if !model.is_empty() {
            check_model(&model)?;
        }
        let metadata = self.metadata.unwrap_or_default();
        check_metadata(&metadata)?;
        let usage = self.stream_options.and_then(|it| it.include_usage).unwrap_or_default();
        let mut asked = Asked {
            messages: Vec::new(),
            system: String::new(),
            model,
            metadata,
            decisions: Vec::new(),
            usage,
        };
        for (at, sent) in self.messages.into_iter().enumerate() {
            asked.take(at, sent)?;
        }
        check_length("messages", &asked.system, SYSTEM_BYTES)?;
        asked.check_end()?;
        Ok(asked)
    }

    /// Refuses what the agent cannot do.
    fn check(&self) -> Result<(), Refusal> {
        if self.messages.is_empty() || self.messages.len() > MESSAGES {
            let count = self.messages.len();
            let why = format!("must be 1 to {MESSAGES} messages, not {count}");
            return Err(Refusal::field("messages", why));
        }
        if self.n.is_some_and(|it| it != 1) {
            return Err(Refusal::field("n", "must be 1: one answer is made"));
        }
        let own = "must be absent or empty, or tool_choice `none`: the agent has tools of its own, \
                   and cannot call those of a client";
        let given = |it: &Option<Vec<Value>>| it.as_ref().is_some_and(|it| !it.is_empty());
        let none = |it: &Option<Value>| it.as_ref().is_some_and(|it| it == "none");
        if given(&self.tools) && !none(&self.tool_choice) {
            return Err(Refusal::field("tools", own));
        }
        if given(&self.functions) && !none(&self.function_call) {
            return Err(Refusal::field("functions", own));
        }
        if self.response_format.as_ref().is_some_and(|it| it.r#type != "text") {
            let why = "must be of type `text`: nothing forces the agent to write JSON";
            return Err(Refusal::field("response_format", why));
        }
        let spoken = |it: &Vec<String>| it.iter().any(|it| it != "text");
        if self.modalities.as_ref().is_some_and(spoken) {
            return Err(Refusal::field("modalities", "must be `text`"));
        }
        Ok(())
    }
}

impl Asked {
    fn take(&mut self, at: usize, sent: Sent) -> Result<(), Refusal> {
        let text = text(at, &sent)?;
        let mut message = Message { role: sent.role.clone(), content: text, ..Message::default() };
        match sent.role.as_str() {
            "system" | "developer" => {
                if !self.system.is_empty() && !message.content.is_empty() {
                    self.system.push_str("\n\n");
                }
                self.system.push_str(&message.content);
                return Ok(());
            }
            "user" => {}
            "assistant" => message.tool_calls = calls(at, sent.tool_calls.unwrap_or_default())?,
            "tool" => {
                let Some(call) = sent.tool_call_id else {
                    return Err(Refusal::field(
                        format!("messages[{at}].tool_call_id"),
                        "must name the call that the message answers",
                    ));
                };
                self.decisions.push(Decided::of(&call, &message.content, sent.weir));
                message.tool_call_id = call;
            }
            _ => {
                let why = "must be system, developer, user, assistant or tool";
                return Err(Refusal::field(format!("messages[{at}].role"), why));
            }
        }
        if message.role != "tool" {
            self.decisions.clear();
        }
        self.messages.push(message);
        Ok(())
    }

    /// The last message is the question, or all at the end answer calls.
    fn check_end(&self) -> Result<(), Refusal> {
        match self.messages.last() {
            Some(last) if last.role == "user" => check_text("messages", &last.content, INPUT_BYTES),
            Some(last) if last.role == "tool" => Ok(()),
            Some(_) | None => {
                let why = "must end with one of role user, or with the answers to calls that wait";
                Err(Refusal::field("messages", why))
            }
        }
    }
}

impl Decided {
    fn of(call: &str, content: &str, more: Option<Extension>) -> Self {
        let (kind, arguments) = match more {
            Some(it) => (it.decision, it.arguments.unwrap_or_default()),
            None => ("respond".to_owned(), String::new()),
        };
        // A tool's message must have some content, which these have no use for.
        let takes_none = matches!(kind.as_str(), "accept" | "edit");
        let message = if takes_none { String::new() } else { content.to_owned() };
        Self { call: call.to_owned(), kind, arguments, message }
    }
}

/// The text of a message: a string, or parts that are texts. An assistant's may
/// be why it refused.
fn text(at: usize, sent: &Sent) -> Result<String, Refusal> {
    let wrong = || {
        let why = "must be a string, or a list of parts of type `text`";
        Refusal::field(format!("messages[{at}].content"), why)
    };
    match &sent.content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let mut all = String::new();
            for part in parts {
                let text = match part["type"].as_str() {
                    Some("text") => part.get("text"),
                    Some("refusal") if sent.role == "assistant" => part.get("refusal"),
                    Some(_) | None => None,
                };
                all.push_str(text.and_then(Value::as_str).ok_or_else(wrong)?);
            }
            Ok(all)
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

fn calls(at: usize, calls: Vec<Call>) -> Result<Vec<ToolCall>, Refusal> {
    if calls.len() > CALLS {
        let why = format!("must be at most {CALLS} calls");
        return Err(Refusal::field(format!("messages[{at}].tool_calls"), why));
    }
    let read = |it: Call| ToolCall {
        call_id: it.id,
        name: it.function.name,
        arguments: it.function.arguments.unwrap_or_else(|| "{}".to_owned()),
    };
    Ok(calls.into_iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<Asked, Refusal> {
        let body: Body = crate::extract::parse(body.to_string().as_bytes())?;
        body.read()
    }

    fn asking(more: &Value) -> Value {
        let mut body = json!({"messages": [{"role": "user", "content": "Why?"}]});
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn a_conversation_is_read_with_its_instructions_apart() {
        let asked = read(&json!({
            "model": "openai/x", "temperature": 0.2, "unknown": {"a": 1},
            "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "developer", "content": "Be kind."},
                {"role": "assistant", "content": null, "tool_calls":
                    [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "7"},
                {"role": "assistant", "content": "seven", "refusal": null},
                {"role": "user", "content": "问", "name": "ann"},
            ],
        }))
        .unwrap();
        assert_eq!(
            (asked.system.as_str(), asked.model.as_str()),
            ("Be brief.\n\nBe kind.", "openai/x")
        );
        assert!(asked.usage && asked.decisions.is_empty());
        let said: Vec<_> =
            asked.messages.iter().map(|it| (it.role.as_str(), it.content.as_str())).collect();
        assert_eq!(
            said,
            [
                ("user", "ab"),
                ("assistant", ""),
                ("tool", "7"),
                ("assistant", "seven"),
                ("user", "问")
            ]
        );
        assert_eq!(asked.messages[1].tool_calls[0].name, "f");
        assert_eq!(asked.messages[2].tool_call_id, "c");
    }

    #[test]
    fn the_agents_own_model_has_many_names() {
        for model in
            [json!({}), json!({"model": null}), json!({"model": ""}), json!({"model": "weir"})]
        {
            assert_eq!(read(&asking(&model)).unwrap().model, "");
        }
    }

    #[test]
    fn tools_messages_at_the_end_decide_the_calls_that_they_name() {
        let asked = read(&json!({"messages": [
            {"role": "user", "content": "x"},
            {"role": "tool", "tool_call_id": "old", "content": "1"},
            {"role": "assistant", "content": ""},
            {"role": "tool", "tool_call_id": "a", "content": "2"},
            {"role": "tool", "tool_call_id": "b", "content": "fine", "weir": {"decision": "accept"}},
            {"role": "tool", "tool_call_id": "c", "content": "no", "weir": {"decision": "reject"}},
            {"role": "tool", "tool_call_id": "d", "content": "",
             "weir": {"decision": "edit", "arguments": "{}"}},
        ]}))
        .unwrap();
        let decided: Vec<_> = asked
            .decisions
            .iter()
            .map(|it| (&*it.call, &*it.kind, &*it.arguments, &*it.message))
            .collect();
        assert_eq!(
            decided,
            [
                ("a", "respond", "", "2"),
                ("b", "accept", "", ""),
                ("c", "reject", "", "no"),
                ("d", "edit", "{}", ""),
            ]
        );
    }

    #[test]
    fn what_weir_would_not_do_is_refused_by_field() {
        let message = |it: Value| json!({ "messages": [it] });
        let many = vec![json!({"role": "user", "content": "x"}); MESSAGES + 1];
        let calls = vec![json!({"id": "c", "function": {"name": "f"}}); CALLS + 1];
        for (body, field) in [
            (json!({}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": many}), "messages"),
            (json!({"messages": "x"}), "messages"),
            (message(json!({"role": "assistant", "content": "x"})), "messages"),
            (message(json!({"role": "system", "content": "x"})), "messages"),
            (message(json!({"role": "user", "content": " "})), "messages"),
            (message(json!({"role": "user", "content": "x".repeat(INPUT_BYTES + 1)})), "messages"),
            (message(json!({"content": "x"})), "messages[0].role"),
            (message(json!({"role": "function", "content": "x"})), "messages[0].role"),
            (message(json!({"role": "user", "content": 7})), "messages[0].content"),
            (message(json!({"role": "user", "content": {"text": "x"}})), "messages[0].content"),
            (
                message(
                    json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
                ),
                "messages[0].content",
            ),
            (
                message(json!({"role": "user", "content": [{"type": "text"}]})),
                "messages[0].content",
            ),
            (message(json!({"role": "tool", "content": "x"})), "messages[0].tool_call_id"),
            (message(json!({"role": "assistant", "tool_calls": calls})), "messages[0].tool_calls"),
            (asking(&json!({"n": 2})), "n"),
            (asking(&json!({"tools": [{}]})), "tools"),
            (asking(&json!({"tools": [{}], "tool_choice": "auto"})), "tools"),
            (asking(&json!({"functions": [{}]})), "functions"),
            (asking(&json!({"response_format": {"type": "json_object"}})), "response_format"),
            (asking(&json!({"modalities": ["text", "audio"]})), "modalities"),
            (asking(&json!({"model": "a b"})), "model"),
            (asking(&json!({"metadata": {"": "x"}})), "metadata"),
            (asking(&json!({"stream": "yes"})), "stream"),
        ] {
            let refusal = format!("{:?}", read(&body).unwrap_err());
            assert!(refusal.contains(&format!("field: {field:?}")), "{field}: {refusal}");
        }
    }

    #[test]
    fn what_changes_nothing_is_taken() {
        for more in [
            json!({"n": 1, "tools": [], "response_format": {"type": "text"}}),
            json!({"tools": [{}], "tool_choice": "none"}),
            json!({"functions": [{}], "function_call": "none"}),
            json!({"n": null, "tools": null, "stream": null, "stream_options": null, "metadata": null}),
            json!({"temperature": 2, "top_p": 0.1, "max_tokens": 5, "stop": ["x"], "seed": 1,
                   "logit_bias": {"50256": -100}, "modalities": ["text"], "store": true}),
        ] {
            read(&asking(&more)).unwrap();
        }
    }

    #[test]
    fn a_history_as_clients_keep_it_is_taken() {
        let body = json!({"messages": [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": null}}]},
            {"role": "tool", "tool_call_id": "c", "content": ""},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]},
            {"role": "user", "content": "And now?"},
        ]});
        let messages = read(&body).unwrap().messages;
        assert_eq!(messages[1].tool_calls[0].arguments, "{}");
        assert_eq!((messages[2].role.as_str(), messages[2].content.as_str()), ("tool", ""));
        assert_eq!(messages[3].content, "I will not.");
        let refused = json!({"messages": [
            {"role": "user", "content": [{"type": "refusal", "refusal": "I will not."}]}]});
        assert!(read(&refused).is_err(), "only an assistant refuses");
    }
}
