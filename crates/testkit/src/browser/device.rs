//! What the browser runs on: its network, its screen, its folder of downloads.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Browser, LOOK};
use crate::PATIENCE;

/// How a file that is not there completely ends.
const PARTIAL: &str = "crdownload";

impl Browser {
    /// Makes every new request of the page fail and tells it that it is offline,
    /// or the opposite. A stream that is open goes on: a [`crate::proxy::Proxy`]
    /// in between cuts that.
    pub async fn offline(&self, offline: bool) -> Result<()> {
        let open = if offline { 0 } else { -1 };
        self.devtools("Network.enable", json!({})).await?;
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": open, "uploadThroughput": open,
        });
        self.devtools("Network.emulateNetworkConditions", conditions).await?;
        Ok(())
    }

    /// Makes this tab a phone that is held upright: 390 × 844, with touch.
    pub async fn phone(&self) -> Result<()> {
        let screen = json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await?;
        let touch = json!({ "enabled": true, "maxTouchPoints": 5 });
        self.devtools("Emulation.setTouchEmulationEnabled", touch).await?;
        Ok(())
    }

    /// Whether this tab's person likes it dark.
    pub async fn dark(&self, dark: bool) -> Result<()> {
        let value = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// Puts what is downloaded into a folder without asking.
    pub async fn downloads(&self, folder: &Path) -> Result<()> {
        let allowed = json!({ "behavior": "allow", "downloadPath": folder });
        self.devtools("Browser.setDownloadBehavior", allowed).await?;
        Ok(())
    }

    /// The only file of that folder, once there is one and it is complete. An
    /// error after 30 s.
    pub async fn downloaded(&self, folder: &Path) -> Result<PathBuf> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(file) = complete(folder)? {
                    return Ok(file);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        waited.await.with_context(|| format!("nothing came into {}", folder.display()))?
    }
}

fn complete(folder: &Path) -> Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    // Before its name is known, a download is hidden.
    let hidden = |it: &Path| it.file_name().is_none_or(|it| it.to_string_lossy().starts_with('.'));
    let open = files.iter().any(|it| hidden(it) || it.extension().is_some_and(|it| it == PARTIAL));
    Ok(files.pop().filter(|_| !open))
}
