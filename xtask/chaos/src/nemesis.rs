//! What goes wrong, when, by a seed: one fault after the other, each of them
//! mended before the next, as many kinds as the fleet has parts and links.

use std::time::Duration;

use anyhow::Result;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use testkit::proxy::Direction;
use tokio::time::{Instant, sleep};

use crate::score::Score;
use crate::stage::Stage;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL and a new process.
    Kill(Role),
    /// SIGSTOP for longer than a lease, then SIGCONT.
    Hold(Role),
    /// SIGTERM, and a new process once it has ended.
    Roll(Role),
    /// A link breaks, for a moment.
    Cut,
    /// A link holds everything, or one direction.
    Stall(Direction),
    /// A link becomes slow.
    Slow,
}

/// What a fault befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One of the gateways.
    Gateway,
    /// One of the workers.
    Worker,
    /// One of the agents.
    Agent,
    /// One of the nats-servers.
    Node,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Kill(Role::Gateway),
        Self::Kill(Role::Worker),
        Self::Kill(Role::Agent),
        Self::Kill(Role::Node),
        Self::Hold(Role::Gateway),
        Self::Hold(Role::Worker),
        Self::Hold(Role::Agent),
        Self::Hold(Role::Node),
        Self::Roll(Role::Gateway),
        Self::Roll(Role::Worker),
        Self::Roll(Role::Agent),
        Self::Cut,
        Self::Stall(Direction::Both),
        Self::Stall(Direction::Out),
        Self::Stall(Direction::Back),
        Self::Slow,
    ];
}

/// Injects faults until the time is over and every kind had its turn; then
/// everything runs again.
pub async fn rage(
    stage: &mut Stage,
    until: Instant,
    dice: &mut StdRng,
    score: &mut Score,
) -> Result<()> {
    // Each kind once, in a new order each time round.
    let mut round: Vec<Fault> = Vec::new();
    while Instant::now() < until || !round.is_empty() {
        if round.is_empty() {
            round = Fault::ALL.to_vec();
            rand::seq::SliceRandom::shuffle(round.as_mut_slice(), dice);
        }
        if let Some(fault) = round.pop() {
            strike(stage, fault, dice, score).await?;
        }
        sleep(Duration::from_millis(dice.random_range(500..3000))).await;
    }
    Ok(())
}

/// One fault, from its beginning to its end.
pub async fn strike(
    stage: &mut Stage,
    fault: Fault,
    dice: &mut StdRng,
    score: &mut Score,
) -> Result<()> {
    let held = Duration::from_millis(dice.random_range(1000..9000));
    match fault {
        Fault::Kill(Role::Node) | Fault::Hold(Role::Node) => node(stage, fault, held, dice).await?,
        Fault::Kill(role) => {
            let part = pick(stage, role, dice);
            part.kill().await?;
            sleep(held / 4).await;
            part.restart().await?;
            stage.aim()?;
        }
        Fault::Hold(role) => {
            let part = pick(stage, role, dice);
            part.process().pause()?;
            sleep(held).await;
            part.process().resume()?;
        }
        Fault::Roll(role) => {
            let part = pick(stage, role, dice);
            let code = part.roll().await?;
            let name = part.name.clone();
            score.expect(code == Some(0), || format!("{name} drained with code {code:?}"));
            stage.aim()?;
        }
        Fault::Cut | Fault::Stall(_) | Fault::Slow => link(stage, fault, held, dice).await,
    }
    score.fault(&format!("{fault:?}"));
    Ok(())
}

async fn node(stage: &mut Stage, fault: Fault, held: Duration, dice: &mut StdRng) -> Result<()> {
    let at = dice.random_range(0..stage.nodes());
    if fault == Fault::Kill(Role::Node) {
        stage.node(at).kill().await?;
        sleep(held / 2).await;
        stage.node(at).restart().await?;
    } else {
        stage.node(at).pause()?;
        sleep(held).await;
        stage.node(at).resume()?;
    }
    // Two of three may not be away at once.
    if stage.nodes() > 1 {
        stage.cluster()?.ready().await?;
    }
    Ok(())
}

async fn link(stage: &Stage, fault: Fault, held: Duration, dice: &mut StdRng) {
    let names = stage.links();
    let Some(proxy) = names.choose(dice).and_then(|it| stage.link(it)) else { return };
    match fault {
        Fault::Cut => proxy.cut(),
        Fault::Stall(direction) => proxy.stall(direction),
        Fault::Slow | Fault::Kill(_) | Fault::Hold(_) | Fault::Roll(_) => {
            proxy.delay(Duration::from_millis(dice.random_range(5..100)));
        }
    }
    sleep(held).await;
    proxy.mend();
}

fn pick<'a>(stage: &'a mut Stage, role: Role, dice: &mut StdRng) -> &'a mut crate::stage::Part {
    let parts = match role {
        Role::Gateway => &mut stage.gateways,
        Role::Worker => &mut stage.workers,
        Role::Agent | Role::Node => &mut stage.agents,
    };
    let at = dice.random_range(0..parts.len());
    &mut parts[at]
}
