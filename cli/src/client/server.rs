//! What a gateway says of itself, and of who asks.

use serde_json::Value;

use super::{Client, Result};

impl Client {
    /// Versions, where everything is kept, what waits, agents and their models.
    pub(crate) async fn status(&self) -> Result<Value> {
        self.json(self.http.get(self.url(&["status"])?)).await
    }

    /// Whom the gateway takes the caller for.
    pub(crate) async fn me(&self) -> Result<Value> {
        self.json(self.http.get(self.url(&["me"])?).query(&self.owner())).await
    }
}
