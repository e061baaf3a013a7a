//! Tool calls put together from the pieces that they are said in. Pure.
//!
//! Refuses more calls than [`MAX_CALLS`] and more bytes than [`MAX_ARGUMENTS`]
//! in one and [`MAX_BYTES`] in all, before they are kept.

use proto::{ToolCall, code};
use serde::Deserialize;
use serde_json::Value;

use crate::Failure;

/// Tool calls in one answer.
const MAX_CALLS: usize = 64;

/// The arguments of one call, in bytes.
const MAX_ARGUMENTS: usize = 256 * 1024;

/// The arguments of all calls, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The id or the name of a call, in bytes.
const MAX_WORD: usize = 256;

/// A piece of a call, as endpoints really send it: every field may be missing,
/// null or empty.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Fragment {
    /// Which call it belongs to.
    pub(crate) index: Option<u32>,
    pub(crate) id: Option<String>,
    pub(crate) function: Option<Function>,
}

/// What is called.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: Option<String>,
    /// JSON text, or a piece of it; some servers send the object itself.
    pub(crate) arguments: Option<Value>,
}

/// The calls of one answer so far.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Call {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

/// What a piece says of its call beside the arguments.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    id: Option<&'a str>,
    named: bool,
}

impl Calls {
    /// Takes the pieces of one event in. A piece without an index is of the
    /// call with its place in the list.
    pub(crate) fn take(&mut self, fragments: Vec<Fragment>) -> Result<(), Failure> {
        for (place, fragment) in (0..).zip(fragments) {
            self.merge(place, fragment)?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls as they were begun, each with JSON text for its arguments where
    /// it came with none.
    pub(crate) fn whole(&mut self) -> Result<Vec<ToolCall>, Failure> {
        let calls = std::mem::take(&mut self.calls);
        if calls.iter().any(|it| it.name.is_empty()) {
            return Err(Failure::passing(
                code::MODEL_ERROR,
                "the model asked for a tool without naming it",
            ));
        }
        let whole = |call: Call| {
            let none = call.arguments.trim().is_empty();
            let arguments = if none { "{}".to_owned() } else { call.arguments };
            ToolCall { call_id: call.id, name: call.name, arguments }
        };
        Ok(calls.into_iter().map(whole).collect())
    }

    fn merge(&mut self, place: u32, fragment: Fragment) -> Result<(), Failure> {
        let some = |text: Option<String>| text.filter(|it| !it.is_empty());
        let function = fragment.function.unwrap_or_default();
        let (id, name) = (some(fragment.id), some(function.name));
        let arguments = match function.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        if [&id, &name].into_iter().flatten().any(|it| it.len() > MAX_WORD) {
            return Err(too_much("a tool call's id or name is too long"));
        }
        self.bytes += arguments.len();
        if self.bytes > MAX_BYTES {
            return Err(too_much("the arguments of its tool calls are too long"));
        }
        let (index, numbered) = (fragment.index.unwrap_or(place), fragment.index.is_some());
        let head = Head { id: id.as_deref(), named: name.is_some() };
        let call = self.at(index, numbered, head)?;
        if call.arguments.len() + arguments.len() > MAX_ARGUMENTS {
            return Err(too_much("the arguments of a tool call are too long"));
        }
        call.arguments.push_str(&arguments);
        // What came first stands: some servers make a new id for every piece.
        for (known, told) in [(&mut call.id, id), (&mut call.name, name)] {
            if known.is_empty() {
                *known = told.unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The call that a piece belongs to. Some servers give every call the same
    /// index, or none: then a name together with another id, or with no id at
    /// all, begins another call.
    fn at(&mut self, index: u32, numbered: bool, head: Head<'_>) -> Result<&mut Call, Failure> {
        let another = |call: &Call| match head.id {
            _ if !head.named => false,
            Some(id) => !call.id.is_empty() && id != call.id,
            None => !numbered && !call.name.is_empty(),
        };
        let known = self.calls.iter().rposition(|it| it.index == index);
        let known = known.filter(|at| !another(&self.calls[*at]));
        let at = known.unwrap_or(self.calls.len());
        if at == self.calls.len() {
            if at == MAX_CALLS {
                return Err(too_much("it asked for too many tools at once"));
            }
            self.calls.push(Call { index, ..Call::default() });
        }
        Ok(&mut self.calls[at])
    }
}

fn too_much(what: &str) -> Failure {
    Failure::lasting(code::MODEL_ERROR, format!("the model's answer is refused: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The calls of these events as `id name arguments`.
    fn calls(events: &[Value]) -> Result<Vec<String>, Failure> {
        let mut calls = Calls::default();
        for event in events {
            calls.take(serde_json::from_value(event.clone()).unwrap())?;
        }
        let said = |it: ToolCall| format!("{} {} {}", it.call_id, it.name, it.arguments);
        Ok(calls.whole()?.into_iter().map(said).collect())
    }

    fn piece(index: Option<u32>, id: Option<&str>, name: Option<&str>, text: &str) -> Value {
        json!({ "index": index, "id": id, "function": { "name": name, "arguments": text } })
    }

    #[test]
    fn pieces_are_merged_by_index_whatever_else_they_repeat() {
        let interleaved = [
            json!([piece(Some(0), Some("a"), Some("x"), "")]),
            json!([piece(Some(1), Some("b"), Some("y"), "{\"k\"")]),
            json!([piece(Some(0), Some(""), None, "{}"), piece(Some(1), None, Some(""), ":1}")]),
        ];
        let both = vec!["a x {}".to_owned(), "b y {\"k\":1}".to_owned()];
        assert_eq!(calls(&interleaved), Ok(both.clone()));
        let repeated = [
            json!([piece(Some(0), Some("a"), Some("x"), "{")]),
            json!([piece(Some(0), Some("a"), Some("x"), "}")]),
            json!([piece(Some(1), Some("b"), Some("y"), "{\"k\":")]),
            json!([piece(Some(1), Some("another"), None, "1}")]),
        ];
        assert_eq!(calls(&repeated), Ok(both.clone()));
        let one_index = [
            json!([piece(Some(0), Some("a"), Some("x"), "{}")]),
            json!([piece(Some(0), Some("b"), Some("y"), "{\"k\":1}")]),
        ];
        assert_eq!(calls(&one_index), Ok(both.clone()));
        let no_index =
            json!([piece(None, Some("a"), Some("x"), "{}"), piece(None, Some("b"), Some("y"), "")]);
        let rest = json!([null_piece(), piece(None, None, None, "{\"k\":1}")]);
        assert_eq!(calls(&[no_index, rest]), Ok(both));
        let neither = [
            json!([piece(None, None, Some("x"), "{}")]),
            json!([piece(None, None, Some("y"), "{\"k\"")]),
            json!([piece(None, None, None, ":1}")]),
        ];
        assert_eq!(calls(&neither).unwrap(), [" x {}", " y {\"k\":1}"]);
    }

    fn null_piece() -> Value {
        json!({ "index": null, "id": null, "type": null, "function": null })
    }

    #[test]
    fn arguments_may_be_missing_an_object_or_no_json_and_a_name_may_not_be_missing() {
        let object = json!([{ "id": "a", "function": { "name": "x", "arguments": { "k": 1 } } }]);
        assert_eq!(calls(&[object]).unwrap(), ["a x {\"k\":1}"]);
        let none = json!([{ "id": "a", "function": { "name": "x" } }]);
        assert_eq!(calls(&[none]).unwrap(), ["a x {}"]);
        assert_eq!(calls(&[json!([piece(None, None, Some("x"), "{k")])]).unwrap(), [" x {k"]);
        let nameless = calls(&[json!([piece(None, Some("a"), None, "{}")])]).unwrap_err();
        assert_eq!((nameless.code, nameless.retryable), ("model_error", true));
    }

    #[test]
    fn more_than_can_be_meant_is_refused() {
        let many = |count: u32| {
            (0..count).map(|it| piece(Some(it), None, Some("x"), "")).collect::<Vec<_>>()
        };
        assert_eq!(calls(&[json!(many(64))]).unwrap().len(), 64);
        let text = |bytes| "x".repeat(bytes);
        let long = |bytes| json!([piece(Some(0), None, Some("x"), &text(bytes))]);
        assert_eq!(calls(&[long(MAX_ARGUMENTS)]).unwrap().len(), 1);
        let all: Vec<_> = (0..5)
            .map(|it| json!([piece(Some(it), None, Some("x"), &text(MAX_ARGUMENTS))]))
            .collect();
        for refused in [
            vec![json!(many(65))],
            vec![long(MAX_ARGUMENTS), long(1)],
            all,
            vec![json!([piece(None, Some(&text(257)), Some("x"), "")])],
            vec![json!([piece(None, None, Some(&text(257)), "")])],
        ] {
            let failure = calls(&refused).unwrap_err();
            assert_eq!((failure.code, failure.retryable), ("model_error", false));
        }
    }
}
