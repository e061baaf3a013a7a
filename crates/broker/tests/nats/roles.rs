//! A session's whole life on the shipped configuration, with one connection per
//! part of Weir: nobody needs a right that it does not have.

use std::sync::Arc;

use broker::nats::{Config, Declare, Role, Security, apply, open};
use broker::{
    Admission, Broker, Bucket, Delivery, Erased, Error, Expected, Follow, Followed, From, Key,
    Sequence, erase,
};
use bytes::Bytes;
use futures::StreamExt as _;
use proto::Session;
use testkit::nats::Shipped;
use tokio::time::timeout;

use crate::world::{LONG, config, job, refusal, session, store};

/// One part of Weir, on servers that give it its rights and no more.
pub(crate) fn part(shipped: &Shipped, role: Role, replicas: usize) -> Config {
    Config {
        role,
        replicas,
        declare: Declare::Never,
        security: Security { ca: Some(shipped.authority().ca()), ..Security::default() },
        ..config(&shipped.url(role.name()))
    }
}

/// Declares everything, as `weir nats apply` does.
pub(crate) async fn declared(shipped: &Shipped, replicas: usize) -> Vec<String> {
    let operator = part(shipped, Role::Operator, replicas);
    let applied = apply(operator).await.expect("declared");
    assert_eq!(applied.profile.copies, replicas);
    applied.changes
}

/// The parts of Weir, each with a connection of its own.
struct Parts {
    gateway: Broker,
    worker: Broker,
    agent: Broker,
}

impl Parts {
    async fn connect(
        shipped: &Shipped,
        [gateway, worker, agent]: [Role; 3],
        replicas: usize,
    ) -> Self {
        let connect = async |role| open(part(shipped, role, replicas)).await.expect("its rights");
        Self {
            gateway: connect(gateway).await,
            worker: connect(worker).await,
            agent: connect(agent).await,
        }
    }

    /// Everything that they do with a session.
    async fn live(&self, session: &Session) {
        self.submit(session).await;
        let mut live = self.gateway.log.live(session).await.unwrap();
        self.work(session).await;
        timeout(LONG, live.next()).await.unwrap().unwrap();
        self.remember(session).await;
        self.know(session).await;
        self.pause(session).await;
        self.list(session).await;
        self.share().await;
        self.announce(session).await;
        erased(&self.gateway, session).await;
        self.forgotten(session).await;
        assert_eq!(self.gateway.queue.depth().await, Ok(0));
    }

    async fn submit(&self, session: &Session) {
        let queue = &self.gateway.queue;
        queue.submit(session, &job(session), Admission::IfEmpty).await.unwrap();
        let busy = queue.submit(session, &job(session), Admission::IfEmpty).await;
        assert_eq!(busy, Err(Error::Busy));
        queue.submit(session, &job(session), Admission::Enqueue).await.unwrap();
        assert_eq!(queue.pending(session).await.unwrap().len(), 2);
        assert_eq!(queue.depth().await, Ok(2));
        assert_eq!(queue.busy(&session.user).await, Ok(vec![(session.id.clone(), 2)]));
    }

    async fn work(&self, session: &Session) {
        let Self { gateway, worker, agent: _ } = self;
        let log = Arc::clone(&gateway.log);
        let follow = Follow::open(log, session.clone(), From::Start).await.unwrap();
        let delivery = next(worker).await;
        assert_eq!(worker.queue.first(session).await, Ok(Some(delivery.sequence)));
        delivery.lease.progress().await.unwrap();
        let begun = store(worker, session, Sequence::START, "begun").await;
        let cancelled = store(gateway, session, begun, "cancel").await;
        reads(worker, session, begun).await;
        let end = store(worker, session, cancelled, "end").await;
        hears(follow, [begun, cancelled, end]).await;
        delivery.lease.acknowledge().await.unwrap();
        next(worker).await.lease.later(LONG).await.unwrap();
    }

    async fn remember(&self, session: &Session) {
        let key = Key::session(session);
        keep(&self.agent, Bucket::Transcripts, &key).await;
        keep(&self.gateway, Bucket::Keys, &key).await;
        let keys = self.gateway.records.list(Bucket::Keys, &key).await;
        assert_eq!(keys.as_deref(), Ok(std::slice::from_ref(&key)));
        self.gateway.records.delete(Bucket::Keys, &key).await.unwrap();
        assert_eq!(self.gateway.records.get(Bucket::Keys, &key).await, Ok(None));
        let (buried, letter) = (&self.worker.records, Bytes::from_static(b"x"));
        buried.put(Bucket::DeadLetters, &key, letter, Expected::Any).await.unwrap();
        buried.delete(Bucket::DeadLetters, &key).await.unwrap();
    }
}

impl Parts {
    /// A user's memory, which the gateway and the agent share.
    async fn know(&self, session: &Session) {
        let (gateway, agent) = (&self.gateway.records, &self.agent.records);
        let user = Key::user(&session.user);
        let (told, learned) = (user.child("told"), user.child("learned"));
        keep(&self.gateway, Bucket::Memory, &told).await;
        keep(&self.agent, Bucket::Memory, &learned).await;
        for part in [gateway, agent] {
            let keys = part.list(Bucket::Memory, &user).await.unwrap();
            assert_eq!(keys, [learned.clone(), told.clone()]);
            for key in &keys {
                assert!(part.get(Bucket::Memory, key).await.unwrap().is_some());
            }
        }
        for key in [&told, &learned] {
            gateway.delete(Bucket::Memory, key).await.unwrap();
            assert_eq!(agent.get(Bucket::Memory, key).await, Ok(None));
        }
        assert_eq!(agent.list(Bucket::Memory, &user).await, Ok(vec![]));
    }

    /// A turn's ledger and review. The agent's; the gateway shows the review.
    async fn pause(&self, session: &Session) {
        let (key, agent) = (Key::session(session), &self.agent.records);
        keep(&self.agent, Bucket::Reviews, &key).await;
        let shown = self.gateway.records.get(Bucket::Reviews, &key).await;
        assert_eq!(shown, agent.get(Bucket::Reviews, &key).await);
        let (first, second) = (key.child("first"), key.child("second"));
        keep(&self.agent, Bucket::Ledgers, &first).await;
        keep(&self.agent, Bucket::Ledgers, &second).await;
        let both = vec![first.clone(), second.clone()];
        assert_eq!(agent.list(Bucket::Ledgers, &key).await, Ok(both));
        agent.delete(Bucket::Ledgers, &first).await.unwrap();
        assert_eq!(agent.list(Bucket::Ledgers, &key).await, Ok(vec![second]));
    }

    /// What the list of conversations shows: the worker writes it, and takes it
    /// away when the session was erased meanwhile; the gateway reads and renames.
    async fn list(&self, session: &Session) {
        let (key, gateway, worker) =
            (Key::session(session), &self.gateway.records, &self.worker.records);
        keep(&self.worker, Bucket::Sessions, &key).await;
        let listed = gateway.below(Bucket::Sessions, &Key::user(&session.user)).await.unwrap();
        assert_eq!(listed.iter().map(|it| &it.0).collect::<Vec<_>>(), [&key]);
        worker.delete(Bucket::Sessions, &key).await.unwrap();
        assert_eq!(gateway.get(Bucket::Sessions, &key).await, Ok(None));
        keep(&self.gateway, Bucket::Sessions, &key).await;
    }

    /// What an agent says of itself, which the gateway reads.
    async fn announce(&self, session: &Session) {
        let key = Key::agents().child(session.id.as_str());
        keep(&self.agent, Bucket::Agents, &key).await;
        let said = self.gateway.records.below(Bucket::Agents, &Key::agents()).await.unwrap();
        assert!(said.iter().any(|it| it.0 == key), "{said:?}");
        self.agent.records.delete(Bucket::Agents, &key).await.unwrap();
        assert_eq!(self.gateway.records.get(Bucket::Agents, &key).await, Ok(None));
    }

    /// A secret of all gateways.
    async fn share(&self) {
        let (key, gateway) = (Key::secret("tickets"), &self.gateway.records);
        let secret = Bytes::from_static(b"x");
        match gateway.put(Bucket::Secrets, &key, secret.clone(), Expected::Absent).await {
            Ok(_) | Err(Error::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(gateway.get(Bucket::Secrets, &key).await.unwrap().unwrap().value, secret);
        let gone = Key::secret("gone");
        assert_eq!(gateway.get(Bucket::Secrets, &gone).await, Ok(None));
    }

    /// Nothing of it is left behind an erasure.
    async fn forgotten(&self, session: &Session) {
        let (key, agent) = (Key::session(session), &self.agent.records);
        let (gateway, sessions) = (&self.gateway.records, Bucket::Sessions);
        assert_eq!(gateway.below(sessions, &Key::user(&session.user)).await, Ok(vec![]));
        for bucket in [Bucket::Reviews, Bucket::Ledgers] {
            assert_eq!(agent.list(bucket, &key).await, Ok(vec![]));
            assert_eq!(agent.get(bucket, &key).await, Ok(None));
        }
    }
}

/// Reads what stands behind a place. Any copy may answer, and may be behind.
async fn reads(worker: &Broker, session: &Session, after: Sequence) {
    let read = async { while worker.log.read(session, after, 9).await.unwrap().is_empty() {} };
    timeout(LONG, read).await.unwrap();
}

/// Erases it; what was not answered in time is to be repeated.
async fn erased(gateway: &Broker, session: &Session) {
    let erasing = async {
        loop {
            match erase(gateway, session).await {
                Err(Error::Unavailable(_)) => {}
                erased => return erased,
            }
        }
    };
    let erased = timeout(LONG, erasing).await.unwrap();
    assert!(matches!(erased, Ok(Erased::Done(_))), "{erased:?}");
}

async fn next(worker: &Broker) -> Delivery {
    timeout(LONG, worker.queue.next()).await.unwrap().unwrap()
}

async fn hears(mut follow: Follow, places: [Sequence; 3]) {
    for place in places {
        let next = timeout(LONG, follow.next()).await.unwrap().unwrap();
        assert!(matches!(next, Followed::Entry(it) if it.sequence == place));
    }
}

async fn keep(part: &Broker, bucket: Bucket, key: &Key) {
    let value = Bytes::new();
    let first = part.records.put(bucket, key, value.clone(), Expected::Absent).await.unwrap();
    let expected = Expected::Revision(first);
    let revision = part.records.put(bucket, key, value.clone(), expected).await.unwrap();
    let found = part.records.get(bucket, key).await.unwrap().unwrap();
    assert_eq!((found.revision, found.value), (revision, value));
}

/// A connection for each.
const APART: [Role; 3] = [Role::Gateway, Role::Worker, Role::Agent];

#[tokio::test]
async fn a_session_lives_its_whole_life_with_one_connection_per_role() {
    let shipped = Shipped::one().await.unwrap();
    let changes = declared(&shipped, 1).await;
    assert!(changes.contains(&"stream LOG: created".to_owned()), "{changes:?}");
    assert_eq!(declared(&shipped, 1).await, Vec::<String>::new());
    Parts::connect(&shipped, APART, 1).await.live(&session("apart")).await;
    // All of it in one process is the operator's.
    Parts::connect(&shipped, [Role::Operator; 3], 1).await.live(&session("together")).await;
}

#[tokio::test]
async fn three_nodes_of_the_shipped_configuration_carry_a_session() {
    let mut shipped = Shipped::three().await.unwrap();
    declared(&shipped, 3).await;
    let parts = Parts::connect(&shipped, APART, 3).await;
    parts.live(&session("three")).await;
    // Whoever was connected there logs in at another one.
    let leader = shipped.cluster().leader_of("LOG").await.unwrap();
    shipped.cluster().node(leader).kill().await.unwrap();
    // Every stream has a leader again when all has answered.
    assert_eq!(declared(&shipped, 3).await, Vec::<String>::new());
    parts.live(&session("two")).await;
}

#[tokio::test]
async fn a_part_that_may_not_declare_names_what_is_missing_or_unfit() {
    let shipped = Shipped::one().await.unwrap();
    for (role, what) in [
        (Role::Gateway, "stream JOBS"),
        (Role::Worker, "stream JOBS"),
        (Role::Agent, "stream KV_weir_transcripts"),
    ] {
        let why = refusal(part(&shipped, role, 1)).await;
        let says = format!("{what} is not there, and this process may not declare it");
        assert!(why.starts_with(&says), "{why}");
    }
    declared(&shipped, 1).await;
    let mut longer = part(&shipped, Role::Worker, 1);
    longer.limits.lease = LONG;
    let why = refusal(longer).await;
    let says = "consumer workers of stream JOBS: ack_wait is 3000000000, but must be 30000000000";
    assert_eq!(why, says);
    // It may not look at what other parts use, let alone declare it.
    let curious = Config { declare: Declare::Missing, ..part(&shipped, Role::Agent, 1) };
    let why = refusal(curious).await;
    let says = r#"the server does not let this user publish to "$JS.API.STREAM.INFO.JOBS""#;
    assert!(why.contains(says), "{why}");
}

#[tokio::test]
async fn a_part_with_the_login_of_another_is_told_what_it_may_not() {
    let shipped = Shipped::one().await.unwrap();
    declared(&shipped, 1).await;
    // The inbox is not its own: no answer could come.
    let url = shipped.url("agent");
    let why = refusal(Config { url, ..part(&shipped, Role::Gateway, 1) }).await;
    assert!(why.contains("does not let this user listen to \"_INBOX_gateway."), "{why}");
    // What it may not publish is refused at once, and is no reason to try again.
    let worker = open(part(&shipped, Role::Worker, 1)).await.unwrap();
    let session = session("s");
    let began = tokio::time::Instant::now();
    let refused = worker.queue.submit(&session, &job(&session), Admission::IfEmpty).await;
    let says = "NATS refused: the server does not let this user publish to \"jobs.test_user.s\"";
    assert_eq!(refused, Err(Error::Unsuitable(says.to_owned())));
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    let gateway = open(part(&shipped, Role::Gateway, 1)).await.unwrap();
    let refused = timeout(LONG, gateway.queue.next()).await.unwrap().map(drop);
    let Err(Error::Unsuitable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.ends_with("publish to \"$JS.API.CONSUMER.MSG.NEXT.JOBS.workers\""), "{why}");
}
