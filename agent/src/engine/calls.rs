//! The tools that a model asks for: judged, written ahead, carried out, and
//! their results said. Nothing is called before the ledger knows of it, and
//! nothing that must not happen twice is called again when that is not known.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::ask_event::Kind;
use proto::{LedgerCall, LedgerCallState as State, PendingCall, ToolCall, ToolResult};
use tool::{Call, Effect, Output};
use tracing::Instrument as _;

use super::turn::Turn;
use super::{Engine, Stop, cite, conversation};
use crate::Verdict;
use crate::ledger::Unwritten;
use crate::metrics::Calling;
use crate::review::Answer;
use crate::tools::Offered;
use crate::trace;

/// The longest arguments of a call, in bytes.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// What is kept of a result when the turn has no room for more, in bytes.
const SHORT_RESULT: usize = 1024;

/// Why a human is asked, as [`PendingCall`] says it.
const BY_POLICY: &str = "review";
const OUTCOME_UNKNOWN: &str = "outcome_unknown";

impl Engine {
    /// Judges what a model asks for and writes it ahead: to be made, to be
    /// decided by a human, or answered at once because it cannot be made.
    pub(super) async fn plan(&self, turn: &Turn<'_>, mut calls: Vec<ToolCall>) -> Result<(), Stop> {
        conversation::name(&mut calls, turn.call_ids().await);
        let offered = self.tools.current();
        let calls = calls.into_iter().enumerate();
        let judged: Vec<_> = calls.map(|(at, call)| self.judge(call, at, &offered)).collect();
        let asked = judged.iter().map(|it| Kind::ToolCall(asked(&it.0)));
        let kinds = asked.chain(judged.iter().filter_map(|it| it.1.clone())).collect();
        let change = |calls: &mut Vec<LedgerCall>| calls.extend(judged.into_iter().map(|it| it.0));
        Ok(turn.book.write(turn.writer, kinds, change).await?)
    }

    /// A call as it is to be written, with its result if it is not made.
    fn judge(&self, call: ToolCall, at: usize, offered: &Offered) -> (LedgerCall, Option<Kind>) {
        let ToolCall { call_id, name, mut arguments } = call;
        let refused = if at >= self.limits.calls {
            Some(format!("not made: at most {} calls fit into one step", self.limits.calls))
        } else if arguments.len() > MAX_ARGUMENTS {
            "{}".clone_into(&mut arguments);
            Some(format!("not made: the arguments are longer than {MAX_ARGUMENTS} bytes"))
        } else {
            offered.fits(&name, &arguments).err().or_else(|| self.forbidden(offered, &name))
        };
        let spec = offered.spec(&name);
        let review = spec.is_some_and(|it| self.policy.verdict(it) == Verdict::Review);
        let repeatable = spec.is_some_and(|it| it.effect != Effect::Once);
        let state = if review { State::Waiting } else { State::Planned };
        let call = LedgerCall {
            call_id,
            name,
            arguments,
            repeatable,
            state: state.into(),
            ..LedgerCall::default()
        };
        match refused {
            Some(why) => answered(call, why, true),
            None => (call, None),
        }
    }

    /// Why the operator does not let a tool be called, whoever wants it.
    fn forbidden(&self, offered: &Offered, name: &str) -> Option<String> {
        let spec = offered.spec(name)?;
        let denied = self.policy.verdict(spec) == Verdict::Deny;
        denied.then(|| format!("not made: the operator does not allow `{name}`"))
    }

    /// Whether a call can be made that a human wants to be made; if not, why.
    pub(super) fn allowed(
        &self,
        offered: &Offered,
        name: &str,
        arguments: &str,
    ) -> Result<(), String> {
        offered.fits(name, arguments)?;
        self.forbidden(offered, name).map_or(Ok(()), Err)
    }

    /// Writes ahead what a human decided about calls of an earlier turn.
    pub(super) async fn take(
        &self,
        turn: &Turn<'_>,
        decided: Vec<(PendingCall, Answer)>,
        offered: &Offered,
    ) -> Result<(), Stop> {
        let mut kinds = Vec::new();
        let mut taken = Vec::new();
        for (pending, answer) in decided {
            let effect = offered.spec(&pending.name).map(|it| it.effect);
            let call = LedgerCall {
                call_id: pending.call_id,
                name: pending.name,
                arguments: pending.arguments,
                state: State::Planned.into(),
                repeatable: effect.is_some_and(|it| it != Effect::Once),
                ..LedgerCall::default()
            };
            let (call, kind) = match answer {
                Answer::Accept => (call, None),
                Answer::Edit(arguments) => {
                    let edited = LedgerCall { arguments, ..call };
                    let told = Kind::ToolCall(asked(&edited));
                    (edited, Some(told))
                }
                Answer::Reject(why) => answered(call, rejection(&why), true),
                Answer::Respond(words) => answered(call, words, false),
            };
            taken.push(call);
            kinds.extend(kind);
        }
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
        let planned = turn.book.calls().await;
        let planned = planned.into_iter().filter(|it| it.state() == State::Planned);
        let planned: Vec<_> = planned.collect();
        let offered = self.tools.with(planned.iter().map(|it| it.name.as_str())).await;
        let (reading, others): (Vec<_>, Vec<_>) =
            planned.into_iter().partition(|it| offered.spec(&it.name).is_some_and(reads));
        stream::iter(reading)
            .map(|call| self.make(turn, call, &offered))
            .buffer_unordered(self.limits.parallel.max(1))
            .try_collect::<()>()
            .await?;
        for call in others {
            let begun = State::Begun;
            turn.book.write(turn.writer, Vec::new(), marking(&call.call_id, begun)).await?;
            self.make(turn, call, &offered).await?;
        }
        let waiting: Vec<_> = turn.book.calls().await.iter().filter_map(pending).collect();
        Ok((!waiting.is_empty() || turn.undecided).then_some(waiting))
    }

    /// Calls a tool, and writes and says what it answers.
    async fn make(&self, turn: &Turn<'_>, call: LedgerCall, offered: &Offered) -> Result<(), Stop> {
        let output = self.call(turn, &call, offered).await;
        let id = call.call_id.clone();
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
        let call = LedgerCall { sources: sources.iter().map(cite::short).collect(), ..call };
        // A turn that has no room for a long result has it for a short one.
        let most = [self.limits.output, SHORT_RESULT];
        for limit in most {
            let (done, kind) = answered(call.clone(), cut(&text, limit), output.is_error);
            let kinds = kind.into_iter().collect();
            match turn.book.write(turn.writer, kinds, putting(done)).await {
                Err(Unwritten::TooLong) if limit > SHORT_RESULT => {}
                written => return Ok(written?),
            }
        }
        Ok(())
    }

    async fn call(&self, turn: &Turn<'_>, call: &LedgerCall, offered: &Offered) -> Output {
        if let Some(why) = self.forbidden(offered, &call.name) {
            return Output::error(why);
        }
        match offered.parsed(&call.name, &call.arguments) {
            Ok((tool, arguments)) => {
                let session = turn.question.key.session.clone();
                let id = call.call_id.clone();
                tracing::debug!(tool = call.name, call = id, "calling");
                let span = trace::tool(&call.name, &id);
                let calling = tool.call(Call { session, id, arguments });
                let measured = Calling::begin(&call.name);
                let output = calling.instrument(span.clone()).await;
                measured.ended(&output);
                trace::called(&span, &output);
                output
            }
            Err(why) => Output::error(why),
        }
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

/// A change that puts a call in the place of what was known of it.
fn putting(done: LedgerCall) -> impl FnOnce(&mut Vec<LedgerCall>) + Send {
    move |calls| {
        let same = calls.iter_mut().filter(|it| it.call_id == done.call_id);
        same.for_each(|it| it.clone_from(&done));
    }
}

/// A call that has its result, and the result as it is said.
fn answered(call: LedgerCall, content: String, is_error: bool) -> (LedgerCall, Option<Kind>) {
    let result =
        ToolResult { call_id: call.call_id.clone(), name: call.name.clone(), content, is_error };
    (LedgerCall { state: State::Done.into(), ..call }, Some(Kind::ToolResult(result)))
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
fn cut(text: &str, limit: usize) -> String {
    let all = text.len();
    if all <= limit {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(limit)];
    format!("{kept}\n[cut: the first {limit} of {all} bytes]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_too_long_says_so_and_keeps_its_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("三四五", 7), "三四\n[cut: the first 7 of 9 bytes]");
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
