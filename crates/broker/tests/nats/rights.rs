//! Each part of Weir against what it must not do, on servers that run with the
//! shipped configuration: the server itself says no. And what looks like it and
//! is a part's work is let through.

use broker::nats::Role;
use testkit::nats::Shipped;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::roles::declared;
use crate::world::LONG;

use Act::{Listen, Say};
use Role::{Agent, Gateway, Operator, Worker};

/// What a connection tries.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Publishes to a subject.
    Say(&'static str),
    /// Subscribes to one.
    Listen(&'static str),
}

const NOBODY: &[Role] = &[];

/// An act, and who may do it.
const RIGHTS: &[(Act, &[Role])] = &[
    // Streams and consumers.
    (Say("$JS.API.STREAM.DELETE.LOG"), NOBODY),
    (Say("$JS.API.STREAM.DELETE.JOBS"), NOBODY),
    (Say("$JS.API.STREAM.INFO.LOG"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_transcripts"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_reviews"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_ledgers"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_memory"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_keys"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_sessions"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_secrets"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.INFO.KV_weir_agents"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.CREATE.MINE"), &[Operator]),
    (Say("$JS.API.STREAM.UPDATE.LOG"), &[Operator]),
    (Say("$JS.API.STREAM.MSG.DELETE.LOG"), NOBODY),
    (Say("$JS.API.STREAM.SNAPSHOT.LOG"), NOBODY),
    (Say("$JS.API.STREAM.RESTORE.LOG"), NOBODY),
    (Say("$JS.API.STREAM.LEADER.STEPDOWN.LOG"), NOBODY),
    (Say("$JS.API.STREAM.PURGE.JOBS"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.PURGE.LOG"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_dead_letters"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_transcripts"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_reviews"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_ledgers"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_memory"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_sessions"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_secrets"), &[Operator]),
    (Say("$JS.API.STREAM.PURGE.KV_weir_agents"), &[Agent, Operator]),
    (Say("$JS.API.CONSUMER.CREATE.LOG.mine.log.>"), NOBODY),
    (Say("$JS.API.CONSUMER.CREATE.JOBS"), NOBODY),
    (Say("$JS.API.CONSUMER.CREATE.JOBS.workers"), &[Operator]),
    (Say("$JS.API.CONSUMER.DELETE.JOBS.workers"), NOBODY),
    (Say("$JS.API.CONSUMER.PAUSE.JOBS.workers"), NOBODY),
    (Say("$JS.API.CONSUMER.INFO.JOBS.workers"), &[Worker, Operator]),
    // Jobs.
    (Say("jobs.u.s"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.JOBS"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.CONSUMER.MSG.NEXT.JOBS.workers"), &[Worker, Operator]),
    (Say("$JS.ACK.JOBS.workers.1.1.1.1.0"), &[Worker, Operator]),
    (Say("$JS.ACK._.HASH.JOBS.workers.1.1.1.1.0"), &[Worker, Operator]),
    (Say("$JS.ACK.LOG.mine.1.1.1.1.0"), NOBODY),
    // The log, and what readers hear.
    (Say("log.u.s"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.LOG"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.DIRECT.GET.LOG"), &[Gateway, Worker, Operator]),
    (Say("live.u.s"), NOBODY),
    (Listen("live.u.s"), &[Gateway, Worker, Operator]),
    // Records.
    (Say("$KV.weir_transcripts.u.s"), &[Gateway, Agent, Operator]),
    (Say("$KV.weir_keys.u.s"), &[Gateway, Operator]),
    (Say("$KV.weir_sessions.u.s"), &[Gateway, Worker, Operator]),
    (Say("$KV.weir_secrets.=.tickets"), &[Gateway, Operator]),
    (Say("$KV.weir_agents.=.a"), &[Agent, Operator]),
    (Say("$KV.weir_dead_letters.u.s"), &[Worker, Operator]),
    (Say("$KV.weir_memory.u.m"), &[Gateway, Agent, Operator]),
    (Say("$KV.weir_reviews.u.s"), &[Agent, Operator]),
    (Say("$KV.weir_ledgers.u.s.t"), &[Agent, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_transcripts"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_keys"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_sessions"), &[Gateway, Worker, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_secrets"), &[Gateway, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_agents"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_dead_letters"), &[Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_reviews"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_ledgers"), &[Agent, Operator]),
    (Say("$JS.API.STREAM.MSG.GET.KV_weir_memory"), &[Gateway, Agent, Operator]),
    (Say("$JS.API.STREAM.MSG.DELETE.KV_weir_memory"), NOBODY),
    (Say("$JS.API.DIRECT.GET.KV_weir_transcripts"), NOBODY),
    (Say("$JS.API.DIRECT.GET.KV_weir_secrets"), NOBODY),
    // Answers that others get, and everything at once.
    (Listen("_INBOX_gateway.x"), &[Gateway]),
    (Listen("_INBOX_worker.x"), &[Worker]),
    (Listen("_INBOX_agent.x"), &[Agent]),
    (Listen("_INBOX_operator.x"), &[Operator]),
    (Say("_INBOX_gateway.x"), NOBODY),
    (Say("_INBOX_worker.x"), NOBODY),
    (Say("_INBOX_agent.x"), NOBODY),
    (Listen("_INBOX.x"), NOBODY),
    (Listen(">"), NOBODY),
    (Listen("*.*.*"), NOBODY),
    (Listen("jobs.*.*"), NOBODY),
    (Listen("log.*.*"), NOBODY),
    (Listen("live.>"), NOBODY),
    (Listen("$KV.>"), NOBODY),
    (Listen("$JS.>"), NOBODY),
    (Listen("$JS.EVENT.ADVISORY.>"), NOBODY),
    (Listen("$SYS.>"), NOBODY),
    (Say("$SYS.REQ.SERVER.PING"), NOBODY),
    (Say("anything.else"), NOBODY),
];

/// A connection with the rights of a part, and what the server told it.
struct Caller {
    client: async_nats::Client,
    told: mpsc::Receiver<String>,
    asked: u32,
}

impl Caller {
    async fn connect(shipped: &Shipped, role: Role) -> Self {
        let (tell, told) = mpsc::channel(64);
        let options = async_nats::ConnectOptions::new()
            .user_and_password(role.name().to_owned(), shipped.password(role.name()))
            .add_root_certificates(shipped.authority().ca())
            .event_callback(move |event| tell_error(tell.clone(), event));
        let client = options.connect(shipped.bare_url()).await.expect("a login");
        Self { client, told, asked: 0 }
    }

    /// Whether the server lets it. Behind the act comes one that it surely does
    /// not: what it says of the first it has said before.
    async fn may(&mut self, act: Act) -> bool {
        let nothing = bytes::Bytes::new();
        match act {
            Say(subject) => {
                self.client.publish(subject, nothing.clone()).await.expect("sent");
            }
            Listen(subject) => drop(self.client.subscribe(subject).await.expect("sent")),
        }
        self.asked += 1;
        let fence = format!("fence.{}", self.asked);
        self.client.publish(fence.clone(), nothing).await.expect("sent");
        let mut lets = true;
        loop {
            let told = timeout(LONG, self.told.recv()).await.expect("an answer").expect("open");
            if told.contains(&format!("Permissions Violation for Publish to \"{fence}\"")) {
                return lets;
            }
            let (kind, subject) = match act {
                Say(subject) => ("Publish", subject),
                Listen(subject) => ("Subscription", subject),
            };
            let no = format!("Permissions Violation for {kind} to \"{subject}\"");
            assert!(told.contains(&no), "{told}");
            lets = false;
        }
    }
}

async fn tell_error(tell: mpsc::Sender<String>, event: async_nats::Event) {
    if let async_nats::Event::ServerError(error) = event {
        tell.send(error.to_string()).await.ok();
    }
}

#[tokio::test]
async fn each_part_may_do_its_work_and_nothing_else() {
    let shipped = Shipped::one().await.unwrap();
    declared(&shipped, 1).await;
    let mut wrong = Vec::new();
    for role in Role::ALL {
        let mut caller = Caller::connect(&shipped, role).await;
        for (act, who) in RIGHTS {
            let (is, ought) = (caller.may(*act).await, who.contains(&role));
            if is != ought {
                wrong.push(format!("{} {act:?}: is {is}, ought to be {ought}", role.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing that was refused has happened.
    assert_eq!(declared(&shipped, 1).await, Vec::<String>::new());
}

#[tokio::test]
async fn nobody_gets_in_without_a_login() {
    let shipped = Shipped::one().await.unwrap();
    let options =
        || async_nats::ConnectOptions::new().add_root_certificates(shipped.authority().ca());
    for options in [
        options(),
        options().user_and_password("gateway".to_owned(), String::new()),
        options().user_and_password("gateway".to_owned(), shipped.password("worker")),
        options().user_and_password("admin".to_owned(), shipped.password("operator")),
    ] {
        let refused = options.connect(shipped.bare_url()).await.unwrap_err();
        assert_eq!(refused.kind(), async_nats::ConnectErrorKind::AuthorizationViolation);
    }
}
