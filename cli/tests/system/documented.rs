//! The document of the HTTP edge, held against the whole system by Schemathesis:
//! what it says must be so, and what it forbids must be refused.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use testkit::process::{Weir, command};
use tokio::time::timeout;

use crate::stage::{up, weir};

/// Longer than it may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// One client asks all day: only its own pace is to limit it.
const LIMITS: &str = "[requests]\nper_address_second = 100000\nper_address_burst = 1000000\n\
                      bad_credentials_minute = 100000\n\
                      [users]\nrequests_second = 100000\nrequests_burst = 1000000\nturns = 1000\n";

/// Everything in one process, for who shows an operator's key.
async fn start(folder: &TempDir) -> Result<(Weir, String)> {
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (limits, keys) = (place("gateway.toml"), place("keys.toml"));
    std::fs::write(&limits, LIMITS)?;
    let create = ["keys", "create", "--api-keys", &keys, "--user", "root", "--role", "operator"];
    let (code, output) = Weir::run(weir(&create)).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let key = output.stdout.iter().flat_map(|it| it.split_whitespace()).find(|it| it.len() > 30);
    let key = key.with_context(|| format!("a key: {output:?}"))?.to_owned();
    let flags = ["--ephemeral", "--gateway-config", &limits, "--api-keys", &keys];
    Ok((up(&flags).await?, key))
}

/// The tool as `cargo xtask test` has installed it.
fn installed() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/schemathesis");
    ensure!(
        folder.join("schemathesis/__init__.py").is_file(),
        "Schemathesis is missing: run `cargo xtask test`, which installs it in {}",
        folder.display()
    );
    Ok(folder.canonicalize()?)
}

/// Runs the tool; its code, and what it says.
async fn check(document: &str, key: &str, folder: &TempDir) -> Result<(Option<i32>, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/documented");
    let modules = std::env::join_paths([&installed()?, &here])?;
    let config = here.join("schemathesis.toml").display().to_string();
    let header = format!("Authorization: Bearer {key}");
    let arguments = [
        "-m",
        "schemathesis.cli",
        "--config-file",
        &config,
        "run",
        document,
        "--header",
        &header,
        "--no-color",
    ];
    let mut tool = command("python3", arguments);
    tool.env("PYTHONPATH", modules).env("SCHEMATHESIS_HOOKS", "streams");
    tool.env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", folder.path());
    tool.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output =
        timeout(PATIENCE, tool.kill_on_drop(true).output()).await.context("it hangs")??;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

/// How many operations a document names.
fn operations(document: &Value) -> usize {
    let paths = document["paths"].as_object().into_iter().flat_map(|it| it.values());
    paths.filter_map(Value::as_object).map(serde_json::Map::len).sum()
}

#[tokio::test]
async fn the_server_does_what_its_document_says_and_refuses_what_it_forbids() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, key) = start(&folder).await?;
    let url = format!("{}openapi.json", server.value("page")?);
    let document: Value = reqwest::get(&url).await?.error_for_status()?.json().await?;
    let count = operations(&document);
    ensure!(count > 30, "{count} operations");
    let (code, said) = check(&url, &key, &folder).await?;
    assert_eq!(code, Some(0), "{said}");
    for words in [format!("Selected: {count}/{count}"), format!("Tested: {count}")] {
        ensure!(said.contains(&words), "{words} is not in\n{said}");
    }
    let log = server.output().stderr.join("\n");
    ensure!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    Ok(())
}
