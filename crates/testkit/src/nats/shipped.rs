//! Servers started from the files in deploy/nats, as an operator would: with
//! TLS, and one user per part of Weir. Only the environment is the test's.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Authority, Cluster, Node, Server, Stage, TRIES, free_ports};

/// One server or three, from the shipped configuration; killed when dropped.
#[derive(Debug)]
pub struct Shipped {
    cluster: Cluster,
    authority: Authority,
    /// Removed when the servers are gone.
    _folder: TempDir,
}

impl Shipped {
    /// One server, from `one.conf`.
    ///
    /// Errors: as [`Server::start`].
    pub async fn one() -> anyhow::Result<Self> {
        Self::start("one.conf", 1).await
    }

    /// Three servers, from `three.conf`.
    pub async fn three() -> anyhow::Result<Self> {
        Self::start("three.conf", 3).await
    }

    /// Where a user connects: all servers, each with its name and password.
    pub fn url(&self, user: &str) -> String {
        let login = format!("tls://{user}:{}@", self.password(user));
        self.bare_url().replace("nats://", &login)
    }

    /// Where they are, without any login.
    pub fn bare_url(&self) -> String {
        self.cluster.url()
    }

    /// The password of a user.
    pub fn password(&self, user: &str) -> String {
        format!("the-{user}s-password")
    }

    /// Who vouches for the servers.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The monitors of all servers.
    pub fn monitors(&self) -> Vec<String> {
        self.cluster.nodes.iter().map(Server::monitor).collect()
    }

    /// The servers.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    async fn start(file: &str, many: usize) -> anyhow::Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats").join(file);
        let mut why = anyhow::anyhow!("not tried");
        for _ in 0..TRIES {
            let mut shipped = Self::spawn(&file, many)?;
            let ready = match many {
                1 => shipped.cluster.node(0).ready(Stage::Healthy).await,
                _ => shipped.cluster.ready().await,
            };
            match ready {
                Ok(()) => return Ok(shipped),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn spawn(file: &Path, many: usize) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let path = folder.path().to_owned();
        let mut shipped = Self {
            cluster: Cluster { nodes: Vec::new(), _folder: None },
            authority: Authority::new()?,
            _folder: folder,
        };
        let (ports, monitors, routes) =
            (free_ports::<3>()?, free_ports::<3>()?, free_ports::<3>()?);
        for at in 0..many {
            let (port, monitor) = (ports[at], monitors[at]);
            let node = Node {
                name: format!("n{at}"),
                folder: path.join(format!("n{at}")),
                port,
                monitor,
                cluster: None,
                durable: true,
                extra: String::new(),
                given: None,
            };
            std::fs::create_dir_all(&node.folder)?;
            let environment = shipped.environment(&node, &routes, routes[at])?;
            let node = Node { given: Some((file.to_owned(), environment)), ..node };
            shipped.cluster.nodes.push(Server { child: node.spawn()?, node, folder: None });
        }
        Ok(shipped)
    }

    fn environment(
        &self,
        node: &Node,
        routes: &[u16],
        own: u16,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let (certificate, key) = self.authority.vouch(&node.name)?;
        let path = |it: PathBuf| format!("\"{}\"", it.display());
        let mut variables = vec![
            ("NATS_NAME".to_owned(), node.name.clone()),
            ("NATS_LISTEN".to_owned(), format!("127.0.0.1:{}", node.port)),
            ("NATS_MONITOR".to_owned(), format!("127.0.0.1:{}", node.monitor)),
            ("NATS_STORE".to_owned(), path(node.store())),
            ("NATS_MAX_FILE".to_owned(), "16GB".to_owned()),
            ("NATS_CERT".to_owned(), path(certificate)),
            ("NATS_KEY".to_owned(), path(key)),
            ("NATS_CA".to_owned(), path(self.authority.ca())),
            ("NATS_CLUSTER_LISTEN".to_owned(), format!("127.0.0.1:{own}")),
        ];
        for (at, port) in routes.iter().enumerate() {
            variables.push((format!("NATS_ROUTE_{}", at + 1), format!("tls://127.0.0.1:{port}")));
        }
        for user in ["gateway", "worker", "agent", "operator"] {
            let name = format!("NATS_{}_PASSWORD", user.to_uppercase());
            variables.push((name, self.password(user)));
        }
        Ok(variables)
    }
}
