//! Who makes a request: looked up once, before any handler.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::caller::Principal;

/// Finds out who asks and passes the request on, or refuses it.
pub(crate) async fn check(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Principal::anyone());
    next.run(request).await
}
