//! Every route of the edge.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use http::{Method, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use crate::{
    auth, cancel, chat, decisions, erase, events, family, guard, memories, page, session, status,
    turns,
};

/// Routes with what their document says.
type Routes = OpenApiRouter<Arc<Edge>>;

pub(crate) fn router(edge: Arc<Edge>) -> Router {
    let (router, _document) = open().merge(native()).merge(compatible()).split_for_parts();
    router
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(Arc::clone(&edge), guard::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(family::speak))
        .with_state(edge)
}

/// What anybody may ask.
fn open() -> Routes {
    Routes::new()
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/", get(page::index))
        .route("/page/{file}", get(page::asset))
}

/// Weir's own.
fn native() -> Routes {
    Routes::new()
        .route("/v1/sessions/{session}", get(session::get).delete(erase::delete))
        .route("/v1/sessions/{session}/turns", post(turns::ask))
        .route("/v1/sessions/{session}/events", get(events::events))
        .route("/v1/sessions/{session}/cancel", post(cancel::cancel))
        .route("/v1/sessions/{session}/decisions", post(decisions::decide))
        .route("/v1/memories", get(memories::list).post(memories::add))
        .route("/v1/memories/{id}", delete(memories::forget))
        .route("/v1/status", get(status::status))
        .layer(from_fn(auth::check))
}

/// Those of the systems that Weir replaces, and of others that clients know.
fn compatible() -> Routes {
    Routes::new()
        .route("/chat", post(chat::chat))
        .route("/stream", get(chat::stream))
        .route("/agent/write/longterm", post(memories::write))
        .layer(from_fn(auth::check))
}

async fn unknown() -> Refusal {
    Refusal::new(Code::NotFound, "nothing is at this path")
}

async fn not_allowed(method: Method, uri: Uri) -> Refusal {
    let path = uri.path();
    Refusal::new(
        Code::MethodNotAllowed,
        format!("{path} does not answer to {method}; see the Allow header"),
    )
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    Refusal::new(Code::Internal, "this request found a fault in the server").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_with_a_problem() {
        let fault = async || -> Response { unreachable!("on purpose") };
        let router = Router::new().route("/", get(fault)).layer(CatchPanicLayer::custom(panicked));
        let request = http::Request::new(Body::empty());
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
