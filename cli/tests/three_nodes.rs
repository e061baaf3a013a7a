//! A fleet on three nats-servers under load, with every kind of fault once:
//! the short form of `cargo xtask chaos`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaos::nemesis::Fault;
use chaos::scenario::{ALL, Ground};

/// Over before the first round of all kinds of fault is: there is one round.
const TIME: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_keeps_its_promises_whatever_befalls_its_parts() -> Result<()> {
    let weather = ALL.iter().find(|it| it.name == "weather").context("it is in the catalogue")?;
    let binary = env!("CARGO_BIN_EXE_weir").into();
    let score = weather.run(Ground { binary, seed: 7, time: TIME }).await?;
    ensure!(score.is_clean(), "{score}");
    ensure!(
        score.accepted > 100 && score.faults.len() == Fault::ALL.len(),
        "too little happened: {score}"
    );
    Ok(())
}
