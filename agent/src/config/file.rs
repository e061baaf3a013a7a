//! The configuration file as it is written: every key, with its default. What
//! it means, and which values are allowed, is decided in `resolve`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Protocol;
use process::amount::{Size, Time, Until};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::secret::{Address, Written};
use super::{Config, Verdict};

/// The whole file.
#[expect(clippy::struct_field_names, reason = "`system_file` is the key's name")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) model: Option<String>,
    pub(super) fallback: Vec<String>,
    pub(super) system: Option<String>,
    pub(super) system_file: Option<PathBuf>,
    pub(super) grace: Time,
    pub(super) pins: Option<PathBuf>,
    pub(super) times: Times,
    pub(super) limits: Limits,
    pub(super) providers: BTreeMap<String, Provider>,
    pub(super) knowledge: Knowledge,
    pub(super) mcp: BTreeMap<String, Server>,
    pub(super) tools: Tools,
    pub(super) review: Review,
    pub(super) memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Times {
    pub(super) first_token: Time,
    pub(super) between_tokens: Time,
    pub(super) turn: Time,
    pub(super) retries: i64,
    pub(super) retry_pause: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) steps: i64,
    pub(super) tokens: i64,
    pub(super) calls: i64,
    pub(super) parallel: i64,
    pub(super) output: Size,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Provider {
    pub(super) protocol: Spoken,
    pub(super) base_url: Option<String>,
    pub(super) key_env: Option<String>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) models: Vec<String>,
    pub(super) window: i64,
    pub(super) max_output: Option<i64>,
    pub(super) max_output_field: String,
    pub(super) extra: Map<String, Value>,
    pub(super) proxy: Option<Address>,
}

/// [`Protocol`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Spoken {
    OpenAi,
    DashScope,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Knowledge {
    pub(super) folders: Vec<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) command: Option<PathBuf>,
    pub(super) args: Vec<String>,
    pub(super) url: Option<String>,
    pub(super) timeout: Time,
    pub(super) trusted: bool,
    pub(super) tools: Vec<String>,
    pub(super) env: BTreeMap<String, Written>,
    pub(super) headers: BTreeMap<String, Written>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tools {
    pub(super) otherwise: Option<Said>,
    pub(super) rules: BTreeMap<String, Said>,
}

/// [`Verdict`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    Allow,
    Review,
    Deny,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Review {
    pub(super) expires: Until,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Memory {
    pub(super) budget: Size,
    pub(super) embeddings: Option<String>,
}

impl Default for File {
    fn default() -> Self {
        Self::of(&Config::default())
    }
}

impl Default for Times {
    fn default() -> Self {
        File::default().times
    }
}

impl Default for Limits {
    fn default() -> Self {
        File::default().limits
    }
}

impl Default for Review {
    fn default() -> Self {
        File::default().review
    }
}

impl Default for Memory {
    fn default() -> Self {
        File::default().memory
    }
}

impl Default for Provider {
    fn default() -> Self {
        Self::of(&model::Provider::default())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            command: None,
            args: Vec::new(),
            url: None,
            timeout: Time(super::MCP_TIMEOUT),
            trusted: false,
            tools: Vec::new(),
            env: BTreeMap::new(),
            headers: BTreeMap::new(),
        }
    }
}

impl From<Spoken> for Protocol {
    fn from(spoken: Spoken) -> Self {
        match spoken {
            Spoken::OpenAi => Self::OpenAi,
            Spoken::DashScope => Self::DashScope,
        }
    }
}

impl From<Protocol> for Spoken {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::OpenAi => Self::OpenAi,
            Protocol::DashScope => Self::DashScope,
        }
    }
}

impl From<Said> for Verdict {
    fn from(said: Said) -> Self {
        match said {
            Said::Allow => Self::Allow,
            Said::Review => Self::Review,
            Said::Deny => Self::Deny,
        }
    }
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Review => Self::Review,
            Verdict::Deny => Self::Deny,
        }
    }
}
