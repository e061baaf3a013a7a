//! The tools that a model asks for: judged, written ahead, carried out, and
//! their results said. Nothing is called before the ledger knows of it, and
//! nothing that must not happen twice is called again when that is not known.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::ask_event::Kind;
use proto::{LedgerCall, LedgerCallState as State, PendingCall, ToolCall, ToolResult};
use tool::{Call, Effect, Output};

use super::turn::Turn;
use super::{Engine, Stop, cite, conversation};
use crate::Verdict;
use crate::review::Answer;
use crate::tools::Offered;

/// The longest arguments of a call, in bytes.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// Why a human is asked, as [`PendingCall`] says it.
const BY_POLICY: &str = "review";
const OUTCOME_UNKNOWN: &str = "outcome_unknown";

impl Engine {
    /// Judges what a model asks for and writes it ahead: to be made, to be
    /// decided by a human, or answered at once because it cannot be made.
    pub(super) async fn plan(&self, turn: &Turn<'_>, mut calls: Vec<ToolCall>) -> Result<(), Stop> {
        let said = turn.messages(&turn.writer.said());
        let before: Vec<_> = turn.past.messages.iter().cloned().chain(said).collect();
        conversation::name(&mut calls, &before);
        let toolbox = self.tools.current();
        let mut planned = Vec::new();
        let mut kinds = Vec::new();
        for (at, call) in calls.into_iter().enumerate() {
            let made = self.judge(call, at, &toolbox);
            kinds.push(Kind::ToolCall(asked(&made)));
            planned.push(made);
        }
        kinds.extend(planned.iter().filter(|it| it.state() == State::Done).map(result));
        let change = |calls: &mut Vec<LedgerCall>| calls.extend(planned);
        Ok(turn.book.write(turn.writer, kinds, change).await?)
    }

    fn judge(&self, call: ToolCall, at: usize, toolbox: &Offered) -> LedgerCall {
        let ToolCall { call_id, name, mut arguments } = call;
        let refused = if at >= self.limits.calls {
            Some(format!("not made: at most {} calls fit into one step", self.limits.calls))
        } else if arguments.len() > MAX_ARGUMENTS {
            "{}".clone_into(&mut arguments);
            Some(format!("not made: the arguments are longer than {MAX_ARGUMENTS} bytes"))
        } else {
            toolbox.fits(&name, &arguments).err()
        };
        let spec = toolbox.spec(&name);
        let verdict = spec.map_or(Verdict::Deny, |it| self.policy.verdict(it));
        let repeatable = spec.is_some_and(|it| it.effect != Effect::Once);
        let call = LedgerCall { call_id, name, arguments, repeatable, ..LedgerCall::default() };
        match (refused, verdict) {
            (Some(why), _) => answered(call, why, true),
            (None, Verdict::Allow) => LedgerCall { state: State::Planned.into(), ..call },
            (None, Verdict::Review) => LedgerCall { state: State::Waiting.into(), ..call },
            (None, Verdict::Deny) => {
                let why = format!("not made: the operator does not allow `{}`", call.name);
                answered(call, why, true)
            }
        }
    }

    /// Writes ahead what a human decided about calls of an earlier turn.
    pub(super) async fn take(
        &self,
        turn: &Turn<'_>,
        decided: Vec<(PendingCall, Answer)>,
        toolbox: &Offered,
    ) -> Result<(), Stop> {
        let mut kinds = Vec::new();
        let mut taken = Vec::new();
        for (pending, answer) in decided {
            let effect = toolbox.spec(&pending.name).map(|it| it.effect);
            let call = LedgerCall {
                call_id: pending.call_id,
                name: pending.name,
                arguments: pending.arguments,
                state: State::Planned.into(),
                repeatable: effect.is_some_and(|it| it != Effect::Once),
                ..LedgerCall::default()
            };
            let call = match answer {
                Answer::Accept => call,
                Answer::Edit(arguments) => {
                    let edited = LedgerCall { arguments, ..call };
                    kinds.push(Kind::ToolCall(asked(&edited)));
                    edited
                }
                Answer::Reject(why) => answered(call, rejection(&why), true),
                Answer::Respond(words) => answered(call, words, false),
            };
            taken.push(call);
        }
        kinds.extend(taken.iter().filter(|it| it.state() == State::Done).map(result));
        let change = |calls: &mut Vec<LedgerCall>| calls.extend(taken);
        Ok(turn.book.write(turn.writer, kinds, change).await?)
    }

    /// Looks at what an earlier run of the turn had begun: what may be repeated
    /// is made again, for the rest a human is asked.
    pub(super) async fn recover(&self, turn: &Turn<'_>) -> Result<(), Stop> {
        let begun = |it: &LedgerCall| it.state() == State::Begun;
        if !turn.book.calls().await.iter().any(begun) {
            return Ok(());
        }
        let recovered = |calls: &mut Vec<LedgerCall>| {
            for call in calls.iter_mut().filter(|it| begun(it)) {
                call.set_state(if call.repeatable { State::Planned } else { State::Unknown });
            }
        };
        Ok(turn.book.write(turn.writer, Vec::new(), recovered).await?)
    }

    /// Makes the calls that are to be made: those that only read at once, then
    /// the others one by one. Returns the calls that a human must decide, if
    /// any do.
    pub(super) async fn settle(&self, turn: &Turn<'_>) -> Result<Option<Vec<PendingCall>>, Stop> {
        let toolbox = self.tools.current();
        let planned = turn.book.calls().await;
        let planned = planned.into_iter().filter(|it| it.state() == State::Planned);
        let (reading, others): (Vec<_>, Vec<_>) =
            planned.partition(|it| toolbox.spec(&it.name).is_some_and(reads));
        stream::iter(reading)
            .map(|call| self.make(turn, call, &toolbox))
            .buffer_unordered(self.limits.parallel.max(1))
            .try_collect::<()>()
            .await?;
        for call in others {
            let begun = State::Begun;
            turn.book.write(turn.writer, Vec::new(), marking(&call.call_id, begun)).await?;
            self.make(turn, call, &toolbox).await?;
        }
        let waiting: Vec<_> = turn.book.calls().await.iter().filter_map(pending).collect();
        Ok((!waiting.is_empty() || turn.undecided).then_some(waiting))
    }

    /// Calls a tool, and writes and says what it answers.
    async fn make(&self, turn: &Turn<'_>, call: LedgerCall, tools: &Offered) -> Result<(), Stop> {
        let id = call.call_id.clone();
        let output = match tools.parsed(&call.name, &call.arguments) {
            Ok((tool, arguments)) => {
                let session = turn.question.key.session.clone();
                tracing::debug!(tool = call.name, call = id, "calling");
                tool.call(Call { session, id: id.clone(), arguments }).await
            }
            Err(why) => Output::error(why),
        };
        if output.unknown && !call.repeatable {
            tracing::warn!(tool = call.name, call = id, "a call's outcome is not known");
            let unknown = marking(&id, State::Unknown);
            return Ok(turn.book.write(turn.writer, Vec::new(), unknown).await?);
        }
        let sources = turn.found(output.sources);
        let mut text = cite::rendered(&output.text, &sources);
        if turn.first_arguments(&id).is_some_and(|it| it != call.arguments) {
            text = format!("The user changed the arguments to {}\n\n{text}", call.arguments);
        }
        let done = LedgerCall {
            sources,
            ..answered(call, cut(text, self.limits.output), output.is_error)
        };
        let kinds = vec![result(&done)];
        let change = |calls: &mut Vec<LedgerCall>| {
            calls.iter_mut().filter(|it| it.call_id == id).for_each(|it| *it = done.clone());
        };
        Ok(turn.book.write(turn.writer, kinds, change).await?)
    }
}

fn reads(spec: &tool::Spec) -> bool {
    spec.effect == Effect::Reads
}

/// A change that gives a call another state.
fn marking(id: &str, state: State) -> impl FnOnce(&mut Vec<LedgerCall>) + Send {
    let id = id.to_owned();
    move |calls| calls.iter_mut().filter(|it| it.call_id == id).for_each(|it| it.set_state(state))
}

/// A call with its result.
fn answered(call: LedgerCall, content: String, is_error: bool) -> LedgerCall {
    LedgerCall { state: State::Done.into(), content, is_error, ..call }
}

fn rejection(why: &str) -> String {
    let said = if why.is_empty() { String::new() } else { format!(" They said: {why}") };
    format!("The user rejected this call; it was not made.{said}")
}

fn asked(call: &LedgerCall) -> ToolCall {
    ToolCall {
        call_id: call.call_id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    }
}

fn result(call: &LedgerCall) -> Kind {
    Kind::ToolResult(ToolResult {
        call_id: call.call_id.clone(),
        name: call.name.clone(),
        content: call.content.clone(),
        is_error: call.is_error,
    })
}

/// The call as a human is asked about it; `None` when nobody is.
fn pending(call: &LedgerCall) -> Option<PendingCall> {
    let reason = match call.state() {
        State::Waiting => BY_POLICY,
        State::Unknown => OUTCOME_UNKNOWN,
        State::Unspecified | State::Planned | State::Begun | State::Done => return None,
    };
    Some(PendingCall {
        call_id: call.call_id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
        reason: reason.to_owned(),
        ..PendingCall::default()
    })
}

/// The beginning of a result that is too long, with a word about it.
fn cut(text: String, limit: usize) -> String {
    let all = text.len();
    if all <= limit {
        return text;
    }
    let kept = &text[..text.floor_char_boundary(limit)];
    format!("{kept}\n[cut: the first {limit} of {all} bytes]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_too_long_says_so_and_keeps_its_characters() {
        assert_eq!(cut("abc".into(), 3), "abc");
        assert_eq!(cut("三四五".into(), 7), "三四\n[cut: the first 7 of 9 bytes]");
    }

    #[test]
    fn a_human_is_asked_about_calls_that_wait_and_those_that_nobody_knows_of() {
        let reason = |state: State| {
            let call = LedgerCall { state: state.into(), ..LedgerCall::default() };
            pending(&call).map(|it| it.reason)
        };
        assert_eq!(reason(State::Waiting).as_deref(), Some("review"));
        assert_eq!(reason(State::Unknown).as_deref(), Some("outcome_unknown"));
        for settled in [State::Planned, State::Begun, State::Done, State::Unspecified] {
            assert_eq!(reason(settled), None);
        }
    }
}
