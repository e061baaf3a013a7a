//! Finds passages for somebody who reads on: a model, or a person.
//!
//! Less strict than what answers by itself: a passage that covers some of the
//! question is worth a look. What shares nothing but a stray character with it
//! is not.

use std::collections::HashSet;
use std::sync::Arc;

use tantivy::query::{BoostQuery, Query};

use super::{Index, whole};
use crate::Error;
use crate::passage::Passage;

/// The longest question that is searched, in bytes.
pub const MAX_QUESTION: usize = 1_000;

/// The most passages that one search returns.
pub const MAX_HITS: usize = 50;

/// The most of a passage that is shown, in bytes: a whole one, nearly always.
const MAX_TEXT: usize = 4_000;

/// Passages that are looked at for each one that is returned.
const CANDIDATES: usize = 4;

/// How much of a question a passage must cover.
const MIN_COVERAGE: f32 = 0.15;

/// Passages that share this much of their terms say the same.
const ALIKE: f32 = 0.85;

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its file, below the folder.
    pub source: Arc<str>,
    /// The headings above it, outermost first, joined by " > ".
    pub heading: Arc<str>,
    /// Where it begins in the file, from 1; in a PDF, on its page.
    pub first_line: u32,
    /// Where it ends.
    pub last_line: u32,
    /// Its words, without marks of format; at most 4,000 bytes.
    pub text: String,
    /// Higher is better; says nothing across questions.
    pub score: f32,
}

/// A passage on the way to being one.
struct Candidate<'a> {
    passage: &'a Passage,
    terms: HashSet<String>,
    score: f32,
}

impl Index {
    /// The passages about a question, best first, in any language; none when
    /// nothing here shares enough words with it.
    ///
    /// Errors: a question of more than [`MAX_QUESTION`] bytes.
    pub fn search(&self, question: &str, limit: usize) -> Result<Vec<Hit>, Error> {
        if question.len() > MAX_QUESTION {
            return Err(Error::TooLong { bytes: question.len() });
        }
        let limit = limit.min(MAX_HITS);
        let searcher = self.reader.searcher();
        let mut terms = self.terms.clone();
        let words = terms.asked(question);
        let asked = self.asked(&searcher, question, &mut terms)?;
        if asked.worth.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let weights = self.weights(&searcher, words)?;
        let queries = weights.iter().map(|(term, weight)| {
            Box::new(BoostQuery::new(self.query(term), *weight)) as Box<dyn Query>
        });
        let mut candidates = Vec::new();
        for (passage, score) in self.any(&searcher, queries, limit * CANDIDATES)? {
            let terms = terms.said(&whole(passage));
            let coverage = asked.covered(&terms);
            if coverage >= MIN_COVERAGE {
                // Several of its words say more than one of them again and again.
                let score = score * coverage;
                candidates.push(Candidate { passage, terms, score });
            }
        }
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(merged(candidates).into_iter().take(limit).map(|it| hit(&it)).collect())
    }
}

/// Of those that say the same, or stand on the same lines, the best.
fn merged(candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    let mut merged: Vec<Candidate<'_>> = Vec::new();
    for it in candidates {
        if !merged.iter().any(|better| overlap(better.passage, it.passage) || alike(better, &it)) {
            merged.push(it);
        }
    }
    merged
}

fn overlap(a: &Passage, b: &Passage) -> bool {
    let ((from, to), (first, last)) = (a.lines(), b.lines());
    a.source == b.source && a.heading == b.heading && from <= last && first <= to
}

fn alike(a: &Candidate<'_>, b: &Candidate<'_>) -> bool {
    let shared = a.terms.intersection(&b.terms).count();
    let all = a.terms.len() + b.terms.len() - shared;
    #[expect(clippy::cast_precision_loss, reason = "the terms of a passage are few")]
    let share = shared as f32 / all.max(1) as f32;
    share >= ALIKE
}

fn hit(found: &Candidate<'_>) -> Hit {
    let (first_line, last_line) = found.passage.lines();
    Hit {
        source: Arc::clone(&found.passage.source),
        heading: Arc::clone(&found.passage.heading),
        first_line,
        last_line,
        text: found.passage.text(MAX_TEXT),
        score: found.score,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Limits;
    use crate::format::Format;
    use crate::shelf::Document;

    fn index(files: &[(&str, &str)]) -> Index {
        let documents = files.iter().map(|(name, text)| {
            let source: Arc<str> = (*name).into();
            let format = Format::of(Path::new(name)).unwrap();
            let bytes = text.as_bytes().to_vec();
            let passages = format.cut(&source, bytes, &Limits::default()).unwrap();
            Arc::new(Document::new(source, passages))
        });
        Index::new(&documents.collect::<Vec<_>>()).unwrap()
    }

    fn places(index: &Index, question: &str, limit: usize) -> Vec<String> {
        let hits = index.search(question, limit).unwrap();
        hits.iter()
            .map(|it| format!("{} {} {}-{}", it.source, it.heading, it.first_line, it.last_line))
            .collect()
    }

    #[test]
    fn a_passage_is_found_with_its_place_whatever_the_order_of_the_words() {
        let index = index(&[
            (
                "mq.md",
                "# 消息队列\n\n## 确认机制\n\n消费者处理完消息后发送确认。\n\n## 重试\n\n失败的任务会重试三次。\n",
            ),
            (
                "tea.md",
                "# Tea\n\n## Brewing\n\n- Boil water.\n- Wait.\n\n| Tea | Minutes |\n|---|---|\n| green | 2 |\n",
            ),
        ]);
        for question in ["消息确认", "确认消息", "怎么确认一条消息?"] {
            assert_eq!(
                places(&index, question, 1),
                ["mq.md 消息队列 > 确认机制 5-5"],
                "{question}"
            );
        }
        let hit = index.search("brew green tea", 5).unwrap().remove(0);
        assert_eq!(hit.text, "- Boil water.\n- Wait.\nTea | Minutes\ngreen | 2");
        assert_eq!((&*hit.heading, hit.first_line, hit.last_line), ("Tea > Brewing", 5, 10));
        assert!(hit.score > 0.0);
    }

    #[test]
    fn what_shares_nothing_with_a_question_is_not_found() {
        let index = index(&[
            ("mq.md", "# 消息队列\n\n消费者处理完消息后发送确认。\n"),
            ("tea.md", "# Tea\n\nBoil water.\n"),
        ]);
        for question in
            ["", "?!", "What is it?", "quantum chromodynamics", "帕金森的治疗方案有哪些?"]
        {
            assert_eq!(places(&index, question, 5), Vec::<String>::new(), "{question}");
        }
    }

    #[test]
    fn passages_that_say_the_same_are_one() {
        let text = "# Otter\n\nThe otter eats fish, crabs and frogs at night near the river.\n";
        let index =
            index(&[("a.md", text), ("b/a.md", text), ("c.md", "# Otter\n\nIts den is a holt.\n")]);
        let sources: Vec<_> =
            index.search("otter", 5).unwrap().into_iter().map(|it| it.source.to_string()).collect();
        assert_eq!(sources.len(), 2, "{sources:?}");
        assert!(sources.contains(&"c.md".to_owned()));
    }

    #[test]
    fn a_search_is_bounded() {
        let sections: Vec<_> = (0..200)
            .map(|it| format!("# Otter {it}\n\nFish number{it} word{it} more{it} else{it}.\n"))
            .collect();
        let text = sections.concat();
        let index = index(&[("a.md", &text)]);
        assert_eq!(index.search("otter", 0).unwrap(), []);
        assert_eq!(index.search("otter", 3).unwrap().len(), 3);
        assert_eq!(index.search("otter", usize::MAX).unwrap().len(), MAX_HITS);
        assert!(!index.search(&"otter ".repeat(166), 1).unwrap().is_empty());
        let long = index.search(&"o".repeat(MAX_QUESTION + 1), 1).unwrap_err();
        assert_eq!(long.to_string(), "a question of 1001 bytes; at most 1000 are searched");
        assert!(index.find(&"otter ".repeat(10_000)).is_ok());
    }
}
