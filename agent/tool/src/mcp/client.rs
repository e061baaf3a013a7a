//! What a server may ask of the agent: nothing.
//!
//! It is heard when its tools change and when it logs. Questions to the model,
//! to the user or about folders are refused.

#![expect(deprecated, reason = "roots and logging are on their way out; servers still use them")]

use std::sync::Arc;

use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, ListRootsRequestMethod, ListRootsResult,
    LoggingMessageNotificationParam,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use tokio::sync::Notify;

/// Bytes of a server's log message that are logged.
const MAX_LOGGED: usize = 1024;

/// The agent as a server sees it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) server: String,
    /// Told when the server says that its tools have changed.
    pub(super) changed: Arc<Notify>,
}

impl ClientHandler for Client {
    /// No capabilities: the agent answers no sampling, elicitation or roots.
    fn get_info(&self) -> ClientConfig {
        let weir = Implementation::new("weir", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), weir)
    }

    async fn list_roots(
        &self,
        _context: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListRootsRequestMethod>())
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    async fn on_logging_message(
        &self,
        message: LoggingMessageNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let mut line = message.data.to_string();
        crate::cut(&mut line, MAX_LOGGED);
        tracing::debug!(mcp.server = self.server, level = ?message.level, line, "a server logs");
    }
}
