//! The tool by which a model keeps something about the user who asks, and about
//! nobody else.

use async_trait::async_trait;
use memory::{Author, Error, MAX_TEXT_BYTES, Memories};
use serde_json::{Value, json};
use tool::{Call, Effect, Output, Spec, Tool};

const DESCRIPTION: &str = "\
Remembers one fact about the user for all later conversations, such as a name, a preference or a \
plan. Write one short, complete sentence that can be understood alone. Use it when the user asks \
for it or says something lasting; never for passwords or other secrets, and not for what matters \
in this conversation only.";

/// `remember {text}`.
#[derive(Debug)]
pub(crate) struct Remember {
    memories: Memories,
    spec: Spec,
}

impl Remember {
    pub(crate) fn new(memories: Memories) -> Self {
        let text = json!({
            "type": "string",
            "description": "the fact",
            "minLength": 1,
            "maxLength": MAX_TEXT_BYTES,
        });
        let spec = Spec {
            name: "remember".to_owned(),
            description: DESCRIPTION.to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {"text": text},
                "required": ["text"],
                "additionalProperties": false,
            }),
            effect: Effect::Repeatable,
        };
        Self { memories, spec }
    }
}

#[async_trait]
impl Tool for Remember {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    async fn call(&self, call: Call) -> Output {
        let text = call.arguments.get("text").and_then(Value::as_str).unwrap_or_default();
        match self.memories.add(&call.session.user, text, Author::Agent).await {
            Ok(memory) => Output::text(format!("remembered: {}", memory.text)),
            Err(error) => failed(&error),
        }
    }
}

/// What a model is told of a failure. Where the store is, is not its business.
pub(super) fn failed(error: &Error) -> Output {
    if let Error::Store(error) = error {
        tracing::warn!(%error, "the memories cannot be used now");
        return Output::error("the memories cannot be reached now; try again later");
    }
    Output::error(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::recall::Recall;
    use super::*;
    use broker::sqlite::{Place, open};
    use proto::Session;

    async fn memories() -> Memories {
        let broker = open(Place::Memory, broker::Limits::default()).await.unwrap();
        Memories::new(broker.records)
    }

    async fn call(tool: &dyn Tool, user: &str, arguments: Value) -> Output {
        let arguments = arguments.to_string();
        let arguments = match tool::arguments(tool.spec(), &arguments) {
            Ok(arguments) => arguments,
            Err(why) => return Output::error(why),
        };
        let session = Session::parse(user, "s").unwrap();
        tool.call(Call { session, id: "1".to_owned(), arguments }).await
    }

    #[tokio::test]
    async fn what_one_user_had_remembered_only_that_user_recalls() {
        let memories = memories().await;
        let (remember, recall) = (Remember::new(memories.clone()), Recall::new(memories.clone()));
        for text in ["Ann likes green tea.", "Ann 养了一只叫旺财的小狗", "Ann likes green tea."]
        {
            let output = call(&remember, "ann", json!({"text": text})).await;
            assert_eq!(output, Output::text(format!("remembered: {text}")));
        }
        let kept = memories.list(&"ann".parse().unwrap()).await.unwrap();
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|it| it.source == "agent"));
        let output = call(&recall, "ann", json!({"query": "狗叫什么"})).await;
        assert!(output.text.ends_with(" Ann 养了一只叫旺财的小狗"), "{output:?}");
        assert!(output.text.starts_with("- 2") && !output.is_error, "{output:?}");
        let output = call(&recall, "ann", json!({"query": "Ann", "limit": 1})).await;
        assert_eq!(output.text.lines().count(), 1);
        let output = call(&recall, "bob", json!({"query": "Ann"})).await;
        assert_eq!(output, Output::text("nothing is remembered about this"));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_in_words_for_the_model() {
        let memories = memories().await;
        let (remember, recall) = (Remember::new(memories.clone()), Recall::new(memories));
        let wide = "狗".repeat(MAX_TEXT_BYTES / 2);
        for (tool, arguments, says) in [
            (&remember as &dyn Tool, json!({}), "text"),
            (&remember, json!({"text": ""}), "text"),
            (&remember, json!({"text": "  "}), "1 to 4096 bytes"),
            (&remember, json!({"text": wide}), "1 to 4096 bytes"),
            (&remember, json!({"text": "x", "user": "bob"}), "user"),
            (&recall, json!({}), "query"),
            (&recall, json!({"query": " "}), "1 to 4096 bytes"),
            (&recall, json!({"query": wide}), "1 to 4096 bytes"),
            (&recall, json!({"query": "x", "limit": 0}), "limit"),
            (&recall, json!({"query": "x", "limit": 21}), "limit"),
            (&recall, json!({"query": "x", "userId": "bob"}), "userId"),
        ] {
            let output = call(tool, "ann", arguments.clone()).await;
            assert!(output.is_error && output.text.contains(says), "{arguments}: {output:?}");
        }
    }
}
