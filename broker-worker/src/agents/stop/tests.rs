//! Agents that do not answer a cancel at first, over pipes and in time that is
//! wound forward.

use std::convert::Infallible;
use std::sync::Mutex;

use futures::stream;
use hyper_util::rt::TokioIo;
use proto::knowledge_agent_server::{KnowledgeAgent, KnowledgeAgentServer};
use proto::{AskEvent, AskRequest, CancelResponse, TurnId};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::{Code, Response};

use super::*;
use crate::Times;

/// What an agent does when it is told.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// It says whether it knew the turn.
    Answers(bool),
    Fails(Code),
    /// It says nothing.
    Hangs,
}

/// Does one after the other, and the last for ever.
#[derive(Debug, Clone)]
struct Slow {
    script: Arc<[Does]>,
    told: Arc<Mutex<Vec<Instant>>>,
}

impl Slow {
    fn new(script: &[Does]) -> Self {
        Self { script: script.into(), told: Arc::default() }
    }

    /// When it was told.
    fn told(&self) -> Vec<Instant> {
        self.told.lock().unwrap().clone()
    }

    /// As a worker reaches it.
    fn agent(&self, name: &str, life: &Lifecycle) -> Agent {
        let (calls, mut called) = mpsc::channel::<DuplexStream>(1);
        let incoming = stream::poll_fn(move |context| called.poll_recv(context));
        let incoming = futures::StreamExt::map(incoming, Ok::<_, Infallible>);
        let service = KnowledgeAgentServer::new(self.clone());
        life.serve("agent", async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await
        });
        let connector = tower::service_fn(move |_| {
            let calls = calls.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(64 << 10);
                calls.send(theirs).await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(ours))
            }
        });
        Agent::connector(name, connector)
    }
}

#[tonic::async_trait]
impl KnowledgeAgent for Slow {
    type AskStream = stream::Empty<Result<AskEvent, Status>>;

    async fn ask(&self, _: Request<AskRequest>) -> Result<Response<Self::AskStream>, Status> {
        Err(Status::unimplemented("nobody asks here"))
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let nth = {
            let mut told = self.told.lock().unwrap();
            told.push(Instant::now());
            told.len() - 1
        };
        match self.script.get(nth).or(self.script.last()) {
            Some(Does::Answers(found)) => Ok(Response::new(CancelResponse { found: *found })),
            Some(Does::Fails(code)) => Err(Status::new(*code, "not now")),
            Some(Does::Hangs) | None => std::future::pending().await,
        }
    }
}

/// The agents as a worker has them. Its life is apart from theirs.
fn worker(slow: &[&Slow], life: &Lifecycle, theirs: &Lifecycle) -> Agents {
    let named = slow.iter().enumerate();
    let all = named.map(|(number, it)| it.agent(&format!("agent {number}"), theirs)).collect();
    Agents::new(all, Times::default(), life.clone())
}

fn session() -> Session {
    Session::parse("u", "s").unwrap()
}

fn turn() -> String {
    TurnId::new().to_string()
}

/// Waits until nobody tells anybody any more, without a drain.
async fn until_rested(agents: &Agents) {
    while agents.all.iter().any(|it| it.insisting.available_permits() < AT_ONCE) {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_and_fails_at_first_is_told_until_it_answers_and_no_more() {
    for found in [true, false] {
        let hangs_and_fails = [Does::Hangs, Does::Hangs, Does::Fails(Code::Unavailable)];
        let slow = Slow::new(&[&hangs_and_fails[..], &[Does::Answers(found)]].concat());
        let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
        let agents = worker(&[&slow], &life, &theirs);
        let began = Instant::now();
        let stopping = agents.cancel(&session(), &turn(), None).await;
        assert!(began.elapsed() < Duration::from_millis(1100), "{:?}", began.elapsed());
        stopping.stored();
        sleep(LASTS * 2).await;
        let told = slow.told();
        assert_eq!(told.len(), 4);
        assert!(told.windows(2).all(|it| it[1] - it[0] >= PAUSES.0), "{told:?}");
        theirs.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_agents_in_the_background_are_told_again_as_well() {
    let late = [Does::Fails(Code::Unavailable), Does::Answers(true)];
    let slow = [Slow::new(&late), Slow::new(&late), Slow::new(&late)];
    let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
    let agents = worker(&slow.each_ref(), &life, &theirs);
    agents.cancel(&session(), &turn(), None).await.stored();
    sleep(LASTS * 2).await;
    assert_eq!(slow.map(|it| it.told().len()), [2, 2, 2]);
    theirs.abort();
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_end_is_not_stored_is_not_stopped_again() {
    let slow = [Slow::new(&[Does::Hangs]), Slow::new(&[Does::Hangs])];
    let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
    let agents = worker(&slow.each_ref(), &life, &theirs);
    let stopping = agents.cancel(&session(), &turn(), None).await;
    sleep(LASTS).await;
    assert_eq!(slow.each_ref().map(|it| it.told().len()), [1, 1], "it may still go on");
    drop(stopping);
    sleep(LASTS * 2).await;
    assert_eq!(slow.each_ref().map(|it| it.told().len()), [1, 1], "it went on elsewhere");
    theirs.abort();
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_is_told_for_longer_than_it_would_go_on_and_then_left() {
    let slow = Slow::new(&[Does::Hangs]);
    let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
    let agents = worker(&[&slow], &life, &theirs);
    let began = Instant::now();
    agents.dismiss(&session(), &turn(), agents.all[0].clone());
    sleep(LASTS * 2).await;
    let told = slow.told();
    let last = *told.last().unwrap() - began;
    assert!(last > Duration::from_secs(55) && last <= LASTS + ANSWER, "{last:?}");
    assert!((25..=60).contains(&told.len()), "{}", told.len());
    theirs.abort();
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_refuses_for_good_is_told_once() {
    let slow = Slow::new(&[Does::Fails(Code::PermissionDenied), Does::Answers(true)]);
    let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
    let agents = worker(&[&slow], &life, &theirs);
    agents.cancel(&session(), &turn(), None).await.stored();
    sleep(LASTS * 2).await;
    assert_eq!(slow.told().len(), 1);
    theirs.abort();
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_a_moment_for_an_answer_and_not_for_the_whole_time() {
    let slow = Slow::new(&[Does::Hangs]);
    let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
    let agents = worker(&[&slow], &life, &theirs);
    agents.cancel(&session(), &turn(), None).await.stored();
    let began = Instant::now();
    life.drain();
    let outcome = life.wait(Duration::from_secs(30)).await;
    assert_eq!(outcome, Ok(process::Outcome::Drained));
    assert!(began.elapsed() <= DRAINING + ANSWER, "{:?}", began.elapsed());
    assert!(slow.told().len() > 2, "{:?}", slow.told());
    theirs.abort();
}

#[tokio::test(start_paused = true)]
async fn past_its_bound_an_agent_is_told_once_of_a_turn() {
    let slow = Slow::new(&[Does::Fails(Code::Unavailable)]);
    let (life, theirs) = (Lifecycle::new(), Lifecycle::new());
    let agents = worker(&[&slow], &life, &theirs);
    let agent = agents.all[0].clone();
    let taken = agent.insisting.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
    agents.dismiss(&session(), &turn(), agent.clone());
    sleep(LASTS).await;
    assert_eq!(slow.told().len(), 1);
    drop(taken);
    agents.dismiss(&session(), &turn(), agent.clone());
    sleep(LASTS * 2).await;
    assert!(slow.told().len() > 10, "{}", slow.told().len());
    until_rested(&agents).await;
    theirs.abort();
}
