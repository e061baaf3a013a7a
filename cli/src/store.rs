//! Opens the broker that the flags name.

use std::path::PathBuf;

use anyhow::Context as _;
use broker::sqlite::Place;
use broker::{Broker, Limits};

use crate::flags::{Nats, Store};

/// The broker of a process that may have its own.
pub(crate) async fn open(flags: &Store, role: &str) -> anyhow::Result<Broker> {
    if let Some(url) = &flags.nats {
        return connect(url, flags.replicas, role).await;
    }
    let place = match (&flags.data, flags.ephemeral) {
        (_, true) => Place::Memory,
        (Some(folder), false) => Place::Folder(folder.clone()),
        (None, false) => Place::Folder(default_folder()?),
    };
    Ok(broker::sqlite::open(place, Limits::default()).await?)
}

/// The broker of a process that shares it with others.
pub(crate) async fn shared(flags: &Nats, role: &str) -> anyhow::Result<Broker> {
    connect(&flags.nats, flags.replicas, role).await
}

async fn connect(url: &str, replicas: u8, role: &str) -> anyhow::Result<Broker> {
    let config = broker::nats::Config {
        url: url.to_owned(),
        replicas: replicas.into(),
        limits: Limits::default(),
        name: format!("weir {role}"),
    };
    broker::nats::open(config).await.with_context(|| format!("NATS at {url}"))
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let data =
        dirs::data_dir().context("this platform has no data folder; name one with --data")?;
    Ok(data.join("weir"))
}
