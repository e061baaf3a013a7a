//! Asking a model at some URL, and hearing it to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::{Failure, Model, Models, Prompt, Provider, Said};
use proto::Message;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The provider `openai` at this URL.
pub(crate) fn provider(url: &str) -> Provider {
    Provider {
        base_url: Some(url.to_owned()),
        key: Some("sk-very-secret".into()),
        ..Provider::default()
    }
}

pub(crate) fn models(standard: &str, provider: Provider) -> Models {
    let providers = BTreeMap::from([("openai".to_owned(), provider)]);
    Models::new(standard, Vec::new(), providers).unwrap()
}

/// The model `openai/script` at this URL.
pub(crate) fn scripted(url: &str) -> Arc<dyn Model> {
    models("openai/script", provider(url)).named("").unwrap()
}

pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

pub(crate) fn question(content: &str) -> Prompt {
    Prompt { messages: vec![message("user", content)], ..Prompt::default() }
}

/// Everything that is said, to the end.
pub(crate) async fn answer(model: &Arc<dyn Model>, prompt: Prompt) -> Vec<Result<Said, Failure>> {
    let said = model.stream(prompt).collect();
    tokio::time::timeout(PATIENCE, said).await.expect("the answer ends")
}

/// The text of an answer, and how it ended: the reason, or the failure.
pub(crate) fn heard(said: Vec<Result<Said, Failure>>) -> (String, Result<&'static str, Failure>) {
    let (mut text, mut end) = (String::new(), None);
    for it in said {
        assert_eq!(end, None, "nothing follows the end");
        match it {
            Ok(Said::Text(more)) => text.push_str(&more),
            Ok(Said::Finished(reason)) => end = Some(Ok(reason)),
            Err(failure) => end = Some(Err(failure)),
            Ok(
                Said::Reasoning(_)
                | Said::Citation(_)
                | Said::Composing
                | Said::ToolCall(_)
                | Said::Usage(_),
            ) => {}
        }
    }
    (text, end.expect("an answer has an end"))
}
