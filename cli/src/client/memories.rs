//! What is remembered about a user.

use serde_json::{Value, json};

use super::{Client, Page, Result};

impl Client {
    /// A page of what is remembered, the newest first; with a query its best
    /// matches, of which there are no further pages. `limit` is 1 to 100.
    pub(crate) async fn memories(
        &self,
        query: Option<&str>,
        cursor: Option<&str>,
        limit: u16,
    ) -> Result<Page> {
        let request = self.http.get(self.url(&["memories"])?).query(&self.owner());
        let request = request.query(&[("query", query), ("cursor", cursor)]);
        Ok(Page::of(self.json(request.query(&[("limit", limit)])).await?, "memories"))
    }

    /// Remembers a text; the memory. One that is remembered already is the memory
    /// it was.
    pub(crate) async fn remember(&self, text: &str) -> Result<Value> {
        let body = json!({ "userId": self.user, "text": text });
        self.json(self.http.post(self.url(&["memories"])?).json(&body)).await
    }

    /// Forgets a memory.
    pub(crate) async fn forget(&self, memory: &str) -> Result<()> {
        let request = self.http.delete(self.url(&["memories", memory])?).query(&self.owner());
        self.quickly(request).await.map(drop)
    }
}
