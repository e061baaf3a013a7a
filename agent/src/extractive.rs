//! Answers with sentences taken word for word from the knowledge base, each
//! with its place behind it. Needs no key and no network.
//!
//! Says so when nothing there is about the question. Ignores the history.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use proto::{Citation, Usage, code};

use knowledge::{Error, Form, Found, Library};
use model::{Answer, Failure, Model, Prompt, Said};
use words::is_chinese;

/// The name of the model that needs no key and no network.
pub(crate) const EXTRACTIVE: &str = "extractive";

/// The pause between two words: a person sees a stream, and nobody waits.
const PAUSE: Duration = Duration::from_millis(2);

/// Chinese characters that are said at once.
const CHARACTERS: usize = 2;

const NOTHING: &str = "I found nothing about this in the knowledge base.";
const NOTHING_CHINESE: &str = "知识库里没有找到与这个问题有关的内容。";

/// The model over a library.
#[derive(Debug)]
pub(crate) struct Extractive {
    library: Arc<Library>,
}

impl Extractive {
    pub(crate) fn new(library: impl Into<Arc<Library>>) -> Self {
        Self { library: library.into() }
    }
}

impl Model for Extractive {
    fn name(&self) -> &str {
        EXTRACTIVE
    }

    fn window(&self) -> Option<u32> {
        None
    }

    fn stream(&self, prompt: Prompt) -> Answer {
        let library = Arc::clone(&self.library);
        let answer = async move {
            let said = compose(&library, prompt.question().to_owned()).await;
            let said = match said {
                Ok(said) => said.into_iter().map(Ok).collect(),
                Err(error) => {
                    tracing::error!(%error, "the knowledge base cannot be searched");
                    vec![Err(Failure::passing(
                        code::KNOWLEDGE_UNAVAILABLE,
                        "the knowledge base cannot be searched",
                    ))]
                }
            };
            stream::iter(said).then(paced)
        };
        stream::once(answer).flatten().boxed()
    }
}

async fn paced(said: Result<Said, Failure>) -> Result<Said, Failure> {
    if matches!(said, Ok(Said::Text(_))) {
        tokio::time::sleep(PAUSE).await;
    }
    said
}

async fn compose(library: &Arc<Library>, question: String) -> Result<Vec<Said>, Error> {
    let index = library.index().await?;
    let searched = tokio::task::spawn_blocking(move || -> Result<_, Error> {
        let found = index.find(&question)?;
        Ok((found, question))
    });
    let (found, question) = searched.await.map_err(|error| Error::Index(error.to_string()))??;
    Ok(tell(&found, &question))
}

/// The whole answer, piece by piece.
fn tell(found: &[Found], question: &str) -> Vec<Said> {
    let mut said = Vec::new();
    if found.is_empty() {
        let nothing = if is_chinese(question) { NOTHING_CHINESE } else { NOTHING };
        pieces(nothing, &mut said);
    }
    let mut before: Option<&Found> = None;
    for taken in found.chunk_by(together) {
        let [.., last] = taken else { continue };
        for it in taken {
            pieces(&joined(before, it), &mut said);
            before = Some(it);
        }
        let quote = quote(taken);
        pieces(behind(last, &quote), &mut said);
        // The number in the conversation stands where this is said.
        said.push(Said::Citation(citation(last, quote)));
    }
    let output = said.iter().filter(|it| matches!(it, Said::Text(_))).count();
    said.push(Said::Usage(Usage {
        input_tokens: count(question.split_whitespace().count()),
        output_tokens: count(output),
        model: EXTRACTIVE.to_owned(),
        ..Usage::default()
    }));
    said.push(Said::Finished("stop"));
    said
}

fn place(found: &Found) -> (&str, &str, (u32, u32)) {
    (&found.source, &found.heading, found.sentence.lines)
}

/// Whether the second sentence goes on in the same lines as the first one.
fn together(one: &Found, next: &Found) -> bool {
    place(one) == place(next)
        && one.sentence.block == next.sentence.block
        && next.sentence.form != Form::Code
}

/// What was taken from one place, as it stands in the answer.
fn quote(taken: &[Found]) -> String {
    let mut quote = String::new();
    for it in taken {
        if !quote.is_empty() {
            quote.push_str(between(&quote));
        }
        quote.push_str(&it.sentence.text);
    }
    quote
}

/// What parts a text from the sentence behind it.
fn between(text: &str) -> &'static str {
    if is_chinese(text) { "" } else { " " }
}

/// What parts what was taken from its mark.
fn behind(last: &Found, quote: &str) -> &'static str {
    if last.sentence.form == Form::Code { "\n" } else { between(quote) }
}

fn citation(found: &Found, quote: String) -> Citation {
    Citation {
        number: 0,
        source: found.source.to_string(),
        heading: found.heading.to_string(),
        first_line: found.sentence.lines.0,
        last_line: found.sentence.lines.1,
        quote,
    }
}

fn count(it: usize) -> u32 {
    u32::try_from(it).unwrap_or(u32::MAX)
}

/// A sentence with what parts it from the one before.
fn joined(before: Option<&Found>, it: &Found) -> String {
    let words = match it.sentence.form {
        Form::Paragraph => it.sentence.text.clone(),
        Form::Item | Form::Columns | Form::Row => format!("- {}", it.sentence.text),
        Form::Code => format!("```\n{}\n```", it.sentence.text),
    };
    let Some(before) = before else {
        return words;
    };
    let same_passage = before.source == it.source && before.heading == it.heading;
    let (last, this) = (&before.sentence, &it.sentence);
    let listed = |form| matches!(form, Form::Item | Form::Columns | Form::Row);
    if same_passage && last.block == this.block && this.form != Form::Code {
        return format!("{}{}", between(&last.text), this.text);
    }
    let gap = if same_passage && listed(last.form) && listed(this.form) { "\n" } else { "\n\n" };
    format!("{gap}{words}")
}

/// Cuts a text into words with the space before them; Chinese into a few
/// characters at a time.
fn pieces(text: &str, said: &mut Vec<Said>) {
    let mut piece = String::new();
    let mut wide = 0;
    for c in text.chars() {
        let begins = c.is_whitespace() && !piece.ends_with(char::is_whitespace);
        if !piece.is_empty() && (begins || wide >= CHARACTERS) {
            said.push(Said::Text(std::mem::take(&mut piece)));
            wide = 0;
        }
        wide += usize::from(!c.is_ascii());
        piece.push(c);
    }
    if !piece.is_empty() {
        said.push(Said::Text(piece));
    }
}
