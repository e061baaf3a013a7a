//! Which models there are: `GET /v1/models`, as agents say of themselves.
//!
//! No agent needs to be reached for that, and none is: an agent that died is
//! listed until its word is too old. While nobody has said anything, any model
//! may be asked for, and the agent decides.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use broker::{Bucket, Key};
use prost::Message as _;
use proto::Timestamp;
use proto::{AgentRecord, FORMAT};
use serde::Serialize;
use utoipa::ToSchema;

use super::request::STANDARD;
use crate::caller::Caller;
use crate::document::refusals;
use crate::document::words::Problem;
use crate::edge::{Edge, Shared};
use crate::problem::{Code, Refusal};

/// What stands for any name in a model's.
const ANY: &str = "<name>";

/// An agent that runs, as far as is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Agent {
    /// Left out for who is not an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    version: String,
    /// The standard one first.
    models: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
}

/// All models.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Models)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    /// When an agent first offered it, in seconds since 1970.
    created: i64,
    owned_by: String,
}

/// Lists models
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "openai",
    responses((status = 200, description = "The models", body = List), refusals::Common),
)]
pub(crate) async fn list(
    State(edge): Shared,
    caller: Caller,
) -> Result<impl IntoResponse, Refusal> {
    caller.count()?;
    let agents = edge.within(offered(&edge)).await?;
    Ok(Json(List { object: "list", data: models(&agents) }))
}

/// Looks at a model
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    tag = "openai",
    params(("id" = String, Path, description = "The model", example = "weir")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 404, description = "No such model", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn one(
    State(edge): Shared,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<impl IntoResponse, Refusal> {
    caller.count()?;
    let Path(id) = id.map_err(|_not_text| Refusal::field("model", "must be UTF-8"))?;
    let agents = edge.within(offered(&edge)).await?;
    let found = models(&agents).into_iter().find(|it| it.id == id);
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// The agents that run, oldest first.
pub(crate) async fn offered(edge: &Edge) -> Result<Vec<Agent>, Refusal> {
    let found = edge.broker.records.below(Bucket::Agents, &Key::agents()).await?;
    let now = process::clock::now();
    let mut agents = Vec::new();
    for (key, record) in found {
        match AgentRecord::decode(record.value) {
            Ok(agent) if agent.version <= FORMAT && lives(&agent, now) => agents.push(Agent {
                id: key.names().pop(),
                version: agent.software,
                models: agent.models,
                since: agent.since,
            }),
            // Of a later format, or too old.
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%key, %error, "what an agent says of itself cannot be read");
            }
        }
    }
    agents.sort_by_key(|it| it.since.as_ref().map(|it| (it.seconds, it.nanos)));
    Ok(agents)
}

/// What a question may name, the agents' own model first.
pub(crate) fn names(agents: &[Agent]) -> Vec<String> {
    models(agents).into_iter().map(|it| it.id).collect()
}

/// Refuses a model that no agent offers. What cannot be looked up is left to the
/// agent.
pub(super) async fn check(edge: &Edge, model: &str) -> Result<(), Refusal> {
    if model.is_empty() {
        return Ok(());
    }
    let agents = match offered(edge).await {
        Ok(agents) => agents,
        Err(refusal) => {
            tracing::debug!(?refusal, "nobody knows which models there are");
            return Ok(());
        }
    };
    let known = agents.iter().flat_map(|it| &it.models).any(|it| covers(it, model));
    if agents.is_empty() || known { Ok(()) } else { Err(unknown(model)) }
}

fn unknown(model: &str) -> Refusal {
    let detail = format!("the model `{model}` does not exist; GET /v1/models lists those that do");
    Refusal::new(Code::UnknownModel, detail)
}

/// Whether a name is that of a model, or is covered by one that stands for any.
fn covers(offered: &str, model: &str) -> bool {
    match offered.strip_suffix(ANY) {
        Some(provider) => model.strip_prefix(provider).is_some_and(|it| !it.is_empty()),
        None => offered == model,
    }
}

fn lives(agent: &AgentRecord, now: Duration) -> bool {
    let until = agent.until.as_ref().and_then(|it| u64::try_from(it.seconds).ok());
    until.is_some_and(|it| it > now.as_secs())
}

/// Everything that may be named; the agents' own model first.
fn models(agents: &[Agent]) -> Vec<Model> {
    let mut offered: BTreeMap<&str, i64> = BTreeMap::new();
    let mut first = i64::MAX;
    for agent in agents {
        let since = agent.since.as_ref().map_or(0, |it| it.seconds);
        first = first.min(since);
        for model in agent.models.iter().filter(|it| !it.ends_with(ANY)) {
            let known = offered.entry(model).or_insert(since);
            *known = since.min(*known);
        }
    }
    let standard = (STANDARD, if agents.is_empty() { 0 } else { first });
    let all = std::iter::once(standard).chain(offered);
    all.map(|(id, created)| Model::new(id, created)).collect()
}

impl Model {
    fn new(id: &str, created: i64) -> Self {
        let owner = id.split_once('/').map_or(STANDARD, |it| it.0);
        Self { id: id.to_owned(), object: "model", created, owned_by: owner.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(models: &[&str], seconds: i64) -> Agent {
        Agent {
            id: Some("a".to_owned()),
            version: "0".to_owned(),
            models: models.iter().map(|it| (*it).to_owned()).collect(),
            since: Some(Timestamp { seconds, nanos: 0 }),
        }
    }

    #[test]
    fn models_are_those_of_all_agents_once_and_the_standard_one_first() {
        let agents = [
            agent(&["openai/x", "extractive", "other/<name>"], 20),
            agent(&["extractive", "openai/a"], 10),
        ];
        let listed: Vec<_> =
            models(&agents).into_iter().map(|it| (it.id, it.created, it.owned_by)).collect();
        let expected = [
            ("weir", 10, "weir"),
            ("extractive", 10, "weir"),
            ("openai/a", 10, "openai"),
            ("openai/x", 20, "openai"),
        ];
        let expected = expected.map(|it| (it.0.to_owned(), it.1, it.2.to_owned()));
        assert_eq!(listed, expected);
        assert_eq!(models(&[]).len(), 1);
    }

    #[test]
    fn a_model_is_covered_by_its_name_or_by_one_that_stands_for_any() {
        for (offered, model, expected) in [
            ("openai/x", "openai/x", true),
            ("openai/x", "openai/xy", false),
            ("openai/<name>", "openai/xy", true),
            ("openai/<name>", "openai/a/b", true),
            ("openai/<name>", "openai/", false),
            ("openai/<name>", "other/x", false),
            ("extractive", "weir", false),
        ] {
            assert_eq!(covers(offered, model), expected, "{offered} {model}");
        }
    }

    #[test]
    fn the_word_of_an_agent_counts_until_its_time() {
        let until = Some(Timestamp { seconds: 100, nanos: 0 });
        let agent = AgentRecord { until, ..AgentRecord::default() };
        assert!(lives(&agent, Duration::from_secs(99)));
        assert!(!lives(&agent, Duration::from_secs(100)));
        assert!(!lives(&AgentRecord::default(), Duration::ZERO));
    }
}
