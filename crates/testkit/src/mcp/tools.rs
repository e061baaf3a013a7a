//! The tools of the server, and what its protocol wants beside them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ::process::Lifecycle;
use http::{header, request};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion, ServerCapabilities,
    ServerConfig, SubscriptionFilter, Tool, ToolAnnotations,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{Call, Calls, Ending};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) calls: Arc<Calls>,
    pub(super) tools: watch::Sender<Vec<Tool>>,
    legacy: bool,
    life: Lifecycle,
}

impl State {
    pub(super) fn new(legacy: bool, life: Lifecycle) -> Self {
        Self { calls: Arc::default(), tools: watch::Sender::new(own()), legacy, life }
    }

    pub(super) fn count(&self) -> u64 {
        self.calls.sum("count")
    }
}

/// The tools that every server has.
fn own() -> Vec<Tool> {
    let reads = ToolAnnotations::new().read_only(true);
    let again = ToolAnnotations::new().read_only(false).idempotent(true);
    let number = json!({"type": "integer", "minimum": 0});
    let text = json!({"type": "string"});
    vec![
        tool("count", "Adds to the counter.", &json!({"by": number}), &[]),
        tool("set", "Sets a value.", &json!({"key": text, "value": text}), &["key", "value"])
            .annotate(again),
        tool("read", "Reads a value.", &json!({"key": text}), &["key"]).annotate(reads.clone()),
        tool("hold", "Waits to be released.", &json!({"name": text}), &[]),
        tool("fail", "Fails.", &json!({"message": text}), &[]),
        tool("big", "A long text.", &json!({"bytes": number}), &["bytes"]).annotate(reads.clone()),
        tool("binary", "A picture.", &json!({"bytes": number}), &["bytes"]).annotate(reads.clone()),
        tool(
            "slow",
            "Tells of its progress.",
            &json!({"steps": number, "every_ms": number}),
            &["steps", "every_ms"],
        )
        .annotate(reads),
    ]
}

/// A tool with these properties, of which some are required, and no others.
pub(super) fn tool(name: &str, description: &str, properties: &Value, required: &[&str]) -> Tool {
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let Value::Object(schema) = schema else { unreachable!("it is written as an object") };
    Tool::new(name.to_owned(), description.to_owned(), schema)
}

/// One connection's, or one request's, view of a server.
#[derive(Debug)]
pub(super) struct Handler {
    state: Arc<State>,
}

impl Handler {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    async fn act(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        let none = Map::new();
        let arguments = request.arguments.as_ref().unwrap_or(&none);
        let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or_default();
        let word = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let bytes = || usize::try_from(number("bytes")).unwrap_or(usize::MAX);
        match request.name.as_ref() {
            "count" => said(format!("the counter is {}", self.state.count())),
            "set" => said(format!("{} is {}", word("key"), word("value"))),
            "read" => said(format!("the value of {}", word("key"))),
            "hold" => {
                self.state.calls.released().await;
                said(format!("released {}", word("name")))
            }
            "fail" => {
                let message = Some(word("message")).filter(|it| !it.is_empty());
                let message = message.unwrap_or("it fails, as told");
                CallToolResult::error(vec![ContentBlock::text(message)])
            }
            "big" => said("x".repeat(bytes())),
            "binary" => {
                let data = "A".repeat(bytes().div_ceil(3) * 4);
                CallToolResult::success(vec![ContentBlock::image(data, "image/png")])
            }
            "slow" => {
                progress(context, number("steps"), number("every_ms")).await;
                said(format!("{} steps", number("steps")))
            }
            other => said(other.to_owned()),
        }
    }
}

fn said(text: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// Tells of each step where the client wants to know.
async fn progress(context: &RequestContext<RoleServer>, steps: u64, every_ms: u64) {
    for step in 1..=steps {
        tokio::time::sleep(Duration::from_millis(every_ms)).await;
        let Some(token) = context.meta.get_progress_token() else {
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
        let progress = ProgressNotificationParam::new(token, step as f64);
        // A client that went away ends the call elsewhere.
        drop(context.peer.notify_progress(progress).await);
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed();
        ServerConfig::new(capabilities.build())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        let legacy = &ProtocolVersion::LATEST_WITH_INITIALIZE;
        let all = ProtocolVersion::KNOWN_VERSIONS;
        Cow::Borrowed(if self.state.legacy { ProtocolVersion::known_up_to(legacy) } else { all })
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.state.tools.borrow().clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.state.tools.borrow().iter().all(|it| it.name != request.name) {
            let message = format!("there is no tool {}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        }
        let headers = context.extensions.get::<request::Parts>().map(|it| &it.headers);
        let authorization = headers.and_then(|it| it.get(header::AUTHORIZATION)?.to_str().ok());
        let mut guard = self.state.calls.begin(Call {
            at: ::process::clock::now(),
            tool: request.name.to_string(),
            arguments: request.arguments.clone().unwrap_or_default(),
            authorization: authorization.map(str::to_owned),
            traceparent: context.meta.get_traceparent().map(str::to_owned),
            ended: None,
            ending: Ending::Open,
        });
        let result = tokio::select! {
            biased;
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
            result = self.act(&request, &context) => Ok(result),
        };
        if result.is_ok() {
            guard.ends(Ending::Answered);
        }
        Ok(result?.into())
    }

    fn accepted_subscription_filter(
        &self,
        asked: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(asked.intersection(&SubscriptionFilter::builder().tools_list_changed().build()))
    }

    /// How a client without a session hears of changes.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut tools = self.state.tools.subscribe();
        loop {
            tokio::select! {
                biased;
                () = context.cancelled() => return Ok(()),
                changed = tools.changed() => drop(changed),
            }
            if context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// How a client with a session hears of changes.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let mut tools = self.state.tools.subscribe();
        self.state.life.spawn(async move {
            while tools.changed().await.is_ok() {
                if context.peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        });
    }
}
