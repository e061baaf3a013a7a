//! Every route of the edge.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{Method, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::document::{self, Base};
use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use crate::{
    access, agent, auth, cancel, chat, decisions, erase, events, family, guard, me, memories,
    openai, page, rename, session, sessions, socket, status, trace, transcript, turns,
};

/// Routes with what their document says.
type Routes = OpenApiRouter<Arc<Edge>>;

pub(crate) fn router(edge: Arc<Edge>) -> Router {
    let all = Routes::with_openapi(Base::openapi());
    let all =
        all.merge(open()).merge(native(Arc::clone(&edge))).merge(compatible(Arc::clone(&edge)));
    let (router, document) = all.split_for_parts();
    router
        .merge(document::pages(document::finish(document, edge.config.auth.is_on())))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(Arc::clone(&edge), guard::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(family::speak))
        .layer(from_fn(trace::request))
        .layer(from_fn_with_state(edge.life.clone(), access::observe))
        .with_state(edge)
}

/// What anybody may ask.
fn open() -> Routes {
    Routes::new()
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .route("/", get(page::index))
        .route("/page/{version}/{*file}", get(page::part))
}

/// Weir's own.
fn native(edge: Arc<Edge>) -> Routes {
    Routes::new()
        .routes(routes!(sessions::list))
        .routes(routes!(session::get, rename::rename, erase::delete))
        .routes(routes!(transcript::list, turns::ask))
        .routes(routes!(events::events))
        .routes(routes!(cancel::cancel))
        .routes(routes!(decisions::decide))
        .routes(routes!(memories::list, memories::add))
        .routes(routes!(memories::forget))
        .merge(server())
        .layer(from_fn_with_state(edge, auth::check))
}

/// About the edge, and who asks it.
fn server() -> Routes {
    Routes::new()
        .routes(routes!(auth::tickets::make))
        .routes(routes!(me::me))
        .routes(routes!(status::status))
}

/// Those of the systems that Weir replaces, and of others that clients know.
fn compatible(edge: Arc<Edge>) -> Routes {
    Routes::new()
        .routes(routes!(chat::chat, socket::open))
        .routes(routes!(chat::stream))
        .merge(agents())
        .merge(openai())
        .layer(from_fn_with_state(edge, auth::check))
}

/// The `/agent/*` family.
fn agents() -> Routes {
    Routes::new()
        .routes(routes!(agent::invoke::invoke))
        .routes(routes!(agent::invoke::invoke_stream))
        .routes(routes!(agent::resume::resume))
        .routes(routes!(agent::resume::resume_stream))
        .routes(routes!(agent::sessions::ids))
        .routes(routes!(agent::sessions::active))
        .routes(routes!(agent::status::status))
        .routes(routes!(agent::sessions::delete))
        .routes(routes!(memories::write))
}

/// OpenAI's.
fn openai() -> Routes {
    Routes::new()
        .routes(routes!(openai::complete))
        .routes(routes!(openai::models::list))
        .routes(routes!(openai::models::one))
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
    use std::collections::BTreeSet;

    use axum::body::Body;
    use tower::ServiceExt as _;

    /// As the router shows itself: it has no other list of its routes.
    fn paths(router: &Router<Arc<Edge>>) -> BTreeSet<String> {
        let shown = format!("{router:?}");
        let paths = shown.split('"').filter(|it| it.starts_with('/') && !it.contains("__private"));
        paths.map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn the_document_names_every_route_but_those_of_the_page() {
        let limits = broker::Limits::default();
        let broker = broker::sqlite::open(broker::sqlite::Place::Memory, limits).await.unwrap();
        let local = "127.0.0.1:1".parse().unwrap();
        let edge = Edge::new(crate::Config::default(), broker, process::Lifecycle::new(), local);
        let all = open().merge(native(Arc::clone(&edge))).merge(compatible(edge));
        let (router, document) = all.split_for_parts();
        let page = ["/", "/page/{version}/{*file}"].map(str::to_owned);
        let mut documented: BTreeSet<_> = document.paths.paths.into_keys().collect();
        assert!(documented.len() > 20 && page.iter().all(|it| !documented.contains(it)));
        documented.extend(page);
        assert_eq!(paths(&router), documented);
    }

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
