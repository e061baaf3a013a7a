//! Routes that belong together because one kind of client speaks to them, and
//! in whose words a refusal is told there.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};

use crate::problem::Refusal;
use crate::{agent, openai};

/// Tells refusals, whoever made them, as the route's clients expect.
pub(crate) async fn speak(request: Request, next: Next) -> Response {
    let shape = shape(request.uri().path()).map(|it| it.0);
    let mut response = next.run(request).await;
    let refusal = response.extensions_mut().remove::<Refusal>();
    if let (Some(shape), Some(refusal)) = (shape, refusal) {
        *response.body_mut() = Body::from(shape(&refusal).to_string());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// How a family tells a refusal; none for problem documents.
pub(crate) type Shape = fn(&Refusal) -> serde_json::Value;

/// The same, with the name that the document has for it.
pub(crate) fn shape(path: &str) -> Option<(Shape, &'static str)> {
    if path.starts_with("/agent/") {
        return Some((agent::refusal, "AgentError"));
    }
    // Also what OpenAI has and Weir has not: its clients ask for it all the same.
    let openai = ["chat", "completions", "embeddings", "models", "responses"];
    let first = path.strip_prefix("/v1/").and_then(|it| it.split('/').next());
    if first.is_some_and(|it| openai.contains(&it)) {
        return Some((openai::shape, "OpenAiError"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hear_refusals_in_their_own_words_also_about_what_is_not_there() {
        for (path, words) in [
            ("/v1/chat/completions", Some("OpenAiError")),
            ("/v1/chat/completions/", Some("OpenAiError")),
            ("/v1/completions", Some("OpenAiError")),
            ("/v1/embeddings", Some("OpenAiError")),
            ("/v1/models/a/b", Some("OpenAiError")),
            ("/v1/responses", Some("OpenAiError")),
            ("/agent/none", Some("AgentError")),
            ("/v1/sessions/chat", None),
            ("/v1/chatter", None),
            ("/chat", None),
            ("/v1/", None),
        ] {
            assert_eq!(shape(path).map(|it| it.1), words, "{path}");
        }
    }
}
