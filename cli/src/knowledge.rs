//! `weir knowledge`: what the agent would find in its documents, and which they
//! are. Reads them here; asks no agent.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use agent::knowledge::{Hit, Index, Library, Listed, Progress};
use serde_json::json;

use crate::flags::{KnowledgeCommand, KnowledgeSearch, Known};
use crate::{Ended, output, plain, progress};

pub(crate) async fn run(command: KnowledgeCommand) -> Ended {
    process::telemetry("warn,weir::progress=info");
    let shown = match command {
        KnowledgeCommand::Search(flags) => search(&flags).await?,
        KnowledgeCommand::Files(flags) => files(&flags).await?,
    };
    output::print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

async fn search(flags: &KnowledgeSearch) -> anyhow::Result<String> {
    let index = index(&flags.known).await?;
    let hits = index.search(&flags.question, flags.limit.into())?;
    Ok(match flags.known.json {
        true => lines(hits.iter().map(hit_json)),
        false if hits.is_empty() => {
            format!("nothing in {} documents fits\n", index.documents())
        }
        false => hits.iter().enumerate().map(|(at, it)| passage(at + 1, it)).collect(),
    })
}

async fn files(flags: &Known) -> anyhow::Result<String> {
    let index = index(flags).await?;
    if flags.json {
        let json = |it: &Listed| json!({"source": *it.source, "passages": it.passages});
        return Ok(lines(index.listed().iter().map(json)));
    }
    let mut shown = String::new();
    for it in index.listed() {
        writeln!(shown, "{:>6}  {}", it.passages, plain::line(&it.source))?;
    }
    let (documents, passages) = (index.documents(), index.passages());
    writeln!(shown, "{passages:>6}  passages in {documents} documents")?;
    Ok(shown)
}

async fn index(flags: &Known) -> anyhow::Result<Arc<Index>> {
    let mut folders = flags.knowledge.clone();
    if let (Some(file), true) = (&flags.file.config, folders.is_empty()) {
        folders = agent::Config::read(file)?.knowledge.folders;
    }
    let progress = Progress::default();
    let library = Arc::new(Library::telling(folders, progress.clone()));
    Ok(progress::reading(&progress, library.index()).await?)
}

fn lines(values: impl Iterator<Item = serde_json::Value>) -> String {
    let lines: Vec<_> = values.flat_map(|it| [it.to_string(), "\n".to_owned()]).collect();
    lines.concat()
}

fn hit_json(hit: &Hit) -> serde_json::Value {
    json!({
        "source": *hit.source,
        "heading": *hit.heading,
        "firstLine": hit.first_line,
        "lastLine": hit.last_line,
        "score": hit.score,
        "text": hit.text,
    })
}

/// One passage, for people.
fn passage(number: usize, hit: &Hit) -> String {
    let gap = if hit.heading.is_empty() { "" } else { " > " };
    let place = plain::line(&format!("{}{gap}{}", hit.source, hit.heading));
    let (first, last, score) = (hit.first_line, hit.last_line, hit.score);
    let lines =
        if first == last { format!("line {first}") } else { format!("lines {first}–{last}") };
    let text = plain::lines(&hit.text).replace('\n', "\n   ");
    format!("{number}. {place}\n   {lines}, score {score:.2}\n\n   {text}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_shown_with_its_place_and_nothing_in_it_acts_on_the_terminal() {
        let hit = Hit {
            source: "a.md".into(),
            heading: "Guide > \u{1b}[2J".into(),
            first_line: 3,
            last_line: 4,
            text: "One.\nTwo\u{1b}.".to_owned(),
            score: 1.234,
        };
        let shown =
            "1. a.md > Guide > \\u{1b}[2J\n   lines 3–4, score 1.23\n\n   One.\n   Two\\u{1b}.\n\n";
        assert_eq!(passage(1, &hit), shown);
        let top = Hit { heading: "".into(), last_line: 3, text: "One.".to_owned(), ..hit };
        assert_eq!(passage(2, &top), "2. a.md\n   line 3, score 1.23\n\n   One.\n\n");
    }

    #[tokio::test]
    async fn folders_are_searched_and_listed_without_an_agent() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("otter.md"), "# Otter\n\nIt eats fish.\n").unwrap();
        let known = |json| Known {
            file: crate::flags::Settings { config: None },
            knowledge: vec![folder.path().to_owned()],
            json,
        };
        let asked = |question: &str, json| KnowledgeSearch {
            known: known(json),
            limit: 5,
            question: question.to_owned(),
        };
        let found = search(&asked("fish", false)).await.unwrap();
        assert!(found.starts_with("1. otter.md > Otter\n   line 3, score "), "{found}");
        let found = search(&asked("fish", true)).await.unwrap();
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!((&found["source"], &found["firstLine"]), (&json!("otter.md"), &json!(3)));
        assert_eq!(search(&asked("zebra", false)).await.unwrap(), "nothing in 1 documents fits\n");
        assert_eq!(search(&asked("zebra", true)).await.unwrap(), "");
        assert!(search(&asked(&"z".repeat(1_001), true)).await.is_err());
        let listed = files(&known(false)).await.unwrap();
        assert_eq!(listed, "     1  otter.md\n     1  passages in 1 documents\n");
    }
}
