//! One process of the fleet: it can be killed, held and started again, and what
//! it wrote is not forgotten with it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::process::{Output, Weir};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// How long a part may take to come up while its broker has no leader.
const PATIENCE: Duration = Duration::from_secs(45);

/// How a part's command line is made, again for each start.
type Recipe = Box<dyn Fn() -> Command + Send + Sync>;

/// A process with a name.
pub struct Part {
    /// `gateway0`, `worker2`, …
    pub name: String,
    recipe: Recipe,
    /// The line of its output that says where it listens.
    listens: Option<&'static str>,
    weir: Weir,
    /// Lines on standard error of those that ran before.
    past: Vec<String>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Part {
    /// Starts it and waits until it serves.
    pub async fn start(
        name: String,
        listens: Option<&'static str>,
        recipe: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Result<Self> {
        let recipe: Recipe = Box::new(recipe);
        let weir = Weir::start(recipe()).await.with_context(|| format!("{name} does not start"))?;
        Ok(Self { name, recipe, listens, weir, past: Vec::new() })
    }

    /// Where it listens, when it does.
    pub fn address(&self) -> Result<Option<SocketAddr>> {
        let Some(key) = self.listens else { return Ok(None) };
        let said = self.weir.value(key)?;
        let address = said.trim_start_matches("http://").trim_end_matches('/');
        Ok(Some(address.parse()?))
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Weir {
        &mut self.weir
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        self.weir.kill().await
    }

    /// Starts it anew, as often as it takes: a fleet whose broker is away has
    /// processes that end at once.
    pub async fn restart(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.past.extend(self.weir.output().stderr);
            match Weir::start((self.recipe)()).await {
                Ok(weir) => {
                    self.weir = weir;
                    return Ok(());
                }
                Err(why) if Instant::now() > deadline => {
                    return Err(why.context(format!("{} does not come back", self.name)));
                }
                Err(_not_yet) => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// SIGTERM, its exit code, and a new one.
    pub async fn roll(&mut self) -> Result<Option<i32>> {
        self.weir.terminate()?;
        let code = self.weir.exit().await?.code();
        self.restart().await?;
        Ok(code)
    }

    /// Every line on standard error so far that contains `mark`.
    pub fn said(&self, mark: &str) -> Vec<String> {
        let Output { stderr, .. } = self.weir.output();
        self.past.iter().chain(&stderr).filter(|it| it.contains(mark)).cloned().collect()
    }
}
