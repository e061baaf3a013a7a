//! `weir completions`, in a real shell.

use anyhow::{Context as _, Result, ensure};
use testkit::process::{Weir, command};

use crate::stage::weir;

/// What bash offers for the last word of a line.
async fn offered(line: &[&str]) -> Result<Vec<String>> {
    let script = r#"
        source <("$WEIR" completions bash) || exit 3
        [[ "$(complete -p weir)" == *" -F _weir weir" ]] || exit 4
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _weir weir "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let arguments = [&["--norc", "-c", script, "bash"], line].concat();
    let mut bash = command("bash", arguments);
    bash.env("WEIR", env!("CARGO_BIN_EXE_weir"));
    let (code, output) = Weir::run(bash).await.context("bash")?;
    ensure!(code == Some(0) && output.stderr.is_empty(), "{line:?}: {code:?} {output:?}");
    Ok(output.stdout)
}

#[tokio::test]
async fn bash_completes_commands_flags_and_values() -> Result<()> {
    assert_eq!(offered(&["weir", "ses"]).await?, ["sessions"]);
    assert_eq!(offered(&["weir", "sessions", "ex"]).await?, ["export"]);
    assert_eq!(offered(&["weir", "ask", "--no-s"]).await?, ["--no-stream"]);
    assert_eq!(offered(&["weir", "completions", "z"]).await?, ["zsh"]);
    let formats = offered(&["weir", "sessions", "export", "--format", ""]).await?;
    assert_eq!(formats, ["md", "json"]);
    let commands = offered(&["weir", ""]).await?;
    for command in ["ask", "chat", "memory", "tail", "completions", "keys"] {
        assert!(commands.iter().any(|it| it == command), "{command}: {commands:?}");
    }
    Ok(())
}

#[tokio::test]
async fn other_shells_have_their_own_script_and_unknown_ones_none() -> Result<()> {
    for (shell, first) in [("zsh", "#compdef weir"), ("fish", "# Print an optspec")] {
        let (code, output) = Weir::run(weir(&["completions", shell])).await?;
        assert_eq!(code, Some(0), "{shell}");
        assert!(output.stdout[0].starts_with(first), "{shell}: {}", output.stdout[0]);
        let script = output.stdout.join("\n");
        for command in ["sessions", "memory", "completions", "knowledge", "tail"] {
            assert!(script.contains(command), "{shell} {command}");
        }
    }
    let (code, output) = Weir::run(weir(&["completions", "cmd"])).await?;
    assert_eq!((code, output.stdout.len()), (Some(2), 0));
    Ok(())
}
