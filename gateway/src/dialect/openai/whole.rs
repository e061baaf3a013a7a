//! A turn that has ended as one completion.

use serde::Serialize;

use super::Head;
use super::told::{About, Call, Used, calls, finish_reason};
use crate::dialect::answer::Answer;

#[derive(Debug, Serialize)]
struct Completion<'a> {
    #[serde(flatten)]
    head: &'a Head,
    choices: [Choice<'a>; 1],
    usage: Used,
    weir: About<'a>,
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    /// Null beside calls that nothing was said before.
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

/// The completion that a turn came to which did not fail.
pub(crate) fn completion(head: &Head, answer: &Answer) -> serde_json::Value {
    let interrupt = answer.interrupt.as_ref();
    let mut calls = calls(interrupt.map_or(&[], |it| &it.calls));
    for call in &mut calls {
        call.index = None;
    }
    let reason =
        if interrupt.is_some() { "tool_calls" } else { finish_reason(&answer.finish_reason) };
    let silent = answer.text.is_empty() && interrupt.is_some();
    let message = Message {
        role: "assistant",
        content: (!silent).then_some(&answer.text),
        refusal: None,
        reasoning_content: &answer.reasoning,
        tool_calls: calls,
    };
    let completion = Completion {
        head,
        choices: [Choice { index: 0, message, logprobs: None, finish_reason: reason }],
        usage: Used::of(&answer.usage),
        weir: head.about(answer.status, interrupt),
    };
    serde_json::to_value(completion).expect("texts and numbers are always JSON")
}
