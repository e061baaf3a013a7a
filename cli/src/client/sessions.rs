//! A user's sessions: which there are, what was said in them, and their names.

use serde_json::{Value, json};

use super::{Client, Page, Result};

/// The most turns that a gateway gives at once.
const TURNS: u16 = 100;

impl Client {
    /// A page of the user's sessions, as the gateway lists them: the one with the
    /// latest activity first. `limit` is 1 to 100.
    pub(crate) async fn sessions(&self, cursor: Option<&str>, limit: u16) -> Result<Page> {
        let request = self.http.get(self.url(&["sessions"])?).query(&self.owner());
        let request = request.query(&[("limit", limit)]).query(&[("cursor", cursor)]);
        Ok(Page::of(self.json(request).await?, "sessions"))
    }

    /// How a session stands, with the calls that wait for a human. One that is
    /// not there has status `not_found`.
    pub(crate) async fn session(&self, session: &str) -> Result<Value> {
        let request = self.http.get(self.url(&["sessions", session])?).query(&self.owner());
        self.json(request).await
    }

    /// Everything that was said in a session, the oldest turn first.
    pub(crate) async fn turns(&self, session: &str) -> Result<Vec<Value>> {
        let (mut turns, mut cursor) = (Vec::new(), None);
        loop {
            let request = self.http.get(self.url(&["sessions", session, "turns"])?);
            let request = request.query(&self.owner()).query(&[("limit", TURNS)]);
            let request = request.query(&[("cursor", &cursor)]);
            let page = Page::of(self.json(request).await?, "turns");
            turns.extend(page.items);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(turns);
            }
        }
    }

    /// Gives a session a title; the session as it stands then.
    pub(crate) async fn rename(&self, session: &str, title: &str) -> Result<Value> {
        let body = json!({ "userId": self.user, "title": title });
        self.json(self.http.patch(self.url(&["sessions", session])?).json(&body)).await
    }

    /// Erases a session.
    pub(crate) async fn delete(&self, session: &str) -> Result<()> {
        let request = self.http.delete(self.url(&["sessions", session])?).query(&self.owner());
        self.quickly(request).await.map(drop)
    }
}
