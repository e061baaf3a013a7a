//! `weir sessions`, `memory`, `cancel`, `delete`, `keys`: lists and what is done
//! with what they name, for people and for scripts.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Stage, column, values};
use crate::stage::weir;
use testkit::process::Weir;

/// What must not reach anybody's terminal.
const ACTIVE: [char; 2] = ['\u{1b}', '\u{202e}'];

fn is_inert(lines: &[String]) -> bool {
    !lines.iter().any(|it| it.contains(ACTIVE))
}

#[tokio::test]
async fn sessions_are_listed_page_by_page_found_shown_and_named() -> Result<()> {
    let stage = Stage::start().await?;
    for (session, question) in [("first", "About otters?"), ("b c", "About\u{1b}[2J tea?")] {
        stage.good(&["ask", "--session", session, question]).await?;
    }
    let listed = stage.json(&["sessions", "--json"]).await?;
    assert_eq!(column(&listed, "sessionId"), ["b c", "first"]);
    assert_eq!(column(&listed, "status"), ["idle", "idle"]);
    assert_eq!(column(&listed, "lastQuestion")[1], "About otters?");
    let (code, one) = stage.run(&["sessions", "--limit", "1"]).await?;
    assert_eq!((code, one.stdout.len()), (Some(0), 2), "{one:?}");
    assert!(one.stderr[0].contains("there are more"), "{one:?}");
    assert_eq!(stage.json(&["sessions", "list", "--all", "--json"]).await?.len(), 2);

    let named = ["sessions", "rename", "first", "Seen\u{202e}by", "--json"];
    assert_eq!(stage.json(&named).await?[0]["title"], "Seen\u{202e}by");
    let table = stage.good(&["sessions"]).await?;
    assert!(table[0].starts_with("SESSION ") && is_inert(&table), "{table:?}");
    let line = table.iter().find(|it| it.starts_with("first ")).context("the session")?;
    assert!(line.contains("completed  just now  Seen\\u{202e}by  About otters?"), "{line}");

    let found = stage.json(&["sessions", "search", "--json", "OTTERS", "seen"]).await?;
    assert_eq!(column(&found, "sessionId"), ["first"]);
    assert!(stage.json(&["sessions", "search", "--json", "otters", "tea"]).await?.is_empty());

    let shown = stage.good(&["sessions", "show", "b c"]).await?;
    assert!(is_inert(&shown), "{shown:?}");
    assert!(shown.contains(&"user: About\\u{1b}[2J tea?".to_owned()), "{shown:?}");
    let whole = stage.json(&["sessions", "show", "--json", "b c"]).await?;
    assert_eq!(whole[0]["turns"][0]["messages"][0]["content"], "About\u{1b}[2J tea?");
    for arguments in [&["show", "none"][..], &["rename", "none", "x"], &["export", "none"]] {
        let (code, output) = stage.run(&[&["sessions"], arguments].concat()).await?;
        assert_eq!(code, Some(1), "{arguments:?}: {output:?}");
        let told = output.stdout.is_empty() && output.stderr[0].contains("no such session")
            || output.stderr[0].contains("there is no session none");
        assert!(told, "{arguments:?}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_written_down_and_no_file_is_lost_to_it() -> Result<()> {
    let stage = Stage::start().await?;
    stage.good(&["ask", "--session", "s", "Why?"]).await?;
    let lines = stage.good(&["sessions", "export", "s"]).await?;
    assert_eq!(lines[0], "# Why?");
    assert!(lines.contains(&"> Why?".to_owned()), "{lines:?}");
    assert!(lines.contains(&"Why? (user message 1)".to_owned()), "{lines:?}");
    let file = stage.folder.path().join("s.json").display().to_string();
    let export = ["sessions", "export", "--format", "json", "-o", &file, "s"];
    assert!(stage.good(&export).await?.is_empty());
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    assert_eq!(kept["turns"][0]["status"], "completed");
    std::fs::write(&file, "mine")?;
    let (code, refused) = stage.run(&export).await?;
    assert_eq!(code, Some(1), "{refused:?}");
    assert!(refused.stderr[0].contains("--force writes over it"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file)?, "mine");
    stage.good(&[&export[..], &["--force"]].concat()).await?;
    assert_ne!(std::fs::read_to_string(&file)?, "mine");
    Ok(())
}

#[tokio::test]
async fn what_is_remembered_is_listed_added_to_and_forgotten() -> Result<()> {
    let stage = Stage::start().await?;
    for (command, told) in [
        (&["memory", "list"][..], "nothing is remembered"),
        (&["sessions"], "there are no sessions"),
        (&["sessions", "search", "otters"], "nothing was found"),
    ] {
        let (code, none) = stage.run(command).await?;
        assert_eq!((code, none.stdout.len(), none.stderr[0].as_str()), (Some(0), 0, told));
    }
    let tea = stage.json(&["memory", "add", "--json", "Likes tea\u{202e}!"]).await?;
    let id = tea[0]["id"].as_str().context("an id")?;
    let (code, added) = stage.fed(&["memory", "add", "-"], "Has an otter.\n".as_bytes()).await?;
    assert_eq!(code, Some(0), "{added:?}");
    let listed = stage.json(&["memory", "list", "--json"]).await?;
    assert_eq!(column(&listed, "text"), ["Has an otter.", "Likes tea\u{202e}!"]);
    assert_eq!(column(&listed, "source"), ["user", "user"]);
    let found = stage.json(&["memory", "list", "--query", "tea", "--json"]).await?;
    assert_eq!(column(&found, "id"), [id]);
    assert!(is_inert(&stage.good(&["memory", "list"]).await?));
    for n in 0..21 {
        stage
            .client()?
            .post("/v1/memories")
            .json(&json!({
                "userId": "test_user", "text": format!("Fact {n}."),
            }))
            .send()
            .await?
            .error_for_status()?;
    }
    assert_eq!(stage.json(&["memory", "list", "--json"]).await?.len(), 20);
    assert_eq!(stage.json(&["memory", "list", "--json", "--all"]).await?.len(), 23);

    let (code, forgot) = stage.run(&["memory", "forget", "--json", "none", id]).await?;
    assert_eq!(code, Some(1), "{forgot:?}");
    assert_eq!(values(&forgot.stdout)?, [json!({ "id": id, "forgotten": true })]);
    assert!(forgot.stderr.len() == 1 && forgot.stderr[0].contains("none: 404"), "{forgot:?}");
    let long = "x".repeat(5_000);
    let (code, refused) = stage.run(&["memory", "add", &long]).await?;
    assert_eq!(code, Some(1), "{refused:?}");
    assert!(refused.stderr[0].contains("4096"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn stopping_and_erasing_tell_scripts_what_became_of_it() -> Result<()> {
    let stage = Stage::start().await?;
    stage.good(&["ask", "--session", "s", "Why?"]).await?;
    let stopped = stage.json(&["cancel", "--json", "s"]).await?;
    assert_eq!((&stopped[0]["sessionId"], &stopped[0]["stopping"]), (&"s".into(), &false.into()));
    assert_eq!(stopped[0]["turnStatus"], "completed");
    let erased = stage.json(&["delete", "--json", "s"]).await?;
    assert_eq!(erased, [json!({ "sessionId": "s", "deleted": true })]);
    let (code, again) = stage.run(&["delete", "--json", "--yes", "s"]).await?;
    assert_eq!((code, again.stdout.len()), (Some(1), 0), "{again:?}");
    for swallowed in ["..", ".", ""] {
        let (code, refused) = stage.run(&["delete", "--", swallowed]).await?;
        assert_eq!(code, Some(1), "{refused:?}");
        assert!(refused.stderr[0].contains("cannot stand in a request's path"), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn keys_and_jobs_are_told_to_scripts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.toml").display().to_string();
    let keys = async |arguments: &[&str]| -> Result<Value> {
        let (code, output) =
            Weir::run(weir(&[&["keys"], arguments, &["--api-keys", &file, "--json"]].concat()))
                .await?;
        anyhow::ensure!(code == Some(0), "{output:?}");
        values(&output.stdout)?.pop().context("a value")
    };
    let made = keys(&["create", "--user", "ann", "--role", "operator", "--expires", "1d"]).await?;
    let key = made["key"].as_str().context("the key")?;
    let id = made["id"].as_str().context("its id")?;
    assert!(key.starts_with(&format!("weir_{id}_")), "{made}");
    assert_eq!((&made["user"], &made["role"]), (&"ann".into(), &"operator".into()));
    assert!(made["expires"].is_string() && made["created"].is_string(), "{made}");
    let listed = keys(&["list"]).await?;
    assert!(listed["id"] == id && listed.get("key").is_none(), "{listed}");
    let revoked = keys(&["revoke", id]).await?;
    assert_eq!(revoked, json!({ "id": id, "user": "ann", "revoked": true }));

    let data = folder.path().join("data").display().to_string();
    let mut server = crate::stage::up(&["--data", &data]).await?;
    for (arguments, expected) in [
        (&["jobs", "list"][..], Vec::new()),
        (&["jobs", "drop", "--all"], Vec::new()),
        (&["jobs", "queue"], vec![json!({ "depth": 0 })]),
    ] {
        let command = weir(&[arguments, &["--json", "--data", &data]].concat());
        let (code, output) = Weir::run(command).await?;
        assert_eq!((code, values(&output.stdout)?), (Some(0), expected), "{arguments:?}");
    }
    server.terminate()?;
    server.exit().await?;
    Ok(())
}
