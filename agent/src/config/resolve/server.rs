//! MCP servers: how each is reached, and what it is given.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tool::mcp;

use super::{Found, Place, bounded, is_name, is_tool_name, named, names, time, url, wrong};
use crate::config::file::Server;
use crate::config::secret::{self, Elsewhere, WRITTEN, Written};

const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
const MOST_TIMEOUT: Duration = Duration::from_hours(1);
const MAX_SERVERS: usize = 64;

impl Place<'_> {
    pub(super) fn servers(
        self,
        written: BTreeMap<String, Server>,
    ) -> Found<BTreeMap<String, mcp::Server>> {
        if written.len() > MAX_SERVERS {
            return wrong("mcp", format!("must be at most {MAX_SERVERS} servers"));
        }
        let server = |(name, it): (String, Server)| {
            let key = format!("mcp.{name}");
            is_name(&key, &name)?;
            Ok((name, self.server(&key, it)?))
        };
        written.into_iter().map(server).collect()
    }

    fn server(self, key: &str, written: Server) -> Found<mcp::Server> {
        let timeout = time(format!("{key}.timeout"), written.timeout, LEAST_TIMEOUT..=MOST_TIMEOUT);
        let tools = names(&format!("{key}.tools"), written.tools, is_tool_name)?;
        let transport = match (written.command, written.url) {
            (Some(command), None) => {
                misplaced(key, "headers", written.headers.is_empty(), "url")?;
                for (key, argument) in named(&written.args, &format!("{key}.args"))? {
                    if argument.contains('\0') {
                        return wrong(key, "must hold no NUL");
                    }
                }
                mcp::Transport::Stdio {
                    command: self.program(&format!("{key}.command"), command)?,
                    args: written.args,
                    env: self.values(&format!("{key}.env"), written.env, secret::is_variable)?,
                }
            }
            (None, Some(address)) => {
                misplaced(key, "args", written.args.is_empty(), "command")?;
                misplaced(key, "env", written.env.is_empty(), "command")?;
                mcp::Transport::Http {
                    url: url(format!("{key}.url"), address)?,
                    headers: self.values(&format!("{key}.headers"), written.headers, is_header)?,
                }
            }
            (None, None) => return wrong(key, "needs a command to start, or a url"),
            (Some(_), Some(_)) => {
                return wrong(format!("{key}.url"), "command is given as well; leave one out");
            }
        };
        Ok(mcp::Server { transport, timeout: timeout?, trusted: written.trusted, tools })
    }

    /// A program: a bare name is looked for in `PATH`.
    fn program(self, key: &str, command: PathBuf) -> Found<PathBuf> {
        let bare = command.components().count() == 1 && !command.as_os_str().is_empty();
        let path = self.path(key, &command)?;
        Ok(if bare && command.is_relative() { command } else { path })
    }

    fn values(
        self,
        key: &str,
        written: BTreeMap<String, Written>,
        fits: fn(&str) -> bool,
    ) -> Found<BTreeMap<String, SecretString>> {
        let value = |(name, value): (String, Written)| {
            let key = format!("{key}.{name}");
            if !fits(&name) {
                return wrong(key, "its name holds characters that no such name has");
            }
            let value = self.value(&key, value)?;
            if value.expose_secret().contains(['\0', '\r', '\n']) {
                return wrong(key, "its value must be one line");
            }
            Ok((name, value))
        };
        bounded(written.into_iter(), key)?.map(value).collect()
    }

    fn value(self, key: &str, written: Written) -> Found<SecretString> {
        let place = match written {
            Written::Plain(text) => return Ok(text),
            Written::Elsewhere(place) => place,
        };
        let fetched = match place {
            Elsewhere { env: Some(name), file: None } => secret::variable(&name, self.variables),
            Elsewhere { env: None, file: Some(file) } => {
                secret::file(&self.path(key, file.as_ref())?)
            }
            Elsewhere { env: Some(_), file: Some(_) } | Elsewhere { env: None, file: None } => {
                Err(format!("must be {WRITTEN}"))
            }
        };
        fetched.or_else(|said| wrong(key, said))
    }
}

/// Something that means nothing for this kind of server.
fn misplaced(key: &str, name: &str, empty: bool, needed: &str) -> Found<()> {
    if empty { Ok(()) } else { wrong(format!("{key}.{name}"), format!("needs {needed}")) }
}

fn is_header(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=128).contains(&name.len()) && name.chars().all(plain)
}
