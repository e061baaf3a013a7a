//! How many unfinished turns and how many sessions a user may have. The broker
//! knows; asking it for every question would be one more way there and back, so
//! that it is asked about users who ask much. A user may therefore have half as
//! many turns more for each gateway.

use std::num::NonZeroU32;

use broker::{Broker, Bucket, Key};
use proto::{Session, UserId};

use super::rate::Rate;
use crate::Config;
use crate::problem::{Code, Refusal};

/// The part of the turns that a user may have which he may ask in a minute
/// before the broker is asked about him.
const TRUSTED: u32 = 2;

/// Who may ask one more question.
#[derive(Debug)]
pub(crate) struct Turns {
    most: u64,
    sessions: usize,
    trusted: Rate<UserId>,
}

impl Turns {
    pub(super) fn new(config: &Config) -> Self {
        let trusted = NonZeroU32::new(config.turns_per_user.get() / TRUSTED);
        Self {
            most: config.turns_per_user.get().into(),
            sessions: config.sessions_per_user,
            trusted: Rate::per_minute("turns", trusted.unwrap_or(NonZeroU32::MIN)),
        }
    }

    /// Whether a user may ask one more question in a session.
    pub(crate) async fn may(&self, broker: &Broker, session: &Session) -> Result<(), Refusal> {
        let user = &session.user;
        if self.trusted.take(user).is_ok() {
            return Ok(());
        }
        let unfinished: u64 = broker.queue.busy(user).await?.iter().map(|it| it.1).sum();
        if unfinished >= self.most {
            let most = self.most;
            let detail = format!("this user has {unfinished} unfinished turns and may have {most}");
            return Err(Refusal::new(Code::TooManyTurns, detail));
        }
        let known = broker.records.list(Bucket::Sessions, &Key::user(user)).await?;
        if known.len() >= self.sessions && !known.contains(&Key::session(session)) {
            let detail = format!("this user has {} sessions; erase some first", known.len());
            return Err(Refusal::new(Code::TooManySessions, detail));
        }
        Ok(())
    }
}
