//! What an agent adds to a turn's trace: calls that are served, the turn, what
//! models are asked and tools do. Names follow OpenTelemetry's conventions for
//! generative AI.
//!
//! Never a prompt, an answer, arguments or a result, nor who asks.

use model::Failure;
use process::trace::{Context, begin, follow};
use proto::ask_event::Kind;
use proto::{TurnId, Usage};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Span, info_span};

/// The agent's name in traces.
const NAME: &str = "weir";

/// The hop of a call that is served, by its method.
pub(crate) fn serve(method: &'static str, metadata: &MetadataMap) -> Span {
    let span = info_span!(
        "serve",
        otel.name = format_args!("weir.v1.KnowledgeAgent/{method}"),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = "weir.v1.KnowledgeAgent",
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        weir.turn_id = Empty,
    );
    follow(span, Context::of(metadata.as_ref()))
}

/// How a call that is served has ended.
pub(crate) fn served(span: &Span, status: Option<&Status>) {
    let code = status.map_or(Code::Ok, Status::code);
    span.record("rpc.grpc.status_code", i32::from(code));
    // What the caller got wrong is no error of this side.
    let faults = [Code::Unknown, Code::Internal, Code::Unavailable, Code::DataLoss];
    if faults.contains(&code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The hop of a turn.
pub(crate) fn turn(turn: TurnId) -> Span {
    begin(info_span!(
        "invoke_agent",
        otel.name = format_args!("invoke_agent {NAME}"),
        otel.kind = "internal",
        otel.status_code = Empty,
        weir.turn_id = %turn,
        weir.ending = Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.provider.name = NAME,
        gen_ai.agent.name = NAME,
        "error.type" = Empty,
    ))
}

/// How the turn under way ends.
pub(crate) fn ended(end: Option<&Kind>) {
    let span = Span::current();
    let ending = match end {
        Some(Kind::Completed(_)) => "completed",
        Some(Kind::Interrupted(_)) => "interrupted",
        Some(Kind::Cancelled(_)) => "cancelled",
        Some(Kind::Failed(failed)) => {
            fail(&span, &failed.code);
            "failed"
        }
        Some(
            Kind::Text(_)
            | Kind::Reasoning(_)
            | Kind::ToolCall(_)
            | Kind::ToolResult(_)
            | Kind::Citation(_)
            | Kind::Usage(_)
            | Kind::Rewind(_),
        ) => return,
        None => "superseded",
    };
    span.record("weir.ending", ending);
}

/// The hop of one question to a model, which is named as requests name it.
pub(crate) fn chat(model: &str) -> Span {
    let (provider, model) = model.split_once('/').unwrap_or((NAME, model));
    begin(info_span!(
        "chat",
        otel.name = format_args!("chat {model}"),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = provider,
        gen_ai.request.model = model,
        gen_ai.request.stream = true,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.response.finish_reasons = Empty,
        "error.type" = Empty,
    ))
}

/// What the question under way has used.
pub(crate) fn used(usage: &Usage) {
    let span = Span::current();
    span.record("gen_ai.usage.input_tokens", usage.input_tokens);
    span.record("gen_ai.usage.output_tokens", usage.output_tokens);
}

/// How a question to a model has ended.
pub(crate) fn answered(span: &Span, finish: Result<&str, &Failure>) {
    match finish {
        Ok(finish) => {
            span.record("gen_ai.response.finish_reasons", finish);
        }
        Err(failure) => fail(span, failure.code),
    }
}

/// The hop of one call of a tool.
pub(crate) fn tool(name: &str, call: &str) -> Span {
    begin(info_span!(
        "execute_tool",
        otel.name = format_args!("execute_tool {name}"),
        otel.kind = "internal",
        otel.status_code = Empty,
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = name,
        gen_ai.tool.call.id = call,
        "gen_ai.tool.type" = "function",
        "error.type" = Empty,
    ))
}

/// How a tool has answered.
pub(crate) fn called(span: &Span, output: &tool::Output) {
    if output.unknown {
        fail(span, "outcome_unknown");
    } else if output.is_error {
        fail(span, "tool_error");
    }
}

fn fail(span: &Span, kind: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind);
}
