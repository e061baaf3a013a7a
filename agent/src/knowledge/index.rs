//! Finds the sentences that answer a question, by BM25 over passages and by
//! what each sentence itself says of the question.
//!
//! Relevance is absolute, not only relative: a passage that covers too little
//! of what the question is about is no answer, and finding nothing is a result.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{IndexReader, Searcher, TantivyDocument, Term};

use super::aim::Aim;
use super::passage::{Form, Passage, Sentence};
use super::script::{is_chinese, is_han};
use super::words::{Grain, analyzer, terms};
use super::{Document, passage};
use crate::Error;

/// Memory for building the index, in bytes; the least that tantivy takes.
const BUILD_BYTES: usize = 16 * 1024 * 1024;

/// Passages that are looked at for one question.
const MAX_CANDIDATES: usize = 24;

/// How much of a question's weight a passage must cover.
const MIN_COVERAGE: f32 = 0.36;

/// Sentences in one answer, and their bytes together.
const MAX_SENTENCES: usize = 6;
const MAX_ANSWER_BYTES: usize = 2_000;

/// What a sentence must be worth, compared with the best one.
const MIN_WORTH: f32 = 0.6;

/// What speaks the question's language is worth so much more.
const SAME_LANGUAGE: f32 = 2.0;

/// What a lone Chinese character is worth, compared with a word.
const CHARACTER: f32 = 0.5;

/// What a sentence is worth more that defines what was asked for, or tells how.
const DEFINES: f32 = 1.6;
const TELLS_HOW: f32 = 1.3;

/// What a passage's first sentence is worth more.
const OPENS: f32 = 1.1;

/// A sentence that answers, with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) source: Arc<str>,
    pub(crate) heading: Arc<str>,
    pub(crate) sentence: Sentence,
}

/// All passages, searchable.
pub(crate) struct Index {
    documents: usize,
    passages: Vec<Passage>,
    reader: IndexReader,
    words: Field,
    number: Field,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("documents", &self.documents)
            .field("passages", &self.passages.len())
            .finish_non_exhaustive()
    }
}

/// What a question is about: its terms and what each is worth.
struct Asked {
    worth: HashMap<String, f32>,
    total: f32,
    chinese: bool,
    aim: Aim,
}

struct Rarity {
    /// Passages that have the term.
    found: u64,
    worth: f32,
}

struct Candidate<'a> {
    passage: &'a Passage,
    rank: f32,
    chinese: bool,
}

struct Scored<'a> {
    passage: &'a Passage,
    at: usize,
    worth: f32,
}

impl Index {
    /// Cuts and indexes the documents, in memory.
    pub(crate) fn new(documents: &[Document]) -> Result<Self, Error> {
        let passages: Vec<_> = documents.iter().flat_map(passage::cut).collect();
        let (index, words, number) = fill(&passages).map_err(failed)?;
        let reader = index.reader().map_err(failed)?;
        Ok(Self {
            documents: documents.len(),
            passages,
            reader,
            words,
            number,
        })
    }

    /// How many documents were read.
    pub(crate) fn documents(&self) -> usize {
        self.documents
    }

    /// How many passages they were cut into.
    pub(crate) fn passages(&self) -> usize {
        self.passages.len()
    }

    /// The sentences that answer the question, in the order to say them; none
    /// when nothing here is about it.
    pub(crate) fn find(&self, question: &str) -> Result<Vec<Found>, Error> {
        let searcher = self.reader.searcher();
        let asked = self.asked(&searcher, question)?;
        if asked.worth.is_empty() {
            return Ok(Vec::new());
        }
        let mut analyzer = analyzer(Grain::Characters);
        let candidates = self.candidates(&searcher, &asked, &mut analyzer)?;
        Ok(answer(&candidates, &asked, &mut analyzer))
    }

    fn asked(&self, searcher: &Searcher, question: &str) -> Result<Asked, Error> {
        let mut worth = HashMap::new();
        let asked = terms(&mut analyzer(Grain::Words), question);
        let aim = Aim::of(question, asked.len());
        for term in asked {
            let rarity = self.rarity(searcher, &term)?;
            let han = term.chars().all(is_han);
            if han && rarity.found == 0 {
                // A Chinese word nobody wrote may still be half known.
                for c in term.chars().map(String::from) {
                    let rarity = self.rarity(searcher, &c)?.worth;
                    worth.insert(c, CHARACTER * rarity);
                }
                continue;
            }
            let lone = han && term.chars().count() == 1;
            let weight = if lone { CHARACTER } else { 1.0 };
            worth.insert(term, weight * rarity.worth);
        }
        Ok(Asked {
            total: worth.values().sum(),
            worth,
            chinese: is_chinese(question),
            aim,
        })
    }

    fn rarity(&self, searcher: &Searcher, term: &str) -> Result<Rarity, Error> {
        let term = Term::from_field_text(self.words, term);
        let found = searcher.doc_freq(&term).map_err(failed)?;
        let worth = rarity(self.passages.len(), found);
        Ok(Rarity { found, worth })
    }

    /// The passages that are about the question, best first, all in the language
    /// of the best.
    fn candidates(
        &self,
        searcher: &Searcher,
        asked: &Asked,
        analyzer: &mut TextAnalyzer,
    ) -> Result<Vec<Candidate<'_>>, Error> {
        let any = asked.worth.keys().map(|term| {
            let term = Term::from_field_text(self.words, term);
            let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(query) as Box<dyn Query>)
        });
        let query = BooleanQuery::new(any.collect());
        let best = TopDocs::with_limit(MAX_CANDIDATES * 2).order_by_score();
        let mut candidates = Vec::new();
        for (score, place) in searcher.search(&query, &best).map_err(failed)? {
            let document: TantivyDocument = searcher.doc(place).map_err(failed)?;
            let number = document.get_first(self.number).and_then(|it| it.as_u64());
            let number = number.and_then(|it| usize::try_from(it).ok());
            let Some(passage) = number.and_then(|it| self.passages.get(it)) else {
                continue;
            };
            let text = whole(passage);
            let coverage = asked.covered(&term_set(analyzer, &text)) / asked.total;
            if coverage < MIN_COVERAGE {
                continue;
            }
            let chinese = is_chinese(&text);
            let language = if chinese == asked.chinese {
                SAME_LANGUAGE
            } else {
                1.0
            };
            candidates.push(Candidate {
                passage,
                rank: score * coverage * language,
                chinese,
            });
        }
        candidates.sort_by(|a, b| b.rank.total_cmp(&a.rank));
        if let Some(language) = candidates.first().map(|it| it.chinese) {
            candidates.retain(|it| it.chinese == language);
        }
        candidates.truncate(MAX_CANDIDATES);
        Ok(candidates)
    }
}

impl Asked {
    fn covered(&self, terms: &HashSet<String>) -> f32 {
        let mine = self.worth.iter().filter(|(term, _)| terms.contains(*term));
        mine.map(|(_, worth)| worth).sum()
    }

    fn bonus(&self, sentence: &str) -> f32 {
        match self.aim {
            Aim::Definition if self.defines(sentence) => DEFINES,
            Aim::Way if sentence.starts_with("To ") || sentence.starts_with('要') => TELLS_HOW,
            Aim::Definition | Aim::Way | Aim::Other => 1.0,
        }
    }

    /// Whether a sentence begins by saying what one of the terms is.
    fn defines(&self, sentence: &str) -> bool {
        let marks = [
            " is a ", " is an ", " is the ", " are ", " means ", "是", "指",
        ];
        let found = marks.iter().filter_map(|mark| sentence.find(mark)).min();
        found.is_some_and(|at| {
            let subject = terms(&mut analyzer(Grain::Words), &sentence[..at]);
            (1..=2).contains(&subject.len()) && subject.iter().all(|it| self.worth.contains_key(it))
        })
    }
}

fn fill(passages: &[Passage]) -> tantivy::Result<(tantivy::Index, Field, Field)> {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("words")
        .set_index_option(IndexRecordOption::WithFreqs);
    let mut schema = Schema::builder();
    let text = TextOptions::default().set_indexing_options(indexing);
    let words = schema.add_text_field("words", text);
    let number = schema.add_u64_field("number", STORED);
    let index = tantivy::Index::create_in_ram(schema.build());
    index
        .tokenizers()
        .register("words", analyzer(Grain::Characters));
    let mut writer = index.writer_with_num_threads(1, BUILD_BYTES)?;
    for (at, passage) in (0_u64..).zip(passages) {
        let mut document = TantivyDocument::new();
        document.add_text(words, whole(passage));
        document.add_u64(number, at);
        writer.add_document(document)?;
    }
    writer.commit()?;
    writer.wait_merging_threads()?;
    Ok((index, words, number))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Index(error.to_string())
}

/// What a passage is searched by: its file's name, its headings, its words.
fn whole(passage: &Passage) -> String {
    let mut text = format!("{}\n{}", passage.source, passage.heading);
    for sentence in &passage.sentences {
        text.push('\n');
        text.push_str(&sentence.text);
    }
    text
}

fn term_set(analyzer: &mut TextAnalyzer, text: &str) -> HashSet<String> {
    terms(analyzer, text).into_iter().collect()
}

/// The inverse document frequency, as BM25 has it.
fn rarity(passages: usize, found: u64) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of passages are far below 2^23"
    )]
    let (all, found) = (passages as f32, found as f32);
    (1.0 + (all - found + 0.5) / (found + 0.5)).ln()
}

fn answer(candidates: &[Candidate<'_>], asked: &Asked, analyzer: &mut TextAnalyzer) -> Vec<Found> {
    let Some(best_rank) = candidates.first().map(|it| it.rank) else {
        return Vec::new();
    };
    let mut scored = Vec::new();
    for candidate in candidates {
        let standing = f32::midpoint(1.0, candidate.rank / best_rank);
        let worths = worths(candidate.passage, asked, analyzer);
        scored.extend(worths.into_iter().enumerate().map(|(at, worth)| Scored {
            passage: candidate.passage,
            at,
            worth: worth * standing,
        }));
    }
    scored.sort_by(|a, b| b.worth.total_cmp(&a.worth));
    let best = scored.first().map_or(0.0, |it| it.worth);
    let mut bytes = 0;
    let mut said = HashSet::new();
    scored.retain(|it| {
        let text = &it.passage.sentences[it.at].text;
        let good = it.worth > 0.0 && it.worth >= best * MIN_WORTH && said.insert(text.clone());
        bytes += if good { text.len() } else { 0 };
        good && (bytes <= MAX_ANSWER_BYTES || bytes == text.len())
    });
    scored.truncate(MAX_SENTENCES);
    in_order(&scored)
}

/// What each sentence of a passage says of the question.
fn worths(passage: &Passage, asked: &Asked, analyzer: &mut TextAnalyzer) -> Vec<f32> {
    let above = term_set(
        analyzer,
        &format!("{}\n{}", passage.source, passage.heading),
    );
    let mut worths: Vec<f32> = Vec::with_capacity(passage.sentences.len());
    // What a sentence that ends with a colon announces belongs to it.
    let mut announced = 0.0;
    for (at, sentence) in passage.sentences.iter().enumerate() {
        let mut mine = term_set(analyzer, &sentence.text);
        let own = asked.covered(&mine);
        mine.extend(above.iter().cloned());
        let with_heading = own + (asked.covered(&mine) - own) * 0.4;
        let with_heading = with_heading * asked.bonus(&sentence.text);
        let worth = match sentence.form {
            Form::Code => announced * 0.95,
            Form::Item | Form::Row => with_heading.max(announced * 0.7 + own * 0.3),
            Form::Paragraph if at == 0 => with_heading * OPENS,
            Form::Paragraph => with_heading,
        };
        if sentence.text.ends_with([':', '：']) {
            announced = worth;
        } else if sentence.form == Form::Paragraph {
            announced = 0.0;
        }
        worths.push(worth);
    }
    worths
}

/// The best passage first, and within a passage as it was written.
fn in_order(scored: &[Scored<'_>]) -> Vec<Found> {
    let mut passages: Vec<&Passage> = Vec::new();
    for it in scored {
        if !passages
            .iter()
            .any(|known| std::ptr::eq(*known, it.passage))
        {
            passages.push(it.passage);
        }
    }
    let mut found = Vec::new();
    for passage in passages {
        let mut mine: Vec<_> = scored
            .iter()
            .filter(|it| std::ptr::eq(it.passage, passage))
            .map(|it| it.at)
            .collect();
        mine.sort_unstable();
        found.extend(mine.into_iter().map(|at| Found {
            source: Arc::clone(&passage.source),
            heading: Arc::clone(&passage.heading),
            sentence: passage.sentences[at].clone(),
        }));
    }
    found
}
