//! `weir up`: the gateway, a worker and the agent in one process, on one
//! broker. The same code as the roles; only the worker's way to the agent is a
//! pipe instead of a socket.

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use broker::nats::Role;
use process::Lifecycle;

use crate::flags::Up;
use crate::{Ended, banner, control, edge, roles, secure, seen, settings, store};

/// A worker waits so much longer for a turn's end than the agent itself.
const TURN_ROOM: Duration = Duration::from_mins(5);

pub(crate) async fn run(flags: Up) -> Ended {
    if flags.mind.print_config {
        return settings::print(&flags.mind);
    }
    if flags.edge.print_gateway_config {
        return edge::print(&flags.edge);
    }
    let run = roles::Run { role: "up", grace: flags.grace.time(), log: flags.log };
    roles::live(run, |life| Box::pin(set_up(flags, life))).await
}

async fn set_up(flags: Up, life: Lifecycle) -> anyhow::Result<Broker> {
    let all = [seen::GATEWAY, seen::WORKER, seen::AGENT];
    let seen = seen::open(flags.seen, ("up", &all), &life).await?;
    // The agent stops last: the worker needs it for what is under way.
    let behind = life.behind();
    let (http, edge) = edge::open(&flags.edge).await?;
    let grpc = secure::listen(&flags.grpc).await?;
    let broker = store::open(&flags.store, Role::Operator).await?;
    let agent = roles::mind(&flags.mind, Arc::clone(&broker.records), &behind).await?;
    let (pipe, incoming) = roles::pipe();

    banner::say("page", secure::page(http.local_addr()?, edge.tls.as_ref()));
    grpc.announce()?;
    grpc.warn(&edge)?;
    banner::broker(&broker.profile);
    banner::say("model", agent.model());

    roles::serve_agent(&behind, &agent, grpc);
    let piped = agent.clone();
    behind.serve("agent pipe", async move { piped.serve(incoming).await });
    let limit = agent.turn_limit() + TURN_ROOM;
    let config = broker_worker::Config {
        times: broker_worker::Times { turn: limit, ..broker_worker::Times::default() },
        slots: flags.slots.count(),
        // Nobody else could go on: what is under way must end first.
        leaving: broker_worker::Leaving::Finish,
        ..broker_worker::Config::new(vec![pipe])
    };
    control::serve(&life, store::folder(&flags.store)?.as_deref(), &broker);
    roles::serve_worker(&life, broker.clone(), config);
    roles::serve_gateway(&life, broker.clone(), (http, edge));
    seen.queue(&broker).depth(&broker).records(&broker.records).ready();
    banner::ready();
    Ok(broker)
}
