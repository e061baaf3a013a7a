//! One role a process: `weir gateway`, `weir worker`, `weir agent`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent::knowledge::Progress;
use anyhow::Context as _;
use broker::nats::Role;
use broker::{Broker, Records};
use hyper_util::rt::TokioIo;
use process::{Lifecycle, Outcome, Telemetry};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::flags::{Agent, Gateway, Log, Mind, Worker};
use crate::secure::{self, Port};
use crate::{Ended, banner, control, edge, progress, seen, settings, store};

/// What is logged unless `RUST_LOG` says otherwise. The library that speaks to
/// servers of tools would log their whole URLs.
const LOG: &str = "warn,agent=info,broker=info,broker_worker=info,gateway=info,memory=info,\
    knowledge=info,model=info,process=info,tls=info,tool=info,weir=info,rmcp=off";

/// The exit code of a process whose grace was over, as timeout(1) has it.
const OVERDUE: u8 = 124;
/// A signal's number is added to it, as shells do.
const SIGNALLED: i32 = 128;
/// Bytes that may be under way in a pipe, each way.
const PIPE: usize = 256 * 1024;

pub(crate) async fn gateway(flags: Gateway) -> Ended {
    if flags.edge.print_gateway_config {
        return edge::print(&flags.edge);
    }
    let run = Run { role: "gateway", grace: flags.grace.time(), log: flags.log };
    live(run, |life| Box::pin(set_up_gateway(flags, life))).await
}

async fn set_up_gateway(flags: Gateway, life: Lifecycle) -> anyhow::Result<Broker> {
    let seen = seen::open(flags.seen, ("gateway", &[seen::GATEWAY]), &life).await?;
    let (listener, edge) = edge::open(&flags.edge).await?;
    let broker = store::shared(&flags.store, Role::Gateway).await?;
    banner::say("page", secure::page(listener.local_addr()?, edge.tls.as_ref()));
    banner::broker(&broker.profile);
    serve_gateway(&life, broker.clone(), (listener, edge));
    seen.queue(&broker).depth(&broker).ready();
    banner::ready();
    Ok(broker)
}

pub(crate) async fn worker(flags: Worker) -> Ended {
    let run = Run { role: "worker", grace: flags.grace.time(), log: flags.log };
    live(run, |life| Box::pin(set_up_worker(flags, life))).await
}

async fn set_up_worker(flags: Worker, life: Lifecycle) -> anyhow::Result<Broker> {
    let seen = seen::open(flags.seen, ("worker", &[seen::WORKER]), &life).await?;
    let agents = secure::agents(&flags.agents, &flags.tls)?;
    let broker = store::shared(&flags.store, Role::Worker).await?;
    banner::say("agents", flags.agents.join(" "));
    banner::say("slots", flags.slots.slots);
    banner::broker(&broker.profile);
    let config = broker_worker::Config {
        slots: flags.slots.count(),
        times: broker_worker::Times { turn: flags.turn_limit(), ..broker_worker::Times::default() },
        ..broker_worker::Config::new(agents)
    };
    serve_worker(&life, broker.clone(), config);
    seen.queue(&broker).ready();
    banner::ready();
    Ok(broker)
}

pub(crate) async fn agent(flags: Agent) -> Ended {
    if flags.mind.print_config {
        return settings::print(&flags.mind);
    }
    let run = Run { role: "agent", grace: flags.grace.time(), log: flags.log };
    live(run, |life| Box::pin(set_up_agent(flags, life))).await
}

async fn set_up_agent(flags: Agent, life: Lifecycle) -> anyhow::Result<Broker> {
    let seen = seen::open(flags.seen, ("agent", &[seen::AGENT]), &life).await?;
    let port = secure::listen(&flags.grpc).await?;
    let broker = store::open(&flags.store, Role::Agent).await?;
    let agent = mind(&flags.mind, Arc::clone(&broker.records), &life).await?;
    port.announce()?;
    banner::broker(&broker.profile);
    banner::say("model", agent.model());
    serve_agent(&life, &agent, port);
    control::serve(&life, store::folder(&flags.store)?.as_deref(), &broker);
    seen.records(&broker.records).ready();
    banner::ready();
    Ok(broker)
}

/// How a process that serves is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// What it is, in traces.
    pub(crate) role: &'static str,
    /// How long it may take to stop.
    pub(crate) grace: Duration,
    pub(crate) log: Log,
}

/// Sets a process up, then serves until it is told to stop or a part of it
/// dies; what is known of it then is exported, however it ends.
pub(crate) async fn live<F>(run: Run, set_up: impl FnOnce(Lifecycle) -> F + Send) -> Ended
where
    F: Future<Output = anyhow::Result<Broker>> + Send,
{
    let telemetry = Telemetry::start(run.role, LOG, run.log.format);
    let ended = lived(run.grace, set_up).await;
    telemetry.flush().await;
    ended
}

/// A signal ends the setting up, too. The broker is kept to the end: it looks
/// after its connection, whoever uses which port of it.
async fn lived<F>(grace: Duration, set_up: impl FnOnce(Lifecycle) -> F + Send) -> Ended
where
    F: Future<Output = anyhow::Result<Broker>> + Send,
{
    process::raise_file_limit();
    let life = Lifecycle::new();
    life.stop_on_signals();
    let _broker = tokio::select! {
        biased;
        () = life.draining() => None,
        set = set_up(life.clone()) => Some(set?),
    };
    Ok(code(&life.wait(grace).await?))
}

fn code(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Drained => ExitCode::SUCCESS,
        Outcome::Overdue => ExitCode::from(OVERDUE),
        Outcome::Aborted(signal) => {
            let code = signal.and_then(|it| u8::try_from(SIGNALLED + it).ok());
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

/// Takes a port; the error names the flag that chooses another.
pub(crate) async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (choose another with {flag})"))
}

/// The agent that the flags describe.
pub(crate) async fn mind(
    flags: &Mind,
    records: Arc<dyn Records>,
    life: &Lifecycle,
) -> anyhow::Result<agent::Agent> {
    let config = settings::read(flags)?;
    let progress = Progress::default();
    let made = agent::Agent::telling(config, Arc::clone(&records), life.clone(), progress.clone());
    let agent = progress::reading(&progress, made).await?;
    agent.announce(records);
    Ok(agent)
}

pub(crate) fn serve_agent(life: &Lifecycle, agent: &agent::Agent, port: Port) {
    let agent = agent.clone();
    let incoming = agent::incoming(port.listener);
    let Some(tls) = port.tls else {
        life.serve("agent", async move { agent.serve(incoming).await });
        return;
    };
    tls.watch(life);
    let incoming = agent::secured(incoming, tls);
    life.serve("agent", async move { agent.serve(incoming).await });
}

pub(crate) fn serve_worker(life: &Lifecycle, broker: Broker, config: broker_worker::Config) {
    life.serve("worker", broker_worker::run(config, broker, life.clone()));
}

pub(crate) fn serve_gateway(
    life: &Lifecycle,
    broker: Broker,
    (listener, config): (TcpListener, gateway::Config),
) {
    life.serve("gateway", gateway::serve(config, broker, listener, life.clone()));
}

/// A way to the agent that never leaves the process: connections made on one
/// side come out of the other.
pub(crate) fn pipe() -> (broker_worker::Agent, ReceiverStream<std::io::Result<DuplexStream>>) {
    let (sender, receiver) = mpsc::channel(4);
    let connector = tower::service_fn(move |_| {
        let sender = sender.clone();
        async move {
            let (near, far) = tokio::io::duplex(PIPE);
            match sender.send(Ok(far)).await {
                Ok(()) => Ok(TokioIo::new(near)),
                Err(_closed) => Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
            }
        }
    });
    (broker_worker::Agent::connector("this process", connector), ReceiverStream::new(receiver))
}
