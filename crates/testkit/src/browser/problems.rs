//! What a browser complains of.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Browser;

impl Browser {
    /// What the console calls an error, in any tab, since this was last asked:
    /// errors that nobody caught, what the page's policy refused, and requests
    /// that failed.
    pub async fn problems(&self) -> Result<Vec<String>> {
        let log = self.driver("se/log", &json!({ "type": "browser" })).await?;
        let entries = log.as_array().context("a log is a list")?;
        let severe = entries.iter().filter(|it| it["level"] == "SEVERE");
        Ok(severe.filter_map(|it| it["message"].as_str()).map(str::to_owned).collect())
    }

    /// The value of an expression, evaluated by the browser itself: neither the
    /// page's policy nor its Trusted Types apply. A promise is waited for.
    pub(super) async fn evaluate(&self, expression: &str) -> Result<Value> {
        let parameters = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let mut answer = self.devtools("Runtime.evaluate", parameters).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            let text = thrown["exception"]["description"].as_str();
            anyhow::bail!("the page threw {}", text.unwrap_or("something"));
        }
        Ok(answer["result"]["value"].take())
    }
}
