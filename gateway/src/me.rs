//! Who a caller is to this edge: `GET /v1/me?userId=`. A client that has a
//! credential learns here whose it is, what he may do and until when; one that has
//! none learns from the refusal that authentication is on.
//!
//! It says nothing about anybody else: naming another user is refused as
//! everywhere, unless the caller is an operator.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use proto::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::{Caller, Role};
use crate::document::{parameters, refusals};
use crate::extract::Query;
use crate::problem::Refusal;

/// The first second since 1970 that has no date: what lasts until then never ends.
const NEVER: u64 = 253_402_207_200;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
#[serde(rename_all = "camelCase")]
struct Me {
    /// Whether callers must show who they are. If not, every request names its
    /// user, and there is nothing else here.
    authentication: bool,
    /// Whose things a request is about that names the same user, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    user_id: Option<String>,
    /// `user` or `operator`: what the credential is, whomever it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// When the credential counts no more; never when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Tells who asks
///
/// An operator may name a user, and learns as whom the same name makes him act.
/// 401 says that authentication is on.
#[utoipa::path(
    get,
    path = "/v1/me",
    tag = "server",
    params(parameters::User),
    responses((status = 200, description = "Who asks", body = Me), refusals::Common),
)]
pub(crate) async fn me(caller: Caller, Query(params): Query<Params>) -> Result<Response, Refusal> {
    let role = caller.principal().identity().map(|it| it.1);
    let named = params.user.as_deref();
    // Where nobody is known, a name that can be none is refused all the same.
    let asks = role.is_some() || named.is_some();
    let user = asks.then(|| caller.user(named, "userId")).transpose()?;
    let me = Me {
        authentication: role.is_some(),
        user_id: user.filter(|_| role.is_some()).map(|it| it.to_string()),
        role,
        expires_at: caller.principal().expires().and_then(moment),
    };
    let unstored = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((unstored, Json(me)).into_response())
}

/// A moment since the epoch, if it has a date.
fn moment(since_epoch: Duration) -> Option<Timestamp> {
    (since_epoch.as_secs() < NEVER).then(|| proto::timestamp(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_after_all_dates_never_ends_and_everything_else_is_written() {
        for (seconds, expected) in [
            (0, Some("\"1970-01-01T00:00:00Z\"")),
            (NEVER - 1, Some("\"9999-12-30T21:59:59Z\"")),
            (NEVER, None),
            (u64::MAX, None),
        ] {
            let moment = moment(Duration::from_secs(seconds));
            let written = moment.map(|it| serde_json::to_string(&it).unwrap());
            assert_eq!(written.as_deref(), expected, "{seconds}");
        }
    }
}
