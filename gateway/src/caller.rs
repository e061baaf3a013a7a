//! Who asks, and whose sessions those are. The extractor [`Caller`] is the only
//! way to a session, and [`Owned`] the proof of it.
//!
//! Another user's session is never reached and never told from one that does
//! not exist: a session is named by its user, too, and naming another user is
//! refused, unless the caller is an operator. With authentication off nobody is
//! known, and every request names its user.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use proto::{Session, SessionId, UserId};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use crate::auth::keys::Role;
use crate::edge::Edge;
use crate::problem::{Code, Refusal};

/// When a credential stops counting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// It expires.
    pub(crate) at: Option<Instant>,
    /// It is taken back.
    pub(crate) revoked: Option<CancellationToken>,
}

impl Ends {
    /// Ready once the credential counts no more.
    pub(crate) async fn ended(self) {
        let expires = async {
            match self.at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let revoked = async {
            match &self.revoked {
                Some(revoked) => revoked.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = revoked => {}
            () = expires => {}
        }
    }
}

/// What somebody has shown to be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// Authentication is off.
    #[default]
    Nothing,
    /// The API key with this id.
    Key(Arc<str>),
    /// A token of whom the operator trusts.
    Token,
}

/// Who made a request, as authentication found it. Lies in the request's
/// extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Principal {
    /// Nobody, while authentication is off.
    known: Option<(UserId, Role)>,
    ends: Ends,
    /// When it expires, since the epoch, for who wants to know the date.
    expires: Option<Duration>,
    source: Source,
    /// The one session that the credential is for.
    only: Option<SessionId>,
}

impl Principal {
    /// Anybody: authentication is off.
    pub(crate) fn anyone() -> Self {
        Self::default()
    }

    /// Somebody who has shown who he is.
    pub(crate) fn known(user: UserId, role: Role, ends: Ends) -> Self {
        Self { known: Some((user, role)), ends, ..Self::default() }
    }

    /// Says what was shown.
    pub(crate) fn from(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// Says when it ends, since the epoch.
    pub(crate) fn until(self, expires: Option<Duration>) -> Self {
        Self { expires, ..self }
    }

    /// Keeps it to one session, if one is named.
    pub(crate) fn only(self, session: Option<SessionId>) -> Self {
        Self { only: session, ..self }
    }

    /// Who it is, and what he may do; nobody, while authentication is off.
    pub(crate) fn identity(&self) -> Option<(&UserId, Role)> {
        self.known.as_ref().map(|(user, role)| (user, *role))
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// When the credential expires, since the epoch; never when absent.
    pub(crate) fn expires(&self) -> Option<Duration> {
        self.expires
    }

    /// The user meant by a request that may name one in `field`.
    fn user(&self, named: Option<&str>, field: &'static str) -> Result<UserId, Refusal> {
        let named: Option<UserId> =
            named.map(str::parse).transpose().map_err(|why| Refusal::field(field, why))?;
        match (&self.known, named) {
            (None, None) => Err(Refusal::field(field, "must name the user who asks")),
            (None, Some(user)) => Ok(user),
            (Some((user, _)), None) => Ok(user.clone()),
            (Some((user, _)), Some(named)) if *user == named => Ok(named),
            (Some((_, Role::Operator)), Some(named)) => Ok(named),
            (Some((_, Role::User)), Some(_)) => Err(Refusal::new(
                Code::Forbidden,
                format!("{field} must be the user of the credential, or be left out"),
            )),
        }
    }
}

/// Who asks, with the right to what is his.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    edge: Arc<Edge>,
    principal: Principal,
}

impl FromRequestParts<Arc<Edge>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Refusal> {
        match parts.extensions.get::<Principal>() {
            Some(principal) => Ok(Self { edge: Arc::clone(edge), principal: principal.clone() }),
            None => Err(Refusal::new(Code::Internal, "nobody looked who makes this request")),
        }
    }
}

impl Caller {
    /// The user whose things the request is about; it may name him in `field`. To
    /// be called once: it counts as one of his requests.
    pub(crate) fn user(&self, named: Option<&str>, field: &'static str) -> Result<UserId, Refusal> {
        let user = self.principal.user(named, field)?;
        self.edge.limits.request(&user)?;
        Ok(user)
    }

    /// Counts a request that is about nobody's things: as one of who is known.
    /// Whoever is not is counted with his address.
    pub(crate) fn count(&self) -> Result<(), Refusal> {
        self.principal.identity().map_or(Ok(()), |(user, _)| self.edge.limits.request(user))
    }

    /// A session of the user that the request may name in `field`.
    pub(crate) fn session(
        &self,
        named: Option<&str>,
        field: &'static str,
        id: SessionId,
    ) -> Result<Owned, Refusal> {
        let user = self.user(named, field)?;
        if self.principal.only.as_ref().is_some_and(|it| *it != id) {
            return Err(Refusal::new(Code::Forbidden, "the ticket is for another session"));
        }
        Ok(Owned { session: Session { user, id }, ends: self.principal.ends.clone() })
    }

    /// Whether the caller may know what only operators may: everybody may where
    /// nobody is known.
    pub(crate) fn may_operate(&self) -> bool {
        self.principal.identity().is_none_or(|(_, role)| role == Role::Operator)
    }

    /// Who asks.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// A session that the caller may use, for as long as the credential counts.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    session: Session,
    ends: Ends,
}

impl Owned {
    /// When the right to it ends.
    pub(crate) fn ends(&self) -> Ends {
        self.ends.clone()
    }

    /// A right that a test has.
    #[cfg(test)]
    pub(crate) fn tested(user: &str, id: &str) -> Self {
        let session = Session::parse(user, id).expect("a test names its session well");
        Self { session, ends: Ends::default() }
    }
}

impl Deref for Owned {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::time::timeout;

    #[test]
    fn a_user_is_who_the_credential_says_and_only_an_operator_may_name_another() {
        let known = |role| Principal::known("u".parse().unwrap(), role, Ends::default());
        for (principal, named, expected) in [
            (Principal::anyone(), Some("v"), Ok("v")),
            (Principal::anyone(), None, Err(400)),
            (Principal::anyone(), Some(""), Err(400)),
            (known(Role::User), None, Ok("u")),
            (known(Role::User), Some("u"), Ok("u")),
            (known(Role::User), Some("v"), Err(403)),
            (known(Role::User), Some(""), Err(400)),
            (known(Role::Operator), None, Ok("u")),
            (known(Role::Operator), Some("v"), Ok("v")),
        ] {
            let user = principal.user(named, "userId");
            let user = user.as_ref().map(UserId::as_str).map_err(|it| it.status().as_u16());
            assert_eq!(user, expected, "{principal:?} {named:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_ends_when_its_credential_expires_or_is_taken_back() {
        let hour = Duration::from_hours(1);
        assert!(timeout(hour, Ends::default().ended()).await.is_err());
        let at = Some(Instant::now() + hour / 2);
        let began = Instant::now();
        Ends { at, revoked: None }.ended().await;
        assert_eq!(began.elapsed(), hour / 2);
        let token = CancellationToken::new();
        let ends = Ends { at: None, revoked: Some(token.clone()) };
        assert!(timeout(hour, ends.clone().ended()).await.is_err());
        token.cancel();
        ends.ended().await;
    }
}
