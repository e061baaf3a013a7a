//! MCP servers as others publish them, where `cargo xtask test` has put them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::PATIENCE;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How a published server is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The program.
    pub command: PathBuf,
    /// Its arguments; a caller may add more.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
}

impl Published {
    /// Examples of everything that the protocol has.
    pub fn everything() -> Result<Self> {
        Self::node("everything")
    }

    /// Files in the folders that are its arguments, and nowhere else.
    pub fn filesystem(folder: &Path) -> Result<Self> {
        let mut server = Self::node("filesystem")?;
        server.args.push(folder.display().to_string());
        Ok(server)
    }

    /// A graph of what is known, in a file.
    pub fn memory(file: &Path) -> Result<Self> {
        let mut server = Self::node("memory")?;
        server.env.push(("MEMORY_FILE_PATH".to_owned(), file.display().to_string()));
        Ok(server)
    }

    /// The time, here and elsewhere.
    pub fn time() -> Result<Self> {
        let mut server = Self::python("mcp_server_time")?;
        server.args.push("--local-timezone=UTC".to_owned());
        Ok(server)
    }

    /// A repository's status, history and more.
    pub fn git(repository: &Path) -> Result<Self> {
        let mut server = Self::python("mcp_server_git")?;
        server.args.extend(["--repository".to_owned(), repository.display().to_string()]);
        Ok(server)
    }

    fn node(name: &str) -> Result<Self> {
        let folder = "mcp/node_modules/@modelcontextprotocol";
        let script = installed(&format!("{folder}/server-{name}/dist/index.js"))?;
        let args = vec![script.display().to_string()];
        Ok(Self { command: "node".into(), args, env: Vec::new() })
    }

    fn python(module: &str) -> Result<Self> {
        let found = installed(&format!("mcp-python/{module}/__init__.py"))?;
        let packages = found.ancestors().nth(2).unwrap_or(&found).display().to_string();
        let env = vec![("PYTHONPATH".to_owned(), packages)];
        Ok(Self { command: "python3".into(), args: vec!["-m".into(), module.into()], env })
    }
}

fn installed(path: &str) -> Result<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let file = tools.join(path);
    ensure!(
        file.is_file(),
        "a published MCP server is missing: run `cargo xtask test`, which installs it as {}",
        file.display()
    );
    Ok(file)
}

/// `everything` over streamable HTTP, killed when dropped.
#[derive(Debug)]
pub struct Everything {
    _child: Child,
    port: u16,
}

impl Everything {
    /// Starts it and waits until it takes connections.
    pub async fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let everything = Published::everything()?;
        let mut command = Command::new(everything.command);
        command.args(everything.args).arg("streamableHttp").env("PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn()?;
        let ready = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = ready => Ok(Self { _child: child, port }),
            ended = child.wait() => bail!("it ended by itself: {ended:?}"),
            () = sleep(PATIENCE) => bail!("it takes no connections"),
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }
}
