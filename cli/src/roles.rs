//! One role a process: `weir gateway`, `weir worker`, `weir agent`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use broker::nats::Role;
use broker::{Broker, Records};
use hyper_util::rt::TokioIo;
use process::{Lifecycle, Outcome};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::flags::{Agent, Edge, Gateway, Mind, Worker};
use crate::{Ended, banner, control, settings, store};

/// What is logged unless `RUST_LOG` says otherwise. The library that speaks to
/// servers of tools would log their whole URLs.
const LOG: &str = "warn,agent=info,broker=info,broker_worker=info,gateway=info,memory=info,\
    knowledge=info,model=info,process=info,tool=info,rmcp=off";

/// The exit code of a process whose grace was over, as timeout(1) has it.
const OVERDUE: u8 = 124;
/// A signal's number is added to it, as shells do.
const SIGNALLED: i32 = 128;
/// Bytes that may be under way in a pipe, each way.
const PIPE: usize = 256 * 1024;

pub(crate) async fn gateway(flags: Gateway) -> Ended {
    live(flags.grace.time(), |life| Box::pin(set_up_gateway(flags, life))).await
}

async fn set_up_gateway(flags: Gateway, life: Lifecycle) -> anyhow::Result<Broker> {
    let listener = listen_for_people(&flags.edge).await?;
    let broker = store::shared(&flags.store, Role::Gateway).await?;
    banner::say("page", format_args!("http://{}/", listener.local_addr()?));
    banner::broker(&broker.profile);
    serve_gateway(&life, broker.clone(), listener);
    banner::ready();
    Ok(broker)
}

pub(crate) async fn worker(flags: Worker) -> Ended {
    live(flags.grace.time(), |life| Box::pin(set_up_worker(flags, life))).await
}

async fn set_up_worker(flags: Worker, life: Lifecycle) -> anyhow::Result<Broker> {
    let agents: Result<Vec<_>, _> =
        flags.agents.iter().map(|url| broker_worker::Agent::url(url)).collect();
    let agents = agents?;
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
    banner::ready();
    Ok(broker)
}

pub(crate) async fn agent(flags: Agent) -> Ended {
    if flags.mind.print_config {
        return settings::print(&flags.mind);
    }
    live(flags.grace.time(), |life| Box::pin(set_up_agent(flags, life))).await
}

async fn set_up_agent(flags: Agent, life: Lifecycle) -> anyhow::Result<Broker> {
    let listener = listen(flags.grpc.grpc, "--grpc").await?;
    let broker = store::open(&flags.store, Role::Agent).await?;
    let agent = mind(&flags.mind, Arc::clone(&broker.records), &life).await?;
    banner::say("grpc", listener.local_addr()?);
    banner::broker(&broker.profile);
    banner::say("model", agent.model());
    serve_agent(&life, &agent, listener);
    control::serve(&life, store::folder(&flags.store)?.as_deref(), &broker);
    banner::ready();
    Ok(broker)
}

/// Sets a process up, then serves until it is told to stop or a part of it
/// dies. A signal ends the setting up, too. The broker is kept to the end: it
/// looks after its connection, whoever uses which port of it.
pub(crate) async fn live<F>(grace: Duration, set_up: impl FnOnce(Lifecycle) -> F + Send) -> Ended
where
    F: Future<Output = anyhow::Result<Broker>> + Send,
{
    process::telemetry(LOG);
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

/// Takes the port of the HTTP edge. Nobody proves who they are there, so only
/// this machine may reach it.
pub(crate) async fn listen_for_people(flags: &Edge) -> anyhow::Result<TcpListener> {
    anyhow::ensure!(
        flags.http.ip().is_loopback(),
        "--http {}: without authentication the edge listens on loopback only",
        flags.http
    );
    listen(flags.http, "--http").await
}

/// The agent that the flags describe.
pub(crate) async fn mind(
    flags: &Mind,
    records: Arc<dyn Records>,
    life: &Lifecycle,
) -> anyhow::Result<agent::Agent> {
    let config = settings::read(flags)?;
    Ok(agent::Agent::new(config, records, life.clone()).await?)
}

pub(crate) fn serve_agent(life: &Lifecycle, agent: &agent::Agent, listener: TcpListener) {
    let agent = agent.clone();
    life.serve("agent", async move { agent.serve(agent::incoming(listener)).await });
}

pub(crate) fn serve_worker(life: &Lifecycle, broker: Broker, config: broker_worker::Config) {
    life.serve("worker", broker_worker::run(config, broker, life.clone()));
}

pub(crate) fn serve_gateway(life: &Lifecycle, broker: Broker, listener: TcpListener) {
    let config = gateway::Config::default();
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
