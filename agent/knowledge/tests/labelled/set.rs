//! Asks the questions of the labelled set, and counts at which place the passage
//! stands that answers.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use knowledge::{Hit, Index, Library};
use serde::Deserialize;

/// How far down an answer is looked for.
const DEPTH: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    question: Vec<Question>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    ask: String,
    /// None where nothing answers.
    answers: Vec<Place>,
}

/// Where a passage stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    source: String,
    heading: String,
    line: Option<u32>,
}

impl Place {
    fn is(&self, hit: &Hit) -> bool {
        let within = |line| (hit.first_line..=hit.last_line).contains(&line);
        *self.source == *hit.source && *self.heading == *hit.heading && self.line.is_none_or(within)
    }
}

/// What the questions of one language came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub language: &'static str,
    /// At which place each answer stood, from 1.
    places: Vec<Option<usize>>,
    /// Questions that nothing answers, and those of them that found nothing.
    unanswerable: usize,
    silent: usize,
    /// Questions whose answer was not among the first three.
    pub missed: Vec<String>,
}

impl Tally {
    /// The share of the questions whose answer is among the first so many.
    pub fn recall(&self, among: usize) -> f64 {
        let found = self.places.iter().flatten().filter(|place| **place <= among);
        share(found.count(), self.places.len())
    }

    /// The mean of one over the answer's place.
    pub fn rank(&self) -> f64 {
        let ranks: f64 = self.places.iter().flatten().map(|place| share(1, *place)).sum();
        ranks / share(self.places.len(), 1)
    }

    /// The share of the unanswerable questions that found nothing.
    pub fn silence(&self) -> f64 {
        share(self.silent, self.unanswerable)
    }

    pub fn questions(&self) -> usize {
        self.places.len()
    }

    fn count(&mut self, question: &Question, hits: &[Hit]) {
        if question.answers.is_empty() {
            self.unanswerable += 1;
            self.silent += usize::from(hits.is_empty());
            return;
        }
        let place = hits.iter().position(|hit| question.answers.iter().any(|it| it.is(hit)));
        let place = place.map(|it| it + 1);
        if place.is_none_or(|it| it > 3) {
            let place = place.map_or("not found".to_owned(), |it| format!("place {it}"));
            self.missed.push(format!("{} ({place})", question.ask));
        }
        self.places.push(place);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, three, rank) = (self.recall(1), self.recall(3), self.rank());
        let (language, questions) = (self.language, self.places.len());
        let (silent, all) = (self.silent, self.unanswerable);
        write!(
            f,
            "| {language} | {questions} | {one:.2} | {three:.2} | {rank:.2} | {silent} of {all} |"
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of questions are small")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

/// Asks everything: English first, then Chinese.
pub async fn ask() -> [Tally; 2] {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labelled");
    let set = std::fs::read_to_string(here.join("questions.toml")).expect("the set is here");
    let set: Set = toml::from_str(&set).expect("the set is a list of questions");
    let library = Arc::new(Library::new(vec![here.join("corpus")]));
    let index = library.index().await.expect("the corpus can be read");
    check(&set, &index);
    let mut tallies = ["English", "Chinese"].map(|language| Tally { language, ..Tally::default() });
    for question in &set.question {
        let hits = index.search(&question.ask, DEPTH).expect("a question can be searched");
        tallies[usize::from(words::is_chinese(&question.ask))].count(question, &hits);
    }
    tallies
}

/// Every answer named is a passage that exists: what stands alone is found by
/// its own heading or name.
fn check(set: &Set, index: &Index) {
    let everything = |place: &Place| {
        let name = place.source.rsplit(['/', '.']).nth(1).unwrap_or_default();
        let heading = place.heading.rsplit(" > ").next().unwrap_or_default();
        [heading, name, &place.heading].map(|it| index.search(it, 50).unwrap_or_default()).concat()
    };
    for place in set.question.iter().flat_map(|it| &it.answers) {
        assert!(everything(place).iter().any(|it| place.is(it)), "{place:?} is no passage");
    }
}
