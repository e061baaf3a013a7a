//! Whether a page can be used by everybody, as far as a program can tell:
//! axe-core, run in the page. `cargo xtask test` installs it.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Browser;

/// Below the workspace.
const AXE: &str = "target/tools/page/node_modules/axe-core/axe.min.js";

/// What is no good practice only, but in the way of somebody.
const GRAVE: [&str; 2] = ["serious", "critical"];

impl Browser {
    /// What axe finds in this tab that is serious or critical: one text for each
    /// rule, with the places that break it.
    pub async fn axe(&self) -> Result<Vec<String>> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(AXE);
        let source = tokio::fs::read_to_string(&file).await.with_context(|| {
            let file = file.display();
            format!("axe-core is missing: run `cargo xtask test`, which installs it as {file}")
        })?;
        // Its last value is the library, which is too large to come back.
        self.evaluate(&format!("{source}\n;undefined")).await?;
        let found = self.evaluate("axe.run(document, { resultTypes: ['violations'] })").await?;
        let violations = found["violations"].as_array().context("axe names no violations")?;
        Ok(violations.iter().filter(|it| is_grave(it)).map(told).collect())
    }
}

fn is_grave(violation: &Value) -> bool {
    GRAVE.iter().any(|it| violation["impact"] == *it)
}

fn told(violation: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rule = ["impact", "id", "help"].map(|it| text(&violation[it]));
    let nodes = violation["nodes"].as_array().into_iter().flatten();
    let places = nodes.map(|it| {
        let why = text(&it["failureSummary"]).replace('\n', " ");
        format!("\n  {}\n    {}\n    {why}", it["target"], text(&it["html"]))
    });
    let places: String = places.collect();
    format!("{}: {}: {}{places}", rule[0], rule[1], rule[2])
}
