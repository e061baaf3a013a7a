//! Which of a server's tools are offered, and as what. Pure: no connection, no
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use rmcp::model;
use serde_json::{Map, Value, json};

use super::pins::{Pins, fingerprint};
use super::{Server, name};
use crate::{Effect, Spec, arguments};

/// Bytes of a description; what is longer is cut.
const MAX_DESCRIPTION: usize = 4 * 1024;
/// Bytes of a schema; a tool with a longer one is withheld.
const MAX_SCHEMA: usize = 64 * 1024;
/// Bytes of all descriptions and schemas of a server that are offered; they are
/// in every question to a model.
const MAX_OFFERED: usize = 256 * 1024;
/// Tools of a server that are believed as first seen, over the process's life.
const MAX_BELIEVED: usize = 4096;

/// A tool that a server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the server calls it.
    pub tool: String,
    /// What it is called here: `<server>__<tool>`.
    pub name: String,
    /// What it says of itself, in full.
    pub description: String,
    /// What it takes.
    pub schema: Arc<Map<String, Value>>,
    /// What it says about what it does; null for nothing.
    pub annotations: Value,
    /// What a call does, as far as the server is believed.
    pub effect: Effect,
    /// The hash of what the operator's word is given for.
    pub fingerprint: String,
    /// Whether models hear of it.
    pub offer: Offer,
}

/// Whether models hear of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// They do.
    Offered,
    /// They do not.
    Withheld(Reason),
}

/// Why a tool is withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The configuration names tools, and not this one.
    NotChosen,
    /// There is a file of pins, and it is not in it.
    NotPinned,
    /// It is another than the one that was pinned, or seen first.
    Changed,
    /// The file of pins cannot be used.
    NoPins(String),
    /// What is wrong with what it says of itself.
    Unusable(String),
}

impl Reason {
    /// Whether the operator's word would change it.
    pub(super) fn wants_word(&self) -> bool {
        match self {
            Self::NotPinned | Self::Changed => true,
            Self::NotChosen | Self::NoPins(_) | Self::Unusable(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotChosen => out.write_str("the configuration does not name it"),
            Self::NotPinned => out.write_str("it is not pinned"),
            Self::Changed => out.write_str("its description, schema or annotations have changed"),
            Self::NoPins(reason) | Self::Unusable(reason) => out.write_str(reason),
        }
    }
}

/// What is believed of a server's tools.
#[derive(Debug)]
pub(super) enum Word {
    /// What the operator has looked at.
    Pinned(Result<Pins, String>),
    /// What was seen first, by the tools' names.
    FirstSeen(BTreeMap<String, String>),
}

impl Word {
    /// Why a tool with this fingerprint is not believed.
    fn against(&mut self, server: &str, tool: &str, fingerprint: &str) -> Option<Reason> {
        let believed = match self {
            Self::Pinned(Err(reason)) => return Some(Reason::NoPins(reason.clone())),
            Self::Pinned(Ok(pins)) => match pins.get(server, tool) {
                Some(pinned) => pinned.to_owned(),
                None => return Some(Reason::NotPinned),
            },
            Self::FirstSeen(seen) => {
                if seen.len() >= MAX_BELIEVED && !seen.contains_key(tool) {
                    let reason = format!("the server has shown more than {MAX_BELIEVED} tools");
                    return Some(Reason::Unusable(reason));
                }
                seen.entry(tool.to_owned()).or_insert_with(|| fingerprint.to_owned()).clone()
            }
        };
        (believed != fingerprint).then_some(Reason::Changed)
    }
}

/// A tool with its judgement.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) listed: Listed,
    /// What models hear, where it is offered.
    pub(super) spec: Option<Arc<Spec>>,
}

/// Judges all tools of a server. Of several with one name the first counts, and
/// of too many the first are offered.
pub(super) fn judge(
    server: &str,
    config: &Server,
    tools: &[model::Tool],
    word: &mut Word,
) -> Vec<Judged> {
    let names = name::qualified(server, tools.iter().map(|it| it.name.as_ref()));
    let mut met = BTreeSet::new();
    let first = tools.iter().filter(|it| met.insert(it.name.as_ref()));
    let mut left = MAX_OFFERED;
    first
        .map(|tool| {
            let fingerprint = fingerprint(tool);
            let name = names[tool.name.as_ref()].clone();
            let described = spec(config, tool, &name);
            let against = against(server, config, tool, (word, &fingerprint));
            let judged = match (against, described) {
                (Some(Reason::NotChosen), _) => Err(Reason::NotChosen),
                // No word would make it usable.
                (_, Err(reason)) => Err(Reason::Unusable(reason)),
                (Some(reason), Ok(_)) => Err(reason),
                (None, Ok(spec)) => fitting(spec, &mut left).map_err(Reason::Unusable),
            };
            let (offer, spec) = match judged {
                Ok(spec) => (Offer::Offered, Some(Arc::new(spec))),
                Err(reason) => (Offer::Withheld(reason), None),
            };
            let listed = Listed {
                tool: tool.name.to_string(),
                name,
                description: tool.description.as_deref().unwrap_or_default().to_owned(),
                schema: Arc::clone(&tool.input_schema),
                annotations: json!(tool.annotations),
                effect: effect(config, tool),
                fingerprint,
                offer,
            };
            Judged { listed, spec }
        })
        .collect()
}

fn against(
    server: &str,
    config: &Server,
    tool: &model::Tool,
    (word, fingerprint): (&mut Word, &str),
) -> Option<Reason> {
    let chosen = config.tools.is_empty() || config.tools.iter().any(|it| *it == tool.name);
    if !chosen {
        return Some(Reason::NotChosen);
    }
    word.against(server, &tool.name, fingerprint)
}

/// What models hear of a tool. The error says why they cannot.
fn spec(config: &Server, tool: &model::Tool, name: &str) -> Result<Spec, String> {
    let mut schema = (*tool.input_schema).clone();
    if *schema.entry("type").or_insert_with(|| json!("object")) != "object" {
        return Err("its schema is not that of an object".to_owned());
    }
    let parameters = Value::Object(schema);
    let bytes = parameters.to_string().len();
    if bytes > MAX_SCHEMA {
        return Err(format!("its schema has {bytes} bytes; at most {MAX_SCHEMA} are allowed"));
    }
    arguments::validator(&parameters)?;
    let mut description = tool.description.as_deref().unwrap_or_default().to_owned();
    crate::cut(&mut description, MAX_DESCRIPTION);
    Ok(Spec { name: name.to_owned(), description, parameters, effect: effect(config, tool) })
}

/// The tool, where there is room for it beside the others of its server.
fn fitting(spec: Spec, left: &mut usize) -> Result<Spec, String> {
    let bytes = spec.description.len() + spec.parameters.to_string().len();
    *left = left.checked_sub(bytes).ok_or_else(|| {
        format!(
            "the descriptions and schemas of this server's tools have more than {MAX_OFFERED} \
             bytes; name those that are needed in `tools`"
        )
    })?;
    Ok(spec)
}

/// What a call does, as far as the server is believed.
fn effect(config: &Server, tool: &model::Tool) -> Effect {
    let hints = tool.annotations.as_ref().filter(|_| config.trusted);
    match hints {
        Some(it) if it.read_only_hint == Some(true) => Effect::Reads,
        Some(it) if it.idempotent_hint == Some(true) => Effect::Repeatable,
        Some(_) | None => Effect::Once,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rmcp::model::{JsonObject, Tool, ToolAnnotations};

    use super::*;
    use crate::mcp::Transport;

    fn config(trusted: bool, tools: &[&str]) -> Server {
        Server {
            transport: Transport::Http { url: String::new(), headers: BTreeMap::new() },
            timeout: Duration::from_secs(1),
            trusted,
            tools: tools.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    fn tool(name: &'static str, schema: Value) -> Tool {
        let schema: JsonObject = serde_json::from_value(schema).unwrap();
        Tool::new(name, "Does it.", schema)
    }

    fn plain(name: &'static str) -> Tool {
        tool(name, json!({"type": "object"}))
    }

    fn seen() -> Word {
        Word::FirstSeen(BTreeMap::new())
    }

    #[test]
    fn an_effect_is_read_from_hints_of_trusted_servers_only() {
        let hints = ToolAnnotations::new();
        for (trusted, hints, effect) in [
            (true, hints.clone().read_only(true), Effect::Reads),
            (true, hints.clone().idempotent(true), Effect::Repeatable),
            (true, hints.clone().destructive(false), Effect::Once),
            (false, hints.clone().read_only(true), Effect::Once),
            (false, hints.idempotent(true), Effect::Once),
        ] {
            let tools = [plain("t").annotate(hints)];
            let judged = judge("s", &config(trusted, &[]), &tools, &mut seen());
            assert_eq!(judged[0].spec.as_ref().unwrap().effect, effect);
        }
    }

    #[test]
    fn what_is_wrong_with_a_tool_withholds_it_alone() {
        let large = json!({"type": "object", "description": "x".repeat(MAX_SCHEMA)});
        let tools = [
            plain("good"),
            tool("large", large),
            tool("list", json!({"type": "array"})),
            tool("broken", json!({"type": "object", "properties": {"a": {"type": "odd"}}})),
            tool("away", json!({"$ref": "http://127.0.0.1:9/schema"})),
            plain("other"),
        ];
        let chosen = config(false, &["good", "large", "list", "broken", "away"]);
        let judged = judge("s", &chosen, &tools, &mut seen());
        let reason = |it: &Judged| match &it.listed.offer {
            Offer::Offered => String::new(),
            Offer::Withheld(reason) => reason.to_string(),
        };
        let reasons: Vec<_> = judged.iter().map(reason).collect();
        assert_eq!(reasons[0], "");
        assert!(reasons[1].contains("at most 65536 are allowed"), "{}", reasons[1]);
        assert_eq!(reasons[2], "its schema is not that of an object");
        assert!(reasons[3].starts_with("its schema cannot be used"), "{}", reasons[3]);
        assert!(reasons[4].starts_with("its schema cannot be used"), "{}", reasons[4]);
        assert_eq!(reasons[5], "the configuration does not name it");
        assert_eq!(judged.iter().filter(|it| it.spec.is_some()).count(), 1);
        // The operator's word would not help.
        let judged = judge("s", &chosen, &tools, &mut Word::Pinned(Ok(Pins::default())));
        assert_eq!(judged[0].listed.offer, Offer::Withheld(Reason::NotPinned));
        let unusable =
            |it: &Judged| matches!(it.listed.offer, Offer::Withheld(Reason::Unusable(_)));
        assert_eq!(judged.iter().filter(|it| unusable(it)).count(), 4);
    }

    #[test]
    fn a_long_description_is_cut_for_the_model_and_believed_in_full() {
        let mut long = plain("t");
        long.description = Some("語".repeat(MAX_DESCRIPTION).into());
        let mut other = long.clone();
        other.description = Some(("語".repeat(MAX_DESCRIPTION) + "!").into());
        let mut word = seen();
        let judged = judge("s", &config(false, &[]), &[long], &mut word);
        assert!(judged[0].spec.as_ref().unwrap().description.len() < MAX_DESCRIPTION + 64);
        let judged = judge("s", &config(false, &[]), &[other], &mut word);
        assert_eq!(judged[0].listed.offer, Offer::Withheld(Reason::Changed));
    }

    #[test]
    fn without_pins_what_was_seen_first_counts_also_after_it_was_gone() {
        let (config, mut word) = (config(false, &[]), seen());
        let mut changed = plain("t");
        changed.description = Some("Does something else.".into());
        let mut offer = |tools: &[Tool]| {
            let judged = judge("s", &config, tools, &mut word);
            judged.first().map(|it| it.listed.offer.clone())
        };
        assert_eq!(offer(&[plain("t")]), Some(Offer::Offered));
        assert_eq!(offer(&[]), None);
        assert_eq!(offer(&[changed]), Some(Offer::Withheld(Reason::Changed)));
        assert_eq!(offer(&[plain("t")]), Some(Offer::Offered));
    }

    #[test]
    fn with_pins_only_what_is_pinned_as_it_is_counts() {
        let config = config(false, &[]);
        let mut pins = Pins::default();
        let print = fingerprint(&plain("a"));
        pins.set("s", BTreeMap::from([("a".into(), print), ("b".into(), "other".into())]));
        let tools = [plain("a"), plain("b"), plain("c")];
        let judged = judge("s", &config, &tools, &mut Word::Pinned(Ok(pins)));
        let offers: Vec<_> = judged.iter().map(|it| it.listed.offer.clone()).collect();
        let withheld = [Reason::Changed, Reason::NotPinned].map(Offer::Withheld);
        assert_eq!(offers[0], Offer::Offered);
        assert_eq!(offers[1..], withheld);
        let mut none = Word::Pinned(Err("unreadable".into()));
        let judged = judge("s", &config, &tools, &mut none);
        assert!(judged.iter().all(|it| it.spec.is_none()));
    }

    #[test]
    fn what_does_not_fit_beside_the_other_tools_is_withheld() {
        let names = ["a", "b", "c", "d", "e"];
        let large = || json!({"type": "object", "description": "x".repeat(MAX_SCHEMA - 100)});
        let mut tools: Vec<_> = names.iter().map(|it| tool(it, large())).collect();
        tools.push(plain("small"));
        let offered = |chosen: &[&str]| {
            let judged = judge("s", &config(false, chosen), &tools, &mut seen());
            let offered = judged.iter().filter(|it| it.spec.is_some());
            let names: Vec<_> = offered.map(|it| it.listed.tool.clone()).collect();
            (names.concat(), judged[4].listed.offer.clone())
        };
        let (names, last) = offered(&[]);
        assert_eq!(names, "abcdsmall");
        let Offer::Withheld(reason) = last else { panic!("it is offered") };
        assert!(reason.to_string().contains("more than 262144 bytes"), "{reason}");
        // What is not chosen takes no room.
        assert_eq!(offered(&["c", "d", "e"]), ("cde".to_owned(), Offer::Offered));
    }

    #[test]
    fn of_several_tools_with_one_name_the_first_counts() {
        let mut second = plain("t");
        second.description = Some("Another.".into());
        let judged = judge("s", &config(false, &[]), &[plain("t"), second], &mut seen());
        assert_eq!(judged.len(), 1);
        assert_eq!(judged[0].listed.description, "Does it.");
    }
}
