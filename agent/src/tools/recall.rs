//! The tool by which a model looks for what is remembered about the user who
//! asks, and about nobody else.

use async_trait::async_trait;
use memory::{MAX_QUERY_BYTES, Memories};
use proto::Memory;
use serde_json::{Value, json};
use tool::{Call, Effect, Output, Spec, Tool};

use super::remember::failed;

const DESCRIPTION: &str = "\
Searches what is remembered about the user from earlier conversations. Returns the facts that fit \
the query best, each with the day it was written down.";

/// How many memories are told, unless the call says otherwise, and at most.
const STANDARD: u64 = 5;
const MOST: u64 = 20;

/// `recall {query, limit?}`.
#[derive(Debug)]
pub(crate) struct Recall {
    memories: Memories,
    spec: Spec,
}

impl Recall {
    pub(crate) fn new(memories: Memories) -> Self {
        let query = json!({
            "type": "string",
            "description": "words that the memories are about",
            "minLength": 1,
            "maxLength": MAX_QUERY_BYTES,
        });
        let limit = json!({
            "type": "integer",
            "description": "how many to return",
            "minimum": 1,
            "maximum": MOST,
            "default": STANDARD,
        });
        let spec = Spec {
            name: "recall".to_owned(),
            description: DESCRIPTION.to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {"query": query, "limit": limit},
                "required": ["query"],
                "additionalProperties": false,
            }),
            effect: Effect::Reads,
        };
        Self { memories, spec }
    }
}

#[async_trait]
impl Tool for Recall {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    async fn call(&self, call: Call) -> Output {
        let query = call.arguments.get("query").and_then(Value::as_str).unwrap_or_default();
        let limit = call.arguments.get("limit").and_then(Value::as_u64).unwrap_or(STANDARD);
        let limit = usize::try_from(limit.min(MOST)).unwrap_or_default();
        match self.memories.search(&call.session.user, query, limit).await {
            Ok(found) if found.is_empty() => Output::text("nothing is remembered about this"),
            Ok(found) => {
                let lines: Vec<_> = found.iter().map(|it| told(&it.0)).collect();
                Output::text(lines.join("\n"))
            }
            Err(error) => failed(&error),
        }
    }
}

/// One line: the day, and the fact.
fn told(memory: &Memory) -> String {
    let text = memory.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let at = memory.at.as_ref().map_or(0, |it| it.seconds);
    match jiff::Timestamp::from_second(at) {
        Ok(at) => format!("- {} {text}", at.strftime("%Y-%m-%d")),
        Err(_unreal) => format!("- {text}"),
    }
}
