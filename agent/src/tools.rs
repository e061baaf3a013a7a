//! What the agent can do: its own tools and those of its servers, as they are
//! offered at a moment.

mod recall;
mod remember;
mod search_knowledge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use knowledge::Library;
use memory::Memories;
use serde_json::{Map, Value};
use tool::mcp::Servers;
use tool::{Spec, Tool};

use recall::Recall;
use remember::Remember;
use search_knowledge::SearchKnowledge;

/// How long a tool that is missing is waited for.
const START: Duration = Duration::from_secs(30);

/// Where tools come from. Servers change what they offer.
#[derive(Debug)]
pub(crate) struct Toolbox {
    own: Vec<Arc<dyn Tool>>,
    servers: Servers,
}

impl Toolbox {
    pub(crate) fn new(memories: &Memories, library: &Arc<Library>, servers: Servers) -> Self {
        let own: [Arc<dyn Tool>; 3] = [
            Arc::new(SearchKnowledge::new(Arc::clone(library))),
            Arc::new(Remember::new(memories.clone())),
            Arc::new(Recall::new(memories.clone())),
        ];
        Self { own: own.into(), servers }
    }

    /// Waits until every server was tried once, at most so long; whether all were.
    pub(crate) async fn tried(&self, time: Duration) -> bool {
        self.servers.ready(time).await
    }

    /// What is offered now, or once servers that are just starting have been
    /// tried, when one of these tools is missing.
    pub(crate) async fn with(&self, names: impl Iterator<Item = &str> + Send) -> Offered {
        let offered = self.current();
        let mut names = names;
        if names.all(|it| offered.spec(it).is_some()) {
            return offered;
        }
        self.tried(START).await;
        self.current()
    }

    /// What is offered now.
    pub(crate) fn current(&self) -> Offered {
        let all = self.servers.tools().into_iter().chain(self.own.iter().cloned());
        Offered(all.map(|it| (it.spec().name.clone(), it)).collect())
    }
}

/// A tool, and arguments that fit it.
type Ready<'a> = (&'a Arc<dyn Tool>, Map<String, Value>);

/// The tools that are offered at a moment, by their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offered(BTreeMap<String, Arc<dyn Tool>>);

impl Offered {
    /// What a tool is; `None` when there is none of that name.
    pub(crate) fn spec(&self, name: &str) -> Option<&Spec> {
        self.0.get(name).map(|it| it.spec())
    }

    /// A tool and its arguments, or in words for the model why it cannot be
    /// called like that.
    pub(crate) fn parsed(&self, name: &str, arguments: &str) -> Result<Ready<'_>, String> {
        let Some(tool) = self.0.get(name) else {
            let names: Vec<_> = self.0.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!("there is no tool `{name}`; there are: {names}"));
        };
        Ok((tool, tool::arguments(tool.spec(), arguments)?))
    }

    /// Whether a tool can be called with these arguments; if not, why.
    pub(crate) fn fits(&self, name: &str, arguments: &str) -> Result<(), String> {
        self.parsed(name, arguments).map(drop)
    }

    /// The tools as models are told of them.
    pub(crate) fn described(&self) -> Vec<model::Tool> {
        let described = |spec: &Spec| model::Tool {
            name: spec.name.clone(),
            description: spec.description.clone(),
            parameters: spec.parameters.clone(),
        };
        self.0.values().map(|it| described(it.spec())).collect()
    }
}
