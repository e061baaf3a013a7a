//! The deltas of tool calls, in the ways that servers really send them. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A tool that the model asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments, as JSON text; sent as they are, so that they may be wrong.
    pub arguments: String,
}

/// How tool calls are cut into deltas. A piece of arguments is a few characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStyle {
    /// One call after the other: id and name first, then the arguments in
    /// pieces, which carry the index only.
    #[default]
    Pieces,
    /// All ids and names first, then the pieces of all calls in turn.
    Interleaved,
    /// As `pieces`, with an empty id and a null name in the later ones.
    Blank,
    /// As `pieces`, with the id in every one.
    Repeated,
    /// All calls whole, in one delta.
    Whole,
    /// Each call whole, in a delta of its own, without an index.
    Unnumbered,
    /// As `pieces`, every id empty.
    NoIds,
}

/// Characters of arguments in one piece of a tool call.
const PIECE: usize = 5;

/// The deltas of these calls.
pub(super) fn deltas(tools: &[ToolCall], style: ToolStyle) -> Vec<String> {
    let calls = tools.iter().enumerate();
    let deltas: Vec<Value> = match style {
        ToolStyle::Pieces | ToolStyle::Blank | ToolStyle::Repeated => {
            calls.flat_map(|(at, it)| pieces(at, it, style)).collect()
        }
        ToolStyle::NoIds => {
            let nameless = |it: &ToolCall| ToolCall { id: String::new(), ..it.clone() };
            calls.flat_map(|(at, it)| pieces(at, &nameless(it), style)).collect()
        }
        ToolStyle::Interleaved => in_turn(calls.map(|(at, it)| pieces(at, it, style)).collect()),
        ToolStyle::Whole if tools.is_empty() => Vec::new(),
        ToolStyle::Whole => {
            let whole = calls.map(|(at, it)| {
                let mut call = whole(it);
                call["index"] = at.into();
                call
            });
            vec![whole.collect()]
        }
        ToolStyle::Unnumbered => tools.iter().map(|it| json!([whole(it)])).collect(),
    };
    deltas.into_iter().map(|it| json!({ "tool_calls": it }).to_string()).collect()
}

fn whole(tool: &ToolCall) -> Value {
    let function = json!({ "name": tool.name, "arguments": tool.arguments });
    json!({ "id": tool.id, "type": "function", "function": function })
}

/// One call: its id and name, then its arguments in pieces.
fn pieces(index: usize, tool: &ToolCall, style: ToolStyle) -> Vec<Value> {
    let head = json!([{
        "index": index, "id": tool.id, "type": "function",
        "function": { "name": tool.name, "arguments": "" },
    }]);
    let characters: Vec<char> = tool.arguments.chars().collect();
    let pieces = characters.chunks(PIECE).map(|piece| {
        let arguments: String = piece.iter().collect();
        let mut call = json!({ "index": index, "function": { "arguments": arguments } });
        match style {
            ToolStyle::Blank => {
                call["id"] = "".into();
                call["function"]["name"] = Value::Null;
            }
            ToolStyle::Repeated => call["id"] = tool.id.as_str().into(),
            ToolStyle::Pieces
            | ToolStyle::Interleaved
            | ToolStyle::Whole
            | ToolStyle::Unnumbered
            | ToolStyle::NoIds => {}
        }
        json!([call])
    });
    std::iter::once(head).chain(pieces).collect()
}

/// The first of each, then the second of each, and so on.
fn in_turn(calls: Vec<Vec<Value>>) -> Vec<Value> {
    let mut calls: Vec<_> = calls.into_iter().map(Vec::into_iter).collect();
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(calls.iter_mut().filter_map(Iterator::next));
        if turns.len() == before {
            return turns;
        }
    }
}

/// An answer put together from its deltas.
#[derive(Debug, Default)]
pub(super) struct Whole {
    content: String,
    reasoning: String,
    tools: Vec<Value>,
}

impl Whole {
    pub(super) fn add(&mut self, delta: &Value) {
        self.content += delta["content"].as_str().unwrap_or_default();
        self.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64();
            let same = |it: &&mut Value| index.is_some() && it["index"].as_u64() == index;
            let Some(known) = self.tools.iter_mut().find(same) else {
                self.tools.push(call.clone());
                continue;
            };
            let so_far = known["function"]["arguments"].as_str().unwrap_or_default();
            let more = call["function"]["arguments"].as_str().unwrap_or_default();
            known["function"]["arguments"] = format!("{so_far}{more}").into();
        }
    }

    pub(super) fn content(&self) -> &str {
        &self.content
    }

    /// The assistant's message, with the fields that are not empty.
    pub(super) fn message(&self) -> Value {
        let mut message = json!({ "role": "assistant", "content": self.content });
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = self.reasoning.as_str().into();
        }
        if !self.tools.is_empty() {
            message["tool_calls"] = self.tools.clone().into();
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_says_the_same_calls() {
        let call = |id: &str, arguments: &str| ToolCall {
            id: id.to_owned(),
            name: format!("tool-{id}"),
            arguments: arguments.to_owned(),
        };
        let calls = [call("a", r#"{"query":"天气"}"#), call("b", r#"{"n":1234567}"#)];
        for style in [
            ToolStyle::Pieces,
            ToolStyle::Interleaved,
            ToolStyle::Blank,
            ToolStyle::Repeated,
            ToolStyle::Whole,
            ToolStyle::Unnumbered,
            ToolStyle::NoIds,
        ] {
            let mut whole = Whole::default();
            let deltas = deltas(&calls, style);
            for delta in &deltas {
                whole.add(&serde_json::from_str(delta).unwrap());
            }
            let message = whole.message();
            let said = message["tool_calls"].as_array().unwrap().iter();
            let said: Vec<ToolCall> = said
                .map(|it| ToolCall {
                    id: it["id"].as_str().unwrap().to_owned(),
                    name: it["function"]["name"].as_str().unwrap().to_owned(),
                    arguments: it["function"]["arguments"].as_str().unwrap().to_owned(),
                })
                .collect();
            let mut want = calls.to_vec();
            if style == ToolStyle::NoIds {
                for call in &mut want {
                    call.id.clear();
                }
            }
            assert_eq!(said, want, "{style:?}: {deltas:?}");
        }
    }

    #[test]
    fn interleaved_calls_take_turns() {
        let call = ToolCall { id: "a".into(), name: "t".into(), arguments: "1234567".into() };
        let deltas = deltas(&[call.clone(), call], ToolStyle::Interleaved);
        let index = |it: &String| {
            let delta: Value = serde_json::from_str(it).unwrap();
            delta["tool_calls"][0]["index"].as_u64().unwrap()
        };
        assert_eq!(deltas.iter().map(index).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
    }
}
