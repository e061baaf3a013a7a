//! `weir up`: the gateway, a worker and the agent in one process, on one
//! broker. The same code as the roles; only the worker's way to the agent is a
//! pipe instead of a socket.

use std::process::ExitCode;

use process::Lifecycle;

use crate::flags::Up;
use crate::{Ended, banner, roles, store};

pub(crate) async fn run(flags: Up) -> Ended {
    roles::begin();
    let life = Lifecycle::new();
    life.stop_on_signals();

    let http = roles::listen_for_people(&flags.edge).await?;
    let grpc = roles::listen(flags.grpc.grpc, "--grpc").await?;
    let broker = store::open(&flags.store, "up").await?;
    let records = std::sync::Arc::clone(&broker.records);
    let agent = roles::mind(flags.mind, records, &life).await?;
    let (pipe, incoming) = roles::pipe();

    banner::say("page", format_args!("http://{}/", http.local_addr()?));
    banner::say("grpc", grpc.local_addr()?);
    banner::broker(&broker.profile);
    banner::say("model", agent.model());

    roles::serve_agent(&life, &agent, grpc);
    let piped = agent.clone();
    life.serve("agent pipe", async move { piped.serve(incoming).await });
    let config = broker_worker::Config {
        slots: flags.slots.count(),
        // The agent stops with this process: what is under way must end first.
        leaving: broker_worker::Leaving::Finish,
        ..broker_worker::Config::new(vec![pipe])
    };
    roles::serve_worker(&life, broker.clone(), config);
    roles::serve_gateway(&life, broker, http);
    banner::ready();
    roles::end(&life).await
}

/// Everything a process does after its drain has begun.
pub(crate) fn code(outcome: &process::Outcome) -> ExitCode {
    match outcome {
        process::Outcome::Drained => ExitCode::SUCCESS,
        process::Outcome::Aborted => ExitCode::FAILURE,
    }
}
