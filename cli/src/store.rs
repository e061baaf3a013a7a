//! Opens the broker that the flags name, and refuses one that gives less than
//! is asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use broker::Broker;
use broker::nats::{Applied, Certificate, Config, Login, Role, Security};
use broker::sqlite::Place;
use secrecy::SecretString;

use crate::flags::{self, Kept, Nats, Servers, Store};

/// The broker of a process that may have its own.
pub(crate) async fn open(flags: &Store, role: Role) -> anyhow::Result<Broker> {
    let broker = if let Some(url) = &flags.nats {
        connect(url, (&flags.servers, flags.kept), role).await?
    } else {
        let misplaced = flags.servers.out_of_place();
        ensure!(misplaced.is_none(), "{} needs --nats", misplaced.unwrap_or_default());
        let place = folder(flags)?.map_or(Place::Memory, Place::Folder);
        broker::sqlite::open(place, flags.kept.limits()).await?
    };
    enough(broker, flags.least)
}

/// Where the embedded broker keeps its data; `None` when there is none, or it
/// is in memory.
pub(crate) fn folder(flags: &Store) -> anyhow::Result<Option<PathBuf>> {
    match (&flags.nats, flags.ephemeral, &flags.data) {
        (Some(_), _, _) | (None, true, _) => Ok(None),
        (None, false, Some(folder)) => Ok(Some(folder.clone())),
        (None, false, None) => default_folder().map(Some),
    }
}

/// The broker of a process that shares it with others.
pub(crate) async fn shared(flags: &Nats, role: Role) -> anyhow::Result<Broker> {
    enough(connect(&flags.url, (&flags.servers, flags.kept), role).await?, flags.least)
}

/// Declares everything on the servers.
pub(crate) async fn apply(flags: &Nats) -> anyhow::Result<Applied> {
    let config = config(&flags.url, (&flags.servers, flags.kept), Role::Operator)?;
    let applied = broker::nats::apply(config).await?;
    if let Some(least) = flags.least.durability {
        applied.profile.require(least)?;
    }
    Ok(applied)
}

/// Looks whether everything is there, and changes nothing.
pub(crate) async fn check(flags: &Nats) -> anyhow::Result<Broker> {
    let config = config(&flags.url, (&flags.servers, flags.kept), Role::Operator)?;
    let config = Config { declare: broker::nats::Declare::Never, ..config };
    enough(broker::nats::open(config).await?, flags.least)
}

/// The same for what may be a process's own; `None` when that is not NATS.
pub(crate) async fn look(flags: &Store) -> anyhow::Result<Option<Broker>> {
    let Some(url) = &flags.nats else { return Ok(None) };
    let config = config(url, (&flags.servers, flags.kept), Role::Operator)?;
    let config = Config { declare: broker::nats::Declare::Never, ..config };
    enough(broker::nats::open(config).await?, flags.least).map(Some)
}

fn enough(broker: Broker, least: flags::Least) -> anyhow::Result<Broker> {
    if let Some(least) = least.durability {
        broker.profile.require(least)?;
    }
    Ok(broker)
}

async fn connect(url: &str, flags: (&Servers, Kept), role: Role) -> anyhow::Result<Broker> {
    Ok(broker::nats::open(config(url, flags, role)?).await?)
}

fn config(url: &str, (servers, kept): (&Servers, Kept), role: Role) -> anyhow::Result<Config> {
    let flags::Tls { ca, cert, key, required } = servers.tls.clone();
    let certificate = cert.zip(key).map(|(chain, key)| Certificate { chain, key });
    Ok(Config {
        limits: kept.limits(),
        replicas: servers.replicas.into(),
        name: format!("weir {}", role.name()),
        role,
        declare: match servers.declare {
            flags::Declare::Missing => broker::nats::Declare::Missing,
            flags::Declare::Never => broker::nats::Declare::Never,
        },
        jobs_bytes: servers.jobs_bytes,
        log_bytes: servers.log_bytes,
        security: Security { login: login(&servers.login)?, ca, certificate, tls: required },
        monitors: servers.monitors.clone(),
        ..Config::new(url)
    })
}

fn login(flags: &flags::Login) -> anyhow::Result<Login> {
    match (&flags.creds, &flags.nkey, &flags.user) {
        (Some(file), _, _) => Ok(Login::Credentials(file.clone())),
        (None, Some(file), _) => Ok(Login::Nkey(file.clone())),
        (None, None, Some(user)) => {
            Ok(Login::Password { user: user.clone(), password: password(flags)? })
        }
        (None, None, None) => Ok(Login::Url),
    }
}

fn password(flags: &flags::Login) -> anyhow::Result<SecretString> {
    match (&flags.password, &flags.password_file) {
        (Some(password), None) => Ok(password.clone()),
        (None, Some(file)) => first_line(file),
        (None, None) => bail!("--nats-user needs NATS_PASSWORD or --nats-password-file"),
        (Some(_), Some(_)) => bail!("NATS_PASSWORD and --nats-password-file: leave one out"),
    }
}

fn first_line(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file);
    let text =
        text.with_context(|| format!("the password in {} cannot be read", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().into())
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let data =
        dirs::data_dir().context("this platform has no data folder; name one with --data")?;
    Ok(data.join("weir"))
}
