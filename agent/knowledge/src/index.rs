//! Finds the passages that are about a question, by BM25.
//!
//! Relevance is absolute, not only relative: a passage that covers too little
//! of what the question is about is no answer, and finding nothing is a result.

mod search;

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::{IndexReader, Searcher, TantivyDocument, Term};

use super::asked::{Aim, Asked};
use super::choice::{Candidate, Found, choose};
use super::passage::Passage;
use crate::Error;
use crate::shelf::Document;
pub use search::{Hit, MAX_HITS, MAX_QUESTION};
use words::{Grain, Terms, analyzer, is_chinese, is_han};

/// Memory for building the index, in bytes; near the least that tantivy takes.
const BUILD_BYTES: usize = 16 * 1024 * 1024;

/// Terms of a question that are looked for; the first ones.
const MAX_TERMS: usize = 256;

/// Passages that are looked at for one question.
const MAX_CANDIDATES: usize = 32;

/// How much of a question a passage must cover.
const MIN_COVERAGE: f32 = 0.36;

/// What speaks the question's language is worth so much more.
const SAME_LANGUAGE: f32 = 2.0;

/// What a Chinese character is worth, compared with a word: alone, and in a word
/// that is worth something itself.
const CHARACTER: f32 = 0.5;
const RELATIVE: f32 = 0.15;

/// A document as the index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its file, below the folder.
    pub source: Arc<str>,
    /// How many passages it was cut into.
    pub passages: usize,
}

/// All passages, searchable.
pub struct Index {
    documents: Vec<Listed>,
    passages: Vec<Arc<Passage>>,
    reader: IndexReader,
    words: Field,
    number: Field,
    terms: Terms,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("documents", &self.documents.len())
            .field("passages", &self.passages.len())
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Cuts and indexes the documents, in memory.
    pub(crate) fn new(documents: &[Arc<Document>]) -> Result<Self, Error> {
        let passages: Vec<_> = documents.iter().flat_map(|it| it.passages.clone()).collect();
        let (index, words, number) = fill(&passages).map_err(failed)?;
        Ok(Self {
            documents: documents.iter().map(|it| listed(it)).collect(),
            passages,
            reader: index.reader().map_err(failed)?,
            words,
            number,
            terms: Terms::new(),
        })
    }

    /// How many documents were read.
    pub fn documents(&self) -> usize {
        self.documents.len()
    }

    /// What was read, in order.
    pub fn listed(&self) -> &[Listed] {
        &self.documents
    }

    /// How many passages they were cut into.
    pub fn passages(&self) -> usize {
        self.passages.len()
    }

    /// The sentences that answer the question, in the order to say them; none
    /// when nothing here is about it.
    pub fn find(&self, question: &str) -> Result<Vec<Found>, Error> {
        let searcher = self.reader.searcher();
        let mut terms = self.terms.clone();
        let asked = self.asked(&searcher, question, &mut terms)?;
        if asked.worth.is_empty() {
            return Ok(Vec::new());
        }
        let candidates = self.candidates(&searcher, &asked, &mut terms)?;
        Ok(choose(&candidates, &asked, &mut terms))
    }

    fn asked(
        &self,
        searcher: &Searcher,
        question: &str,
        terms: &mut Terms,
    ) -> Result<Asked, Error> {
        let mut asked = terms.asked(question);
        asked.truncate(MAX_TERMS);
        let aim = Aim::of(question, asked.len());
        let mut worth = HashMap::new();
        for (term, weight) in self.weights(searcher, asked)? {
            let rarity = self.rarity(self.found(searcher, &term)?);
            worth.insert(term, weight * rarity);
        }
        Ok(Asked { worth, chinese: is_chinese(question), aim })
    }

    /// The terms to look for, and how much each says of what is asked.
    fn weights(
        &self,
        searcher: &Searcher,
        asked: Vec<String>,
    ) -> Result<HashMap<String, f32>, Error> {
        let mut weights = HashMap::new();
        for term in asked {
            let found = self.found(searcher, &term)?;
            let han = term.chars().all(is_han);
            // A Chinese word that nobody wrote may still be half known, and one
            // that is known has relatives.
            let (word, each) = match (han, found) {
                (false, _) => (1.0, 0.0),
                (true, 0) => (0.0, CHARACTER),
                (true, _) if term.chars().count() == 1 => (0.0, CHARACTER),
                (true, _) => (1.0, RELATIVE),
            };
            for c in term.chars().filter(|_| han).map(String::from) {
                weights.entry(c).or_insert(each);
            }
            if word > 0.0 {
                weights.insert(term, word);
            }
        }
        Ok(weights)
    }

    /// How many passages have a term.
    fn found(&self, searcher: &Searcher, term: &str) -> Result<u64, Error> {
        let term = Term::from_field_text(self.words, term);
        searcher.doc_freq(&term).map_err(failed)
    }

    /// The inverse document frequency, as BM25 has it.
    fn rarity(&self, found: u64) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "counts of passages are far below 2^23")]
        let (all, found) = (self.passages.len() as f32, found as f32);
        (1.0 + (all - found + 0.5) / (found + 0.5)).ln()
    }

    /// The passages that are about the question, best first, all in the language
    /// of the best.
    fn candidates(
        &self,
        searcher: &Searcher,
        asked: &Asked,
        terms: &mut Terms,
    ) -> Result<Vec<Candidate<'_>>, Error> {
        let mut candidates = Vec::new();
        let queries = asked.worth.keys().map(|it| self.query(it));
        for (passage, score) in self.any(searcher, queries, MAX_CANDIDATES)? {
            let text = whole(passage);
            let coverage = asked.covered(&terms.said(&text));
            if coverage < MIN_COVERAGE {
                continue;
            }
            let chinese = is_chinese(&text);
            let same = chinese == asked.chinese;
            let language = if same { SAME_LANGUAGE } else { 1.0 };
            let rank = score * coverage * language;
            candidates.push((chinese, Candidate { passage, rank }));
        }
        candidates.sort_by(|(_, a), (_, b)| b.rank.total_cmp(&a.rank));
        let best = candidates.first().is_some_and(|(chinese, _)| *chinese);
        candidates.retain(|(chinese, _)| *chinese == best);
        Ok(candidates.into_iter().map(|(_, it)| it).collect())
    }

    fn query(&self, term: &str) -> Box<dyn Query> {
        let term = Term::from_field_text(self.words, term);
        Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
    }

    /// The best passages that any of the queries finds.
    fn any(
        &self,
        searcher: &Searcher,
        queries: impl Iterator<Item = Box<dyn Query>>,
        limit: usize,
    ) -> Result<Vec<(&Passage, f32)>, Error> {
        let query = BooleanQuery::new(queries.map(|it| (Occur::Should, it)).collect());
        let best = TopDocs::with_limit(limit).order_by_score();
        let mut found = Vec::new();
        for (score, place) in searcher.search(&query, &best).map_err(failed)? {
            let document: TantivyDocument = searcher.doc(place).map_err(failed)?;
            let number = document.get_first(self.number).and_then(|it| it.as_u64());
            let number = number.and_then(|it| usize::try_from(it).ok());
            found.extend(number.and_then(|it| Some((&**self.passages.get(it)?, score))));
        }
        Ok(found)
    }
}

fn listed(document: &Document) -> Listed {
    Listed { source: Arc::clone(&document.source), passages: document.passages.len() }
}

fn fill(passages: &[Arc<Passage>]) -> tantivy::Result<(tantivy::Index, Field, Field)> {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("words")
        .set_index_option(IndexRecordOption::WithFreqs);
    let mut schema = Schema::builder();
    let text = TextOptions::default().set_indexing_options(indexing);
    let words = schema.add_text_field("words", text);
    let number = schema.add_u64_field("number", STORED);
    let index = tantivy::Index::create_in_ram(schema.build());
    index.tokenizers().register("words", analyzer(Grain::Characters));
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
