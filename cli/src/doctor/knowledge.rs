//! The folders that the agent answers from: whether they can be looked through,
//! and how many documents are in them. Reads none.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::Config;
use agent::knowledge::Library;
use futures::future::join_all;
use tokio::time::timeout;

use super::finding::Finding;

const CHECK: &str = "knowledge";
/// How long looking through a folder may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config else {
        return vec![Finding::off(CHECK, "the agent's configuration cannot be used")];
    };
    if config.knowledge.folders.is_empty() {
        return vec![Finding::off(CHECK, "no folders: Weir's own documentation is built in")];
    }
    join_all(config.knowledge.folders.iter().map(|it| folder(it))).await
}

async fn folder(path: &Path) -> Finding {
    let library = Arc::new(Library::new(vec![path.to_owned()]));
    let counted = timeout(PATIENCE, library.count()).await;
    judge(
        path,
        counted.ok().map(|it| it.map(|it| it.into_iter().sum()).map_err(|it| it.to_string())),
    )
}

/// `None` when there was no time to count.
fn judge(path: &Path, counted: Option<Result<usize, String>>) -> Finding {
    let name = path.display();
    match counted {
        None => Finding::warn(
            CHECK,
            format!("{name}: looking through it takes longer than {PATIENCE:?}"),
            "name a folder with less in it, or keep it on a faster disk",
        ),
        Some(Err(why)) => {
            let advice = "correct --knowledge or the configuration, or let this user read it";
            Finding::fail(CHECK, why, advice)
        }
        Some(Ok(0)) => Finding::fail(
            CHECK,
            format!("{name} holds no .md, .txt, .html or .pdf file"),
            "put documents there, or name another folder with --knowledge",
        ),
        Some(Ok(1)) => Finding::ok(CHECK, format!("{name}: 1 document")),
        Some(Ok(documents)) => Finding::ok(CHECK, format!("{name}: {documents} documents")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[tokio::test]
    async fn folders_are_counted_and_a_missing_or_empty_one_fails() {
        let there = tempfile::tempdir().unwrap();
        let empty = tempfile::tempdir().unwrap();
        std::fs::write(there.path().join("a.md"), "One.").unwrap();
        std::fs::write(there.path().join("b.txt"), "Two.").unwrap();
        std::fs::write(there.path().join("c.png"), "").unwrap();
        let mut config = Config::default();
        assert_eq!(look(Some(&config)).await[0].outcome, Outcome::Off);
        let folders = [there.path(), empty.path(), Path::new("/nowhere/at/all")];
        config.knowledge.folders = folders.map(Path::to_owned).to_vec();
        let found = look(Some(&config)).await;
        let outcomes: Vec<_> = found.iter().map(|it| it.outcome).collect();
        assert_eq!(outcomes, [Outcome::Ok, Outcome::Fail, Outcome::Fail], "{found:?}");
        assert!(found[0].detail.ends_with(": 2 documents"), "{found:?}");
        assert!(found[2].detail.contains("/nowhere/at/all"), "{found:?}");
    }

    #[test]
    fn a_folder_that_takes_too_long_is_warned_of() {
        assert_eq!(judge(Path::new("/slow"), None).outcome, Outcome::Warn);
    }
}
