//! The refusals that routes have in common, for the document.

#![expect(dead_code, reason = "only described")]

use utoipa::IntoResponses;

use super::words::Problem;

/// What every route may answer to whoever asks.
#[derive(IntoResponses)]
pub(crate) enum Common {
    /// Something in the request is wrong; the problem names the field.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// No credential, or none that counts.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(Problem),
    /// Another user's name, or a page of another site.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The path and query are too long.
    #[response(status = 414, content_type = "application/problem+json")]
    TooLong(Problem),
    /// The Host is not one that this server answers to.
    #[response(status = 421, content_type = "application/problem+json")]
    Misdirected(Problem),
    /// Too much at once; see Retry-After.
    #[response(
        status = 429,
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds to wait")),
    )]
    TooMany(Problem),
    /// The head of the request is too large.
    #[response(status = 431, content_type = "application/problem+json")]
    HeadTooLarge(Problem),
    /// The broker does not answer, or the server stops; see Retry-After.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds to wait")),
    )]
    Unavailable(Problem),
}

/// What routes may answer beside that to a body.
#[derive(IntoResponses)]
pub(crate) enum Body {
    /// The body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    Timeout(Problem),
    /// The body, or what is made of it, is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not JSON, or it is compressed.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// The store has no room left; nothing was stored.
    #[response(
        status = 507,
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds to wait")),
    )]
    NoRoom(Problem),
}
