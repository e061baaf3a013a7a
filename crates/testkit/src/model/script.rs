//! What a caller can tell the fake model to do, as the JSON text of its last
//! user message. Pure.

use serde::{Deserialize, Serialize};

use super::request::Request;
use super::speech::{Speech, Words};
use super::tools::{self, ToolCall, ToolStyle};

/// One scripted answer: first `reasoning`, then the text, then `tool_calls`.
/// Each delta counts as one token, from 0, for the fields named `…_after`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "a script is a list of switches")]
pub struct Script {
    /// How many text tokens; token i is `t<i> `. With `text`, its words are
    /// repeated until there are this many.
    pub tokens: Option<usize>,
    /// Each text token names where it comes from: token i of the n-th call with
    /// this question is `<name>/<n>/<i> `. Plain words only: no space, no slash.
    pub name: Option<String>,
    /// Each text token is its time of emission in µs since the Unix epoch, and
    /// a space.
    pub stamp: bool,
    /// The text, said word by word, and character by character beyond ASCII.
    pub text: Option<String>,
    /// Said before the text, as `reasoning_content`.
    pub reasoning: Option<String>,
    /// Milliseconds from one token to the next, on a schedule that does not
    /// drift; 0 is as fast as the reader reads.
    pub every_ms: u64,
    /// Milliseconds before the head of the answer.
    pub delay_ms: u64,
    /// The connection breaks after this many tokens.
    pub cut_after: Option<usize>,
    /// With `cut_after`: this many bytes of the next token's text still come,
    /// so that 1 or 2 cut inside a Chinese character.
    pub cut_bytes: Option<usize>,
    /// Silence, for ever, after this many tokens.
    pub stall_after: Option<usize>,
    /// Silence after this many tokens, until `FakeModel::release`.
    pub hold_after: Option<usize>,
    /// An error object in the stream after this many tokens, then its end.
    pub error_after: Option<usize>,
    /// With `error_after`: the HTTP status that the error names.
    pub error_status: Option<u16>,
    /// The stream ends after the last token, without finish reason or `[DONE]`.
    pub no_finish: bool,
    /// The finish reason, in place of `stop` or `tool_calls`.
    pub finish: Option<String>,
    /// Comment lines without end in place of the end, `every_ms` (at least
    /// 1 ms) apart.
    pub comments: bool,
    /// The first token is one of this many bytes `x`.
    pub big_line: Option<usize>,
    /// What the model asks for behind the text. Without `then` only once: when
    /// the last message is a tool's result, the text comes alone.
    pub tool_calls: Vec<ToolCall>,
    /// How they are cut into deltas.
    pub tool_style: ToolStyle,
    /// What is said once the tools have answered, step by step: step n is for
    /// the request in which n assistant messages with tool calls follow the last
    /// user message. Past the end the last step comes without its tool calls.
    /// A step has no `then` of its own.
    pub then: Vec<Script>,
    /// The text is the JSON of the tool results that the model was shown since
    /// the last user message, a list of [`Heard`](super::Heard); nothing while
    /// there are none.
    pub echo_tools: bool,
    /// In DashScope's protocol: each event repeats everything so far, whatever
    /// was asked for, as some models do.
    pub cumulative: bool,
    /// Answer with this HTTP status and no completion.
    pub status: Option<u16>,
    /// With `status`: only the first so many calls with this question that have
    /// come to this step.
    pub times: Option<usize>,
    /// With `status`: the `retry-after` header, in seconds.
    pub retry_after: Option<u64>,
    /// With `status`: what the body is.
    pub body: BodyKind,
    /// With `status` or `error_after`: the code in the error object.
    pub error_code: Option<String>,
    /// With `status` or `error_after`: the message in the error object.
    pub error_message: Option<String>,
}

/// The body of an error answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// The protocol's error object.
    #[default]
    Json,
    /// The same in an event of a stream that is called JSON, as DashScope does.
    Event,
    /// A page, as a proxy in between would answer.
    Html,
}

impl Script {
    /// The question that makes the model do this.
    pub fn question(&self) -> String {
        serde_json::to_string(self).expect("a struct of plain fields always serializes")
    }

    /// Reads a question: a JSON object is a script, everything else is none.
    pub(super) fn parse(question: &str) -> Result<Option<Self>, String> {
        if !question.trim_start().starts_with('{') {
            return Ok(None);
        }
        let script: Self = serde_json::from_str(question).map_err(|it| it.to_string())?;
        script.check()?;
        Ok(Some(script))
    }

    fn check(&self) -> Result<(), String> {
        if self.cut_bytes.is_some() && self.cut_after.is_none() {
            return Err("cut_bytes is nothing without cut_after".to_owned());
        }
        if self.error_status.is_some() && self.error_after.is_none() {
            return Err("error_status is nothing without error_after".to_owned());
        }
        if self.then.iter().any(|it| !it.then.is_empty()) {
            return Err("a step in `then` has no `then` of its own".to_owned());
        }
        self.then.iter().try_for_each(Self::check)
    }

    /// The step that this request has come to.
    pub(super) fn step(mut self, request: &Request) -> Self {
        if self.then.is_empty() {
            if request.after_tools() {
                self.tool_calls.clear();
            }
            return self;
        }
        let (at, steps) = (request.steps(), self.then.len());
        if at == 0 {
            return self;
        }
        let mut step = self.then.swap_remove(at.min(steps) - 1);
        if at > steps {
            step.tool_calls.clear();
        }
        step
    }

    /// What is said to this request, the `nth` with its question, from 1.
    pub(super) fn speech(&self, request: &Request, nth: usize) -> Speech {
        let mut speech = Speech::default();
        if let Some(bytes) = self.big_line {
            speech.first.push(content("content", &"x".repeat(bytes)));
        }
        for word in words(self.reasoning.as_deref().unwrap_or_default()) {
            speech.first.push(content("reasoning_content", &word));
        }
        speech.words = self.echo(request).unwrap_or_else(|| self.words(nth));
        speech.last = tools::deltas(&self.tool_calls, self.tool_style);
        let usual = if speech.last.is_empty() { "stop" } else { "tool_calls" };
        self.finish.as_deref().unwrap_or(usual).clone_into(&mut speech.finish);
        speech
    }

    /// What `echo_tools` says.
    fn echo(&self, request: &Request) -> Option<Words> {
        let heard = self.echo_tools.then(|| request.heard())?;
        if heard.is_empty() {
            return Some(Words::Numbered(0));
        }
        let text = serde_json::to_string(&heard).expect("strings always serialize");
        let said: Vec<_> = words(&text).iter().map(|it| content("content", it)).collect();
        let count = said.len();
        Some(Words::Said(said, count))
    }

    fn words(&self, nth: usize) -> Words {
        if let Some(name) = &self.name {
            return Words::Named(format!("{name}/{nth}/"), self.tokens.unwrap_or(0));
        }
        match (&self.text, self.tokens) {
            (_, tokens) if self.stamp => Words::Stamps(tokens.unwrap_or(1)),
            (None, tokens) => Words::Numbered(tokens.unwrap_or(0)),
            (Some(text), tokens) => {
                let said: Vec<_> = words(text).iter().map(|it| content("content", it)).collect();
                let count = tokens.unwrap_or(said.len());
                Words::Said(said, count)
            }
        }
    }
}

/// The pieces a text is said in; joined, they are the text.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_inclusive(|it: char| it.is_whitespace() || !it.is_ascii())
        .flat_map(|piece| {
            // A word that runs into a character beyond ASCII stays apart from it.
            let last = piece.char_indices().next_back();
            let cut = last.filter(|(_, it)| !it.is_ascii()).map_or(0, |(at, _)| at);
            [&piece[..cut], &piece[cut..]]
        })
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A delta with one string field.
pub(super) fn content(field: &str, text: &str) -> String {
    serde_json::json!({ field: text }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_text_make_the_text_and_part_beyond_ascii() {
        let text = "Weir 是什么?\n  two";
        assert_eq!(words(text).concat(), text);
        assert_eq!(words("a是b c"), ["a", "是", "b ", "c"]);
    }

    #[test]
    fn a_script_with_a_typo_is_refused_and_a_question_is_none() {
        assert!(Script::parse(r#"{"token": 3}"#).unwrap_err().contains("token"));
        assert_eq!(Script::parse("What is {this}?"), Ok(None));
        let script = Script { tokens: Some(3), ..Script::default() };
        assert_eq!(Script::parse(&script.question()), Ok(Some(script)));
    }
}
