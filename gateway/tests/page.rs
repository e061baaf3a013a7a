//! The page's own tests, which Node runs without a browser. Never passes where
//! Node or what the tests compare with is missing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// What the slowest machine may take.
const LONGEST: Duration = Duration::from_secs(110);

/// The longest of them, run beside the others.
const MARKDOWN: &str = "markdown.test.mjs";

#[tokio::test]
async fn the_pages_markdown_is_safe_right_and_drawn_in_steps() {
    node(&[folder().join(MARKDOWN)]).await;
}

#[tokio::test]
async fn what_else_the_page_decides_without_a_browser_is_right() {
    let files = std::fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path());
    let tests = files.filter(|it| it.to_string_lossy().ends_with(".test.mjs"));
    let others: Vec<_> = tests.filter(|it| !it.ends_with(MARKDOWN)).collect();
    node(&others).await;
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page")
}

/// Runs files of tests, and shows what Node said if one of them failed.
async fn node(files: &[PathBuf]) {
    assert!(!files.is_empty(), "no tests in {}", folder().display());
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec"]).args(files);
    node.stdin(Stdio::null()).kill_on_drop(true);
    let ran = timeout(LONGEST, node.output()).await;
    let ran = ran.unwrap_or_else(|_| panic!("{files:?} took longer than {LONGEST:?}"));
    let ran = ran.unwrap_or_else(|error| panic!("node, 20 or later, must be on the path: {error}"));
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.contains("pass ") && !told.contains("pass 0\n"), "no test ran: {told}");
}
