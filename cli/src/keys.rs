//! `weir keys`: who may use a gateway, in a file that it reads. A key's secret is
//! shown once, when it is made, and kept nowhere.

use std::process::ExitCode;

use gateway::auth::keys::{File, Key, Role, Wanted};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;

use crate::flags::{KeysCommand, KeysCreate, KeysList, KeysRevoke};
use crate::{Ended, columns, output, plain, when};

pub(crate) fn run(command: KeysCommand) -> Ended {
    match command {
        KeysCommand::Create(flags) => create(flags)?,
        KeysCommand::List(flags) => list(&flags)?,
        KeysCommand::Revoke(flags) => revoke(&flags)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn create(flags: KeysCreate) -> anyhow::Result<()> {
    let KeysCreate { file, user, role, expires, label, json } = flags;
    let file = File::at(file.path);
    let (key, text) = file.create(Wanted { user, role: role.into(), label, expires })?;
    output::note(&format!(
        "made key {} for {} in {}; it is shown this once:",
        key.id,
        plain::line(key.user.as_str()),
        file.path().display()
    ));
    if json {
        let (key, secret) = (Shown::of(&key), text.expose_secret());
        return Ok(output::json(&Made { key, secret })?);
    }
    Ok(output::line(text.expose_secret())?)
}

fn list(flags: &KeysList) -> anyhow::Result<()> {
    let file = File::at(&flags.file.path);
    let keys = file.keys()?;
    if file.is_open_to_others() {
        output::note(&format!("weir: everybody may read or change {}", file.path().display()));
    }
    if flags.json {
        keys.iter().map(Shown::of).try_for_each(|it| output::json(&it))?;
    } else {
        output::print(&table(&keys))?;
    }
    Ok(())
}

fn revoke(flags: &KeysRevoke) -> anyhow::Result<()> {
    let key = File::at(&flags.file.path).revoke(&flags.id)?;
    let user = plain::line(key.user.as_str());
    output::note(&format!("revoked key {} of {user}; running gateways notice within 2 s", key.id));
    if flags.json {
        let told = json!({ "id": key.id, "user": key.user.as_str(), "revoked": true });
        output::json(&told)?;
    }
    Ok(())
}

/// A key in the list.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    user: &'a str,
    role: Role,
    label: Option<&'a str>,
    created: Timestamp,
    expires: Option<Timestamp>,
    expired: bool,
}

/// A key that was just made, this once with what opens.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    key: Shown<'a>,
    #[serde(rename = "key")]
    secret: &'a str,
}

impl<'a> Shown<'a> {
    fn of(key: &'a Key) -> Self {
        Self {
            id: &key.id,
            user: key.user.as_str(),
            role: key.role,
            label: key.label.as_deref(),
            created: key.created,
            expires: key.expires,
            expired: key.has_expired(when::now()),
        }
    }
}

/// All keys, one a line.
fn table(keys: &[Key]) -> String {
    if keys.is_empty() {
        return "there are no keys\n".to_owned();
    }
    let head = ["KEY", "USER", "ROLE", "CREATED", "EXPIRES", "LABEL"].map(str::to_owned);
    let rows = keys.iter().map(|key| {
        let expires = match key.expires {
            None => "never".to_owned(),
            Some(at) if key.has_expired(when::now()) => format!("{at} (over)"),
            Some(at) => at.to_string(),
        };
        [
            key.id.clone(),
            plain::line(key.user.as_str()),
            match key.role {
                Role::User => "user".to_owned(),
                Role::Operator => "operator".to_owned(),
            },
            key.created.to_string(),
            expires,
            plain::line(key.label.as_deref().unwrap_or_default()),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    columns::aligned(&rows)
}
