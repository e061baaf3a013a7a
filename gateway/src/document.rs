//! What the edge says of itself: an `OpenAPI` document made from its handlers, and
//! a page that shows it and asks nothing of other servers.

pub(crate) mod openai;
pub(crate) mod parameters;
pub(crate) mod refusals;
pub(crate) mod words;

use axum::Router;
use http::{HeaderValue, header};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, Response};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::family;

const BEARER: &str = "bearer";
const PROBLEM: &str = "application/problem+json";

/// Scripts are files of the page; its drawings need styles of their own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const FRESH: HeaderValue = HeaderValue::from_static("no-cache");

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "A durable streaming backend for LLM agents: every route is a view on the \
            same sessions. Refusals are problem documents (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "sessions", description = "Asking, watching, stopping, deciding"),
        (name = "memories", description = "What is remembered about a user"),
        (name = "server", description = "What runs here"),
        (name = "compatible", description = "For clients of other systems"),
        (name = "openai", description = "For clients of OpenAI's chat completions"),
    ),
    security((), ("bearer" = [])),
    components(schemas(words::Problem, words::AgentError, openai::Refusal)),
    modifiers(&Bearer),
)]
pub(crate) struct Base;

/// With authentication on, an API key or a JWT.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(BEARER, scheme);
    }
}

/// Tells what all routes have in common and no handler says: that a path may have
/// slashes behind its beginning, in whose words a family refuses, and that routes
/// which anybody may ask need no credential, which all others do where that is
/// `secured`.
pub(crate) fn finish(mut document: Document, secured: bool) -> Document {
    if secured {
        document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    }
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths =
        paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    for (path, item) in &mut document.paths.paths {
        let words = family::shape(path).map(|it| it.1);
        let methods = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(name(method, path));
            if operation.security.is_some() {
                operation.responses.responses.remove("401");
            }
            for response in operation.responses.responses.values_mut() {
                if let (RefOr::T(response), Some(words)) = (response, words) {
                    retell(response, words);
                }
            }
        }
    }
    document
}

/// A name for an operation that no other one has.
fn name(method: &str, path: &str) -> String {
    let words = path.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
    let words: Vec<_> = std::iter::once(method).chain(words).collect();
    words.join("_")
}

/// Puts a family's own refusal in the place of a problem document.
fn retell(response: &mut Response, words: &str) {
    if response.content.shift_remove(PROBLEM).is_some() {
        let content = Content::new(Some(Ref::from_schema_name(words)));
        response.content.insert("application/json".to_owned(), content.into());
    }
}

/// `GET /openapi.json`, and `GET /docs`. Both change with the program, and their
/// paths do not.
pub(crate) fn pages<S>(document: Document) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // Else it would show the document to a server of others.
    let alone = Config::default().validator_url("none");
    let pages = SwaggerUi::new("/docs").url("/openapi.json", document).config(alone);
    let pages: Router<S> = pages.into();
    pages
        .layer(SetResponseHeaderLayer::if_not_present(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, FRESH))
}

#[cfg(test)]
mod tests;
