//! Which sentences of the passages found make the answer, and in which order.
//! Pure.
//!
//! Takes what is nearly as good as the best sentence; only to reach
//! [`ENOUGH`] is it content with less.

use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use super::asked::{Aim, Asked};
use super::passage::{Form, Passage, Sentence};
use words::Terms;

/// Sentences in one answer, and their bytes together.
const MAX_SENTENCES: usize = 6;
const MAX_BYTES: usize = 2_000;

/// Sentences that make an answer of one that is only a line.
const ENOUGH: usize = 3;

/// What a sentence must be worth, compared with the best one.
const GOOD: f32 = 0.65;
const FAIR: f32 = 0.4;

/// What the heading says of the question counts for each sentence below it.
const HEADING: f32 = 0.6;

/// What a sentence is worth that itself says nothing of the question.
const SILENT: f32 = 0.7;

/// What a sentence is worth more that defines what was asked for, or tells how.
const DEFINES: f32 = 1.6;
const TELLS_HOW: f32 = 1.3;

/// What the first sentence of a passage, or of a document, is worth more.
const OPENS: f32 = 1.1;
const OPENS_DOCUMENT: f32 = 1.25;

/// What stands beside the best sentence is worth more: answers hang together.
const BESIDE: f32 = 1.2;

/// A passage that is about the question; the higher the rank, the more.
pub(crate) struct Candidate<'a> {
    pub(crate) passage: &'a Passage,
    pub(crate) rank: f32,
}

/// A sentence that answers, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its file, below the folder.
    pub source: Arc<str>,
    /// The headings above it, outermost first, joined by " > ".
    pub heading: Arc<str>,
    /// The sentence.
    pub sentence: Sentence,
}

struct Scored<'a> {
    passage: &'a Passage,
    at: usize,
    worth: f32,
}

/// The sentences of the answer, in the order to say them. The candidates come
/// best first.
pub(crate) fn choose(candidates: &[Candidate<'_>], asked: &Asked, terms: &mut Terms) -> Vec<Found> {
    let mut scored = Vec::new();
    let best_rank = candidates.first().map_or(1.0, |it| it.rank);
    for candidate in candidates {
        let standing = f32::midpoint(1.0, candidate.rank / best_rank);
        let worths = worths(candidate.passage, asked, terms);
        scored.extend(worths.into_iter().enumerate().map(|(at, worth)| Scored {
            passage: candidate.passage,
            at,
            worth: worth * standing,
        }));
    }
    scored.retain(|it| it.worth > 0.0);
    scored.sort_by(|a, b| b.worth.total_cmp(&a.worth));
    let Some(Scored { passage, worth, .. }) = scored.first() else {
        return Vec::new();
    };
    let (home, best) = (*passage, *worth);
    for it in scored.iter_mut().skip(1) {
        it.worth *= if ptr::eq(it.passage, home) { BESIDE } else { 1.0 };
    }
    scored.sort_by(|a, b| b.worth.total_cmp(&a.worth));
    in_order(&take(scored, best))
}

fn take(scored: Vec<Scored<'_>>, best: f32) -> Vec<Scored<'_>> {
    let mut taken: Vec<Scored<'_>> = Vec::new();
    let mut said = HashSet::new();
    let mut bytes = 0;
    for it in scored {
        let text = &it.passage.sentences[it.at].text;
        let needed = if taken.len() < ENOUGH { FAIR } else { GOOD };
        let fits = taken.is_empty() || bytes + text.len() <= MAX_BYTES;
        if it.worth >= best * needed && fits && said.insert(text.as_str()) {
            bytes += text.len();
            taken.push(it);
        }
        if taken.len() == MAX_SENTENCES {
            break;
        }
    }
    taken
}

/// What each sentence of a passage says of the question.
fn worths(passage: &Passage, asked: &Asked, terms: &mut Terms) -> Vec<f32> {
    let above = terms.said(&format!("{}\n{}", passage.source, passage.heading));
    // What a sentence that ends with a colon announces belongs to it.
    let mut announced = 0.0;
    let sentences = passage.sentences.iter().enumerate();
    let worths = sentences.map(|(at, sentence)| {
        let mut said = terms.said(&sentence.text);
        let own = asked.covered(&said);
        said.extend(above.iter().cloned());
        let all = own + (asked.covered(&said) - own) * HEADING;
        let all = if own > 0.0 { all } else { all * SILENT };
        let all = all * bonus(sentence, asked, terms);
        let worth = match sentence.form {
            // The names of columns answer nothing.
            Form::Columns => 0.0,
            Form::Code => announced * 0.95,
            Form::Item | Form::Row => all.max(announced * 0.7 + own * 0.3),
            Form::Paragraph if at == 0 && passage.opens => all * OPENS_DOCUMENT,
            Form::Paragraph if at == 0 => all * OPENS,
            Form::Paragraph => all,
        };
        if sentence.text.ends_with([':', '：']) {
            announced = worth;
        } else if sentence.form == Form::Paragraph {
            announced = 0.0;
        }
        worth
    });
    worths.collect()
}

fn bonus(sentence: &Sentence, asked: &Asked, terms: &mut Terms) -> f32 {
    let text = &sentence.text;
    match asked.aim {
        Aim::Definition if asked.is_defined_by(text, terms) => DEFINES,
        Aim::Way if text.starts_with("To ") || text.starts_with('要') => TELLS_HOW,
        Aim::Definition | Aim::Way | Aim::Other => 1.0,
    }
}

/// The passage of the best sentence first, and within a passage as it was
/// written.
fn in_order(taken: &[Scored<'_>]) -> Vec<Found> {
    let rank = |it: &Scored<'_>| taken.iter().position(|one| ptr::eq(one.passage, it.passage));
    let mut order: Vec<_> = taken.iter().collect();
    order.sort_by_key(|it| (rank(it), it.at));
    let found = order.into_iter().map(|it| Found {
        source: Arc::clone(&it.passage.source),
        heading: Arc::clone(&it.passage.heading),
        sentence: it.passage.sentences[it.at].clone(),
    });
    found.collect()
}
