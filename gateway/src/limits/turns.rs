//! How many unfinished turns and how many sessions a user may have. The broker
//! knows; asking it for every question would be one more way there and back, so
//! that a gateway asks it when it has accepted as many questions of a user as he
//! had room for when it last knew. One of whom it knows nothing has half of what
//! he may have, so that he may have half as much more for each gateway; time
//! alone gives nobody more.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::{Broker, Bucket, Key};
use proto::{Session, SessionId, UserId};
use tokio::time::Instant;

use crate::Config;
use crate::openai::is_passing;
use crate::problem::{Code, Refusal};

/// The part of the turns that a user may have for which the broker is not asked.
const TRUSTED: u32 = 2;
/// A user who asks nothing for as long, or for twice as long at most, is
/// forgotten.
const REMEMBERED: Duration = Duration::from_hours(1);
/// So many users are remembered, or twice as many at most.
const USERS: usize = 65_536;

/// Who may ask one more question.
#[derive(Debug)]
pub(crate) struct Turns {
    most: u64,
    sessions: usize,
    trusted: u32,
    users: Mutex<Users>,
}

/// How many questions of a user may be accepted before the broker is asked. The
/// lock is held while it is: nobody passes who comes beside.
type Room = Arc<tokio::sync::Mutex<u32>>;

/// Those who asked something lately, and those who did before.
#[derive(Debug)]
struct Users {
    lately: HashMap<UserId, Room>,
    before: HashMap<UserId, Room>,
    since: Instant,
}

impl Turns {
    pub(super) fn new(config: &Config) -> Self {
        let none = HashMap::new;
        Self {
            most: config.turns_per_user.get().into(),
            sessions: config.sessions_per_user,
            trusted: (config.turns_per_user.get() / TRUSTED).max(1),
            users: Mutex::new(Users { lately: none(), before: none(), since: Instant::now() }),
        }
    }

    /// Whether a user may ask one more question in a session.
    pub(crate) async fn may(&self, broker: &Broker, session: &Session) -> Result<(), Refusal> {
        let room = self.room(&session.user);
        let mut room = room.lock().await;
        if let Some(left) = room.checked_sub(1) {
            *room = left;
            return Ok(());
        }
        *room = self.check(broker, session).await?.min(self.trusted);
        Ok(())
    }

    fn room(&self, user: &UserId) -> Room {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.room(user, self.trusted)
    }

    /// How many more questions there is room for beside one in this session.
    async fn check(&self, broker: &Broker, session: &Session) -> Result<u32, Refusal> {
        let user = &session.user;
        let busy = broker.queue.busy(user).await?;
        let unfinished: u64 = busy.iter().map(|it| it.1).sum();
        let turns = self.most.saturating_sub(unfinished);
        if turns == 0 {
            let most = self.most;
            let detail = format!("this user has {unfinished} unfinished turns and may have {most}");
            return Err(Refusal::new(Code::TooManyTurns, detail));
        }
        let listed = broker.records.list(Bucket::Sessions, &Key::user(user)).await?;
        let listed = listed.iter().filter_map(|it| it.names().get(1)?.parse().ok());
        let mut known: HashSet<SessionId> = listed.chain(busy.into_iter().map(|it| it.0)).collect();
        known.retain(|it| !is_passing(it));
        let sessions = self.sessions.saturating_sub(known.len());
        if sessions == 0 && !known.contains(&session.id) {
            let detail = format!("this user has {} sessions; erase some first", known.len());
            return Err(Refusal::new(Code::TooManySessions, detail));
        }
        let sessions = u64::try_from(sessions).unwrap_or(u64::MAX);
        Ok(u32::try_from((turns - 1).min(sessions.saturating_sub(1))).unwrap_or(u32::MAX))
    }
}

impl Users {
    fn room(&mut self, user: &UserId, trusted: u32) -> Room {
        if self.lately.len() >= USERS || self.since.elapsed() >= REMEMBERED {
            self.before = std::mem::take(&mut self.lately);
            self.since = Instant::now();
        }
        if let Some(room) = self.lately.get(user) {
            return Arc::clone(room);
        }
        let new = || Arc::new(tokio::sync::Mutex::new(trusted));
        let room = self.before.remove(user).unwrap_or_else(new);
        self.lately.insert(user.clone(), Arc::clone(&room));
        room
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use broker::sqlite::{Place, open};
    use broker::{Expected, Limits};

    use super::*;

    fn turns(most: u32, sessions: usize) -> Turns {
        let turns_per_user = NonZeroU32::new(most).unwrap();
        let limits = Config { turns_per_user, sessions_per_user: sessions, ..Config::default() };
        Turns::new(&limits)
    }

    async fn asked(turns: &Turns, broker: &Broker, id: &str) -> Option<u16> {
        let session = Session::parse("u", id).unwrap();
        turns.may(broker, &session).await.err().map(|it| it.status().as_u16())
    }

    async fn put(broker: &Broker, id: &str) {
        let key = Key::session(&Session::parse("u", id).unwrap());
        let value = bytes::Bytes::new();
        broker.records.put(Bucket::Sessions, &key, value, Expected::Any).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_too_much_is_not_trusted_again_because_time_passes() {
        let broker = open(Place::Memory, Limits::default()).await.unwrap();
        put(&broker, "s").await;
        let turns = turns(100_000, 1);
        for _ in 0..50_000 {
            assert_eq!(asked(&turns, &broker, "new").await, None);
        }
        for _ in 0..100 {
            assert_eq!(asked(&turns, &broker, "new").await, Some(409));
            assert_eq!(asked(&turns, &broker, "s").await, None);
        }
        let key = Key::session(&Session::parse("u", "s").unwrap());
        broker.records.delete(Bucket::Sessions, &key).await.unwrap();
        assert_eq!(asked(&turns, &broker, "new").await, None);
    }

    #[tokio::test]
    async fn a_user_is_trusted_with_what_he_had_room_for_and_no_more() {
        let broker = open(Place::Memory, Limits::default()).await.unwrap();
        for id in ["a", "b", "c"] {
            put(&broker, id).await;
        }
        let turns = turns(8, 5);
        // Half of the turns on trust, then the one that is looked at, and one
        // more session.
        for _ in 0..4 + 2 {
            assert_eq!(asked(&turns, &broker, "new").await, None);
        }
        for id in ["d", "e"] {
            put(&broker, id).await;
        }
        assert_eq!(asked(&turns, &broker, "new").await, Some(409));
    }

    #[tokio::test(start_paused = true)]
    async fn users_who_ask_no_more_are_forgotten() {
        let turns = turns(8, 5);
        let user = |it: usize| it.to_string().parse::<UserId>().unwrap();
        let kept = |turns: &Turns| {
            let users = turns.users.lock().unwrap();
            (users.lately.len(), users.before.len())
        };
        for it in 0..3 * USERS {
            turns.room(&user(it));
        }
        assert_eq!(kept(&turns), (USERS, USERS));
        tokio::time::advance(REMEMBERED).await;
        *turns.room(&user(0)).lock().await = 7;
        assert_eq!(kept(&turns), (1, USERS));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(*turns.room(&user(0)).lock().await, 7);
        assert_eq!(kept(&turns), (1, 0));
    }
}
