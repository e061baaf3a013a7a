//! `weir keys` on the real binary, and a running gateway that takes them.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::sse::Sse;
use tokio::time::{sleep, timeout};

use crate::stage::{Client, up, weir};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn keys(file: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = weir(&["keys"]);
    command.args(arguments).env("WEIR_API_KEYS", file);
    Ok(timeout(PATIENCE, command.output()).await??)
}

/// Makes a key; its text.
pub(crate) async fn create(file: &Path, user: &str, more: &[&str]) -> Result<String> {
    let arguments = [&["create", "--user", user], more].concat();
    let made = keys(file, &arguments).await?;
    ensure!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout)?;
    let key = text.strip_suffix('\n').context("one line")?;
    ensure!(key.starts_with("weir_") && !key.contains('\n'), "{text}");
    let said = String::from_utf8(made.stderr)?;
    ensure!(!said.contains(&key[18..]), "the secret is shown twice: {said}");
    Ok(key.to_owned())
}

async fn status(client: &Client, key: Option<&str>) -> Result<u16> {
    let mut request = client.get("/v1/sessions");
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    Ok(request.send().await?.status().as_u16())
}

#[tokio::test]
async fn a_key_is_made_used_listed_without_its_secret_and_revoked_while_weir_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.toml");
    let alice = create(&file, "alice", &["--label", "a notebook", "--expires", "90d"]).await?;
    let root = create(&file, "root", &["--role", "operator"]).await?;
    let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let path = file.to_str().context("UTF-8")?;
    let weir = up(&["--ephemeral", "--api-keys", path]).await?;
    let warning = weir.value("warning")?;
    let told = warning.contains(&weir.value("grpc")?) && warning.contains("--grpc-client-ca");
    assert!(told, "{warning}");
    let client = Client::of(&weir)?;
    assert_eq!(status(&client, None).await?, 401);
    assert_eq!(status(&client, Some(&alice)).await?, 200);
    let other = client.get("/v1/sessions?userId=alice");
    assert_eq!(other.bearer_auth(&root).send().await?.status(), 200);
    let other = client.get("/v1/sessions?userId=root");
    assert_eq!(other.bearer_auth(&alice).send().await?.status(), 403);

    let listed = keys(&file, &["list"]).await?;
    let table = String::from_utf8(listed.stdout)?;
    for (text, expected) in
        [("alice", true), ("a notebook", true), ("operator", true), (&alice[18..], false)]
    {
        assert_eq!(table.contains(text), expected, "{text}: {table}");
    }
    let listed = keys(&file, &["list", "--json"]).await?;
    let text = String::from_utf8(listed.stdout)?;
    let first: Value = serde_json::from_str(text.lines().next().context("a line")?)?;
    assert_eq!((&first["user"], &first["role"]), (&"alice".into(), &"user".into()));
    assert_eq!(first["expired"], false);
    assert!(!text.contains("sha256") && !text.contains(&alice[18..]), "{text}");

    let events = client.get("/v1/sessions/s/events").bearer_auth(&alice).send().await?;
    let mut events = Sse::open(events).await?;
    let id = first["id"].as_str().context("an id")?;
    let revoked = keys(&file, &["revoke", id]).await?;
    assert!(revoked.status.success(), "{revoked:?}");
    let ended = events.read_until(|it| it.is("auth_expired"));
    timeout(PATIENCE, ended).await??;
    assert_eq!(status(&client, Some(&alice)).await?, 401);
    assert_eq!(status(&client, Some(&root)).await?, 200);

    let new = create(&file, "alice", &[]).await?;
    let taken = async {
        while status(&client, Some(&new)).await? == 401 {
            sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, taken).await??;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_a_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.toml");
    let failed = async |arguments: &[&str], expected: &str| -> Result<()> {
        let output = keys(&file, arguments).await?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        ensure!(said.contains(expected), "{arguments:?}: {said}");
        Ok(())
    };
    failed(&["list"], "does not exist; weir keys create makes it").await?;
    failed(&["revoke", "0123456789ab"], "does not exist").await?;
    failed(&["create"], "--user").await?;
    failed(&["create", "--user", ""], "--user").await?;
    failed(&["create", "--user", "u", "--expires", "yesterday"], "must be a time").await?;
    failed(&["create", "--user", "u", "--role", "god"], "operator").await?;
    failed(&["create", "--user", "u", "--label", "a\nb"], "a label must").await?;
    create(&file, "u", &[]).await?;
    failed(&["revoke", "0123456789ab"], "has no key 0123456789ab").await?;
    std::fs::write(&file, "version = 1\nsecret = 1\n")?;
    failed(&["list"], "line 2: unknown field `secret`").await?;
    failed(&["create", "--user", "u"], "line 2: unknown field `secret`").await?;
    Ok(())
}

#[tokio::test]
async fn other_machines_are_let_in_only_with_authentication_or_when_told_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.toml");
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).to_string();
    let start = |more: &[&str]| {
        let arguments =
            [&["up", "--ephemeral", "--grpc", "127.0.0.1:0", "--http", &address], more].concat();
        weir(&arguments)
    };
    let refused = timeout(PATIENCE, start(&[]).output()).await??;
    let said = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success());
    for flag in ["--api-keys", "--jwt-secret-file", "--jwt-jwks", "--without-authentication"] {
        assert!(said.contains(flag), "{flag}: {said}");
    }
    let missing = file.to_str().context("UTF-8")?;
    let refused = timeout(PATIENCE, start(&["--api-keys", missing]).output()).await??;
    let said = String::from_utf8(refused.stderr)?;
    assert!(said.contains("does not exist"), "{said}");
    Ok(())
}
