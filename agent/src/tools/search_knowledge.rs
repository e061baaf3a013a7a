//! The tool by which a model looks things up in the documents that the agent
//! knows. Returns passages with their places, and answers nothing itself.

use std::sync::Arc;

use async_trait::async_trait;
use knowledge::{Error, Hit, Library, MAX_QUESTION};
use proto::Citation;
use serde_json::{Value, json};
use tool::{Call, Effect, Output, Spec, Tool};

const DESCRIPTION: &str = "\
Searches the documents of this assistant and returns the passages that fit the query best, each \
with its file, headings and lines. The search goes by words: use those that a document would use, \
in its language, and search again with other words if nothing fits. Cite the passages you use by \
their numbers, as [n].";

/// How many passages are returned, unless the call says otherwise, and at most.
const STANDARD: u64 = 5;
const MOST: u64 = 10;

/// The most of a passage that is quoted, in bytes.
const MAX_QUOTE: usize = 1_200;

/// `search_knowledge {query, limit?}`.
#[derive(Debug)]
pub(crate) struct SearchKnowledge {
    library: Arc<Library>,
    spec: Spec,
}

impl SearchKnowledge {
    pub(crate) fn new(library: Arc<Library>) -> Self {
        let query = json!({
            "type": "string",
            "description": "words that the passages are about, or a question",
            "minLength": 1,
            "maxLength": MAX_QUESTION,
        });
        let limit = json!({
            "type": "integer",
            "description": "how many passages to return",
            "minimum": 1,
            "maximum": MOST,
            "default": STANDARD,
        });
        let spec = Spec {
            name: "search_knowledge".to_owned(),
            description: DESCRIPTION.to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {"query": query, "limit": limit},
                "required": ["query"],
                "additionalProperties": false,
            }),
            effect: Effect::Reads,
        };
        Self { library, spec }
    }

    async fn search(&self, query: String, limit: usize) -> Result<Vec<Hit>, Error> {
        let index = self.library.index().await?;
        let searched = tokio::task::spawn_blocking(move || index.search(&query, limit));
        searched.await.map_err(|error| Error::Index(error.to_string()))?
    }
}

#[async_trait]
impl Tool for SearchKnowledge {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    async fn call(&self, call: Call) -> Output {
        let query = call.arguments.get("query").and_then(Value::as_str).unwrap_or_default();
        if query.trim().is_empty() {
            return Output::error("`query` must not be empty");
        }
        let limit = call.arguments.get("limit").and_then(Value::as_u64).unwrap_or(STANDARD);
        let limit = usize::try_from(limit.clamp(1, MOST)).unwrap_or_default();
        match self.search(query.to_owned(), limit).await {
            Ok(hits) => output(&hits),
            Err(error @ Error::TooLong { .. }) => Output::error(error.to_string()),
            Err(error) => {
                tracing::error!(%error, "the knowledge base cannot be searched");
                Output::error("the documents cannot be searched at the moment")
            }
        }
    }
}

fn output(hits: &[Hit]) -> Output {
    let text = match hits.len() {
        0 => return Output::text("no passage in the documents fits this query"),
        1 => "1 passage fits; cite it as [n] by its number if you use it".to_owned(),
        found => format!("{found} passages fit, the best first; cite those you use as [n]"),
    };
    Output { sources: hits.iter().map(citation).collect(), ..Output::text(text) }
}

fn citation(hit: &Hit) -> Citation {
    Citation {
        number: 0,
        source: hit.source.to_string(),
        heading: hit.heading.to_string(),
        first_line: hit.first_line,
        last_line: hit.last_line,
        quote: quote(&hit.text),
    }
}

fn quote(text: &str) -> String {
    if text.len() <= MAX_QUOTE {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_QUOTE - '…'.len_utf8());
    format!("{}…", text[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use proto::Session;

    use super::*;

    fn tool() -> (tempfile::TempDir, SearchKnowledge) {
        let folder = tempfile::tempdir().unwrap();
        let long = "獾在夜里挖洞。".repeat(100);
        for (name, text) in [
            ("otter.md", "# Otter\n\n## Food\n\nThe otter eats fish\nand crabs.\n"),
            ("heron.txt", "The heron eats fish and frogs.\n"),
            ("獾.md", &format!("# 獾\n\n{long}\n")),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let library = Library::new(vec![folder.path().to_owned()]);
        (folder, SearchKnowledge::new(Arc::new(library)))
    }

    async fn called(tool: &SearchKnowledge, arguments: Value) -> Output {
        let session = Session::parse("u", "s").unwrap();
        let arguments = arguments.as_object().unwrap().clone();
        tool.call(Call { session, id: "1".to_owned(), arguments }).await
    }

    #[tokio::test]
    async fn passages_come_with_their_places_and_the_best_comes_first() {
        let (_folder, tool) = tool();
        assert_eq!(tool.spec().effect, Effect::Reads);
        let output = called(&tool, json!({"query": "what do otters eat"})).await;
        assert_eq!(output.text, "2 passages fit, the best first; cite those you use as [n]");
        let best = Citation {
            source: "otter.md".to_owned(),
            heading: "Otter > Food".to_owned(),
            first_line: 5,
            last_line: 6,
            quote: "The otter eats fish and crabs.".to_owned(),
            ..Citation::default()
        };
        assert_eq!(output.sources[0], best);
        assert_eq!(output.sources[1].source, "heron.txt");
        let output = called(&tool, json!({"query": "fish", "limit": 1})).await;
        assert_eq!((output.sources.len(), output.is_error), (1, false));
        let output = called(&tool, json!({"query": "獾挖洞"})).await;
        assert!(
            output.sources[0].quote.len() <= MAX_QUOTE && output.sources[0].quote.ends_with('…')
        );
    }

    #[tokio::test]
    async fn that_nothing_fits_is_said_and_no_failure() {
        let (_folder, tool) = tool();
        let output = called(&tool, json!({"query": "quantum chromodynamics"})).await;
        assert_eq!(output, Output::text("no passage in the documents fits this query"));
    }

    #[tokio::test]
    async fn a_query_that_cannot_be_searched_is_an_error_in_words() {
        let (_folder, tool) = tool();
        for (query, said) in [
            (" ".to_owned(), "must not be empty"),
            ("獾".repeat(334), "a question of 1002 bytes; at most 1000 are searched"),
        ] {
            let output = called(&tool, json!({"query": query})).await;
            assert!(output.is_error && output.text.contains(said), "{}", output.text);
        }
        let gone = SearchKnowledge::new(Arc::new(Library::new(vec!["/nowhere".into()])));
        let output = called(&gone, json!({"query": "fish"})).await;
        assert_eq!(output, Output::error("the documents cannot be searched at the moment"));
    }
}
