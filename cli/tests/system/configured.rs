//! The agent's configuration file, as an operator meets it.

use std::path::Path;

use anyhow::Result;
use testkit::model::FakeModel;
use testkit::process::{Output, Weir};

use crate::stage::{Client, up, weir};

/// `weir agent --print-config` with these flags and variables.
async fn printed(flags: &[&str], variables: &[(&str, &str)]) -> Result<(Option<i32>, Output)> {
    let mut command = weir(&[&["agent", "--print-config"], flags].concat());
    command.envs(variables.iter().copied());
    Weir::run(command).await
}

fn file(folder: &Path, text: &str) -> Result<String> {
    let path = folder.join("agent.toml");
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

#[tokio::test]
async fn the_agent_asks_the_models_of_the_file_with_the_file_s_key() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    std::fs::write(folder.path().join("mine.key"), "sk-of-the-file\n")?;
    let url = model.base_url();
    let text = format!(
        "model = \"mine/script\"\n[providers.mine]\nbase_url = \"{url}\"\nkey_file = \"mine.key\""
    );
    let server = up(&["--ephemeral", "--config", &file(folder.path(), &text)?]).await?;
    assert!(server.value("model")?.starts_with("mine/script"), "{:?}", server.output());
    Client::of(&server)?.ask("s", "hello").await?.read_all().await?;
    let calls = model.calls();
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer sk-of-the-file"));
    assert_eq!(calls[0].body["model"], "script");
    Ok(())
}

#[tokio::test]
async fn flags_and_variables_count_more_than_the_file_and_secrets_are_masked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let text = "model = \"mine/a\"\nfallback = [\"extractive\"]\n[providers.mine]\n\
                base_url = \"http://127.0.0.1:9/v1\"\nkey_env = \"MINE\"\n\
                [knowledge]\nfolders = [\"docs\"]\n\
                [mcp.web]\nurl = \"http://127.0.0.1:9/mcp?key=canary\"\n\
                headers = { Authorization = { env = \"MINE\" } }";
    let path = file(folder.path(), text)?;
    let keys = [("MINE", "sk-canary"), ("OPENAI_API_KEY", "sk-canary-2"), ("WEIR_CONFIG", &path)];
    let (code, output) = printed(&[], &keys).await?;
    let shown = output.stdout.join("\n");
    assert_eq!(code, Some(0), "{output:?}");
    for words in [
        "model = \"mine/a\"",
        "[providers.mine]",
        "[providers.openai]",
        "# key = ****",
        "first_token = \"2m\"",
        &format!("{}/docs", folder.path().display()),
    ] {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
    assert!(!format!("{output:?}").contains("canary"), "{output:?}");

    let flags = ["--model", "openai/x", "--knowledge", "/other"];
    let flags = [&flags[..], &["--openai-base-url", "http://127.0.0.1:7/v1"]].concat();
    let shown = printed(&flags, &keys).await?.1.stdout.join("\n");
    for words in ["model = \"openai/x\"", "\"/other\"", "base_url = \"http://127.0.0.1:7/v1\""] {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
    assert!(!shown.contains("/docs"), "{shown}");

    let variables = [&keys[..], &[("WEIR_MODEL", "extractive")]].concat();
    let shown = printed(&[], &variables).await?.1.stdout.join("\n");
    assert!(shown.contains("model = \"extractive\""), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_variable_that_the_file_displaces_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path(), "[providers.openai]\nkey_env = \"OPENAI_API_KEY\"")?;
    let variables = [("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")];
    let (code, output) = printed(&["--config", &path], &variables).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let told = output.stderr.join("\n");
    assert!(told.contains("OPENAI_BASE_URL is not used"), "{told}");
    assert!(!told.contains("OPENAI_API_KEY is not used"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_one_clear_line_and_exit_code_1() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (text, words) in [
        ("\n[times]\nturn = \"soon\"", "agent.toml:3: times.turn: invalid value"),
        ("[limits]\nsteps = 0", "agent.toml:2: limits.steps: must be 1 to 1000, not 0"),
        ("[providers.x]\nkey_env = \"ABSENT\"", "the variable ABSENT is not set"),
        ("model = \"openai/x\"", "agent.toml: model: unknown model `openai/x`"),
    ] {
        let path = file(folder.path(), text)?;
        for role in ["agent", "up"] {
            let free = ["--grpc", "127.0.0.1:0", "--ephemeral", "--config", &path];
            let mut flags = [&[role], &free[..]].concat();
            if role == "up" {
                flags.extend(["--http", "127.0.0.1:0"]);
            }
            let (code, output) = Weir::run(weir(&flags)).await?;
            assert_eq!(code, Some(1), "{output:?}");
            let errors: Vec<_> =
                output.stderr.iter().filter(|it| it.starts_with("weir: ")).collect();
            assert!(errors.len() == 1 && errors[0].contains(words), "{words}: {output:?}");
        }
    }
    let (code, output) = printed(&["--config", "/nowhere/agent.toml"], &[]).await?;
    assert_eq!(code, Some(1));
    assert!(output.stderr[0].contains("/nowhere/agent.toml cannot be read"), "{output:?}");
    Ok(())
}
