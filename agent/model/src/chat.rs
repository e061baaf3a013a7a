//! A prompt as the JSON that providers take: chat messages and functions. Pure.

use proto::{Message, ToolCall};
use serde_json::{Value, json};

use crate::{Prompt, Tool};

/// The conversation, with the instructions as its first message.
pub(crate) fn messages(prompt: &Prompt) -> Vec<Value> {
    let system =
        (!prompt.system.is_empty()).then(|| json!({ "role": "system", "content": prompt.system }));
    system.into_iter().chain(prompt.messages.iter().map(message)).collect()
}

/// The tools, each as a function.
pub(crate) fn tools(tools: &[Tool]) -> Vec<Value> {
    let function = |tool: &Tool| {
        json!({ "type": "function", "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        } })
    };
    tools.iter().map(function).collect()
}

fn message(message: &Message) -> Value {
    let content = message.content.as_str();
    match message.role.as_str() {
        // Without the call that it answers, no endpoint takes a tool's message.
        "tool" if message.tool_call_id.is_empty() => {
            json!({ "role": "user", "content": format!("Tool result:\n{content}") })
        }
        "tool" => {
            json!({ "role": "tool", "tool_call_id": message.tool_call_id, "content": content })
        }
        "assistant" if !message.tool_calls.is_empty() => {
            let calls: Vec<_> = message.tool_calls.iter().map(call).collect();
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        role => json!({ "role": role, "content": content }),
    }
}

fn call(call: &ToolCall) -> Value {
    json!({ "id": call.call_id, "type": "function", "function": {
        "name": call.name,
        "arguments": arguments(&call.arguments),
    } })
}

/// Arguments that every endpoint takes back: some read them as an object, and
/// would refuse the conversation for ever for one call that the model got wrong.
fn arguments(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => text.to_owned(),
        Ok(_) | Err(_) => json!({ "unreadable": text }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
    }

    #[test]
    fn calls_and_their_results_are_told_with_their_ids() {
        let asked = ToolCall {
            call_id: "call-1".to_owned(),
            name: "get_time".to_owned(),
            arguments: r#"{"zone": "北京"}"#.to_owned(),
        };
        let torn = ToolCall { arguments: r#"{"zone"#.to_owned(), ..asked.clone() };
        let asking = Message { tool_calls: vec![asked, torn], ..said("assistant", "") };
        let answered = Message { tool_call_id: "call-1".to_owned(), ..said("tool", "noon") };
        let prompt = Prompt {
            system: "Be brief.".to_owned(),
            messages: vec![said("user", "when?"), asking, answered, said("tool", "late")],
            ..Prompt::default()
        };
        let call = |arguments: &str| {
            json!({ "id": "call-1", "type": "function",
                "function": { "name": "get_time", "arguments": arguments } })
        };
        let want = [
            json!({ "role": "system", "content": "Be brief." }),
            json!({ "role": "user", "content": "when?" }),
            json!({ "role": "assistant", "content": "", "tool_calls": [
                call(r#"{"zone": "北京"}"#), call(r#"{"unreadable":"{\"zone"}"#),
            ] }),
            json!({ "role": "tool", "tool_call_id": "call-1", "content": "noon" }),
            json!({ "role": "user", "content": "Tool result:\nlate" }),
        ];
        assert_eq!(messages(&prompt), want);
    }

    #[test]
    fn a_tool_is_told_as_a_function() {
        let tool = Tool {
            name: "get_time".to_owned(),
            description: "What time it is.".to_owned(),
            parameters: json!({ "type": "object" }),
        };
        let want = json!({ "type": "function", "function": {
            "name": "get_time",
            "description": "What time it is.",
            "parameters": { "type": "object" },
        } });
        assert_eq!(tools(&[tool]), [want]);
    }
}
