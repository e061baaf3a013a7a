//! Which tool calls are made, which wait for a human, and which are refused.
//! Pure: knows a tool by its name and its effect alone, and never looks at the
//! arguments or at what a model says about them.

use tool::{Effect, Spec};

use crate::config::{Tools, Verdict};

/// Writes nothing but the memory of the user who asks, and what it wrote can be
/// seen and forgotten.
const REMEMBER: &str = "remember";

/// The operator's word on tools, ready to be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    otherwise: Option<Verdict>,
    /// What counts first, first.
    rules: Vec<(String, Verdict)>,
}

impl Policy {
    /// Of two rules that fit, the one with more letters beside `*` counts; of two
    /// with as many, the stricter.
    pub(crate) fn new(tools: Tools) -> Self {
        let mut rules: Vec<_> = tools.rules.into_iter().collect();
        rules.sort_by_key(|(pattern, verdict)| {
            std::cmp::Reverse((letters(pattern), strictness(*verdict)))
        });
        Self { otherwise: tools.otherwise, rules }
    }

    /// What is to become of a call of this tool.
    pub(crate) fn verdict(&self, spec: &Spec) -> Verdict {
        let rule = self.rules.iter().find(|(pattern, _)| fits(pattern, &spec.name));
        let said = rule.map(|(_, verdict)| *verdict).or(self.otherwise);
        said.unwrap_or_else(|| usual(spec))
    }
}

/// Where the operator says nothing.
fn usual(spec: &Spec) -> Verdict {
    match spec.effect {
        Effect::Reads => Verdict::Allow,
        Effect::Repeatable | Effect::Once if spec.name == REMEMBER => Verdict::Allow,
        Effect::Repeatable | Effect::Once => Verdict::Review,
    }
}

fn letters(pattern: &str) -> usize {
    pattern.chars().filter(|it| *it != '*').count()
}

fn strictness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Review => 1,
        Verdict::Deny => 2,
    }
}

/// Whether a name is of this pattern, in which `*` stands for any letters, also
/// none.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let Some((middle, tail)) = rest.rsplit_once('*') else { return name.ends_with(rest) };
    // The leftmost place of each part leaves the most for those behind it.
    for part in middle.split('*') {
        let Some(found) = name.find(part) else { return false };
        name = &name[found + part.len()..];
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use Effect::{Once, Reads, Repeatable};
    use Verdict::{Allow, Deny, Review};

    fn verdict(
        rules: &[(&str, Verdict)],
        otherwise: Option<Verdict>,
        name: &str,
        effect: Effect,
    ) -> Verdict {
        let rules = rules.iter().map(|(pattern, verdict)| ((*pattern).to_owned(), *verdict));
        let tools = Tools { otherwise, rules: rules.collect() };
        let spec = Spec {
            name: name.to_owned(),
            description: String::new(),
            parameters: json!({}),
            effect,
        };
        Policy::new(tools).verdict(&spec)
    }

    #[test]
    fn without_a_rule_what_only_reads_is_allowed_and_the_rest_is_reviewed() {
        for (name, effect, is) in [
            ("files__read", Reads, Allow),
            ("files__write", Once, Review),
            ("files__write", Repeatable, Review),
            ("search_knowledge", Reads, Allow),
            ("remember", Once, Allow),
            ("remember", Repeatable, Allow),
            // Only the agent's own tool has this name without a server's.
            ("notes__remember", Once, Review),
        ] {
            assert_eq!(verdict(&[], None, name, effect), is, "{name} {effect:?}");
        }
    }

    #[test]
    fn otherwise_holds_for_every_tool_that_no_rule_names() {
        for otherwise in [Allow, Review, Deny] {
            for effect in [Reads, Repeatable, Once] {
                assert_eq!(verdict(&[], Some(otherwise), "a__b", effect), otherwise);
                assert_eq!(verdict(&[("a__*", Allow)], Some(otherwise), "a__b", effect), Allow);
            }
            assert_eq!(verdict(&[], Some(otherwise), "remember", Repeatable), otherwise);
        }
    }

    #[test]
    fn the_rule_with_the_most_letters_counts_and_of_equals_the_stricter() {
        let rules = [
            ("*", Deny),
            ("files__*", Review),
            ("files__read*", Allow),
            ("files__read_secret", Deny),
            ("remember", Review),
            ("x__*b", Allow),
            ("x__a*", Review),
        ];
        for (name, is) in [
            ("files__read_text", Allow),
            ("files__read", Allow),
            ("files__read_secret", Deny),
            ("files__write", Review),
            ("git__log", Deny),
            ("remember", Review),
            ("x__ab", Review),
        ] {
            assert_eq!(verdict(&rules, Some(Allow), name, Reads), is, "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b", "ab", true),
            ("*b", "ba", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "acb", false),
            ("*__read_*", "files__read_text", true),
            ("*aba*ba", "ababa", true),
            ("*aba*ba", "aba", false),
            ("**", "x", true),
            ("a**b", "ab", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
