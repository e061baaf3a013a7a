//! Arguments as a model writes them: a text that should be JSON and should fit
//! the tool's schema.
//!
//! What does not fit is refused before the call, in words that help the model
//! to do better. Schemas that lead outside of themselves are not followed, and
//! neither are those, nor checks, that might take for ever.

mod schema;
mod steps;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::Spec;
use schema::Schema;

/// Bytes of a call's arguments.
const MAX_BYTES: usize = 256 * 1024;
/// Violations that are named.
const MAX_VIOLATIONS: usize = 5;
/// Bytes of a violation in words.
const MAX_VIOLATION: usize = 300;
/// Compiled schemas that are kept; beyond, all are compiled anew.
const MAX_KEPT: usize = 1024;
/// Bytes of a compiled `pattern`.
const MAX_PATTERN: usize = 1024 * 1024;
/// Bytes of what is remembered while one is looked for.
const MAX_PATTERN_CACHE: usize = 1024 * 1024;

/// The arguments of a call to this tool, parsed and checked against its
/// schema. Empty text is no arguments.
///
/// The error is a sentence for the model: what was wrong and where, and what
/// is allowed. At most 256 KiB, and 127 levels deep.
pub fn arguments(spec: &Spec, text: &str) -> Result<Map<String, Value>, String> {
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(format!("the arguments have {bytes} bytes; at most {MAX_BYTES} are allowed"));
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value: Value = serde_json::from_str(text).map_err(|it| format!("no JSON: {it}"))?;
    if value.is_object() {
        check(spec, &value)?;
    }
    let Value::Object(arguments) = value else {
        return Err(format!("the arguments are {}, not an object", kind(&value)));
    };
    Ok(arguments)
}

fn check(spec: &Spec, value: &Value) -> Result<(), String> {
    let unusable = |it| format!("the tool {} cannot be called: {it}", spec.name);
    let validator = validator(&spec.parameters).map_err(unusable)?;
    let schema = Schema::new(&spec.parameters).map_err(unusable)?;
    let steps = (steps::count(&schema, value).ok()).filter(|it| it.check <= steps::MAX_STEPS);
    let steps = steps.ok_or(
        "the arguments are too many, or too deep, to be checked against the tool's schema; \
         give fewer or simpler ones",
    )?;
    if validator.is_valid(value) {
        return Ok(());
    }
    if steps.tell > steps::MAX_STEPS {
        return Err("the arguments do not fit the tool's schema".to_owned());
    }
    let mut violations = validator.iter_errors(value);
    let named: Vec<_> =
        violations.by_ref().take(MAX_VIOLATIONS).map(|it| told(&it, spec)).collect();
    let more = if violations.next().is_some() { "; and more" } else { "" };
    Err(format!("the arguments do not fit: {}{more}", named.join("; ")))
}

/// A violation in words: where, what, and for unexpected names which are known.
fn told(violation: &ValidationError<'_>, spec: &Spec) -> String {
    let path = violation.instance_path().to_string();
    let place = if path.is_empty() { String::new() } else { format!("at {path}: ") };
    let mut words = format!("{place}{}", violation.masked_with("the value"));
    if let ValidationErrorKind::AdditionalProperties { .. } = violation.kind() {
        let schema = violation.schema_path().to_string();
        let parent = schema.rsplit_once('/').map_or("", |(parent, _)| parent);
        let properties = spec.parameters.pointer(&format!("{parent}/properties"));
        let known: Vec<_> = properties.and_then(Value::as_object).into_iter().flatten().collect();
        let known: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
        words.push_str("; allowed: ");
        words.push_str(&if known.is_empty() { "none".to_owned() } else { known.join(", ") });
    }
    crate::cut(&mut words, MAX_VIOLATION);
    words
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The compiled schema, from memory where it was seen before. The error says
/// why it cannot be used.
pub(crate) fn validator(schema: &Value) -> Result<Arc<Validator>, String> {
    static KEPT: LazyLock<Mutex<HashMap<[u8; 32], Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let key: [u8; 32] = Sha256::digest(schema.to_string()).into();
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get(&key) {
        return Ok(Arc::clone(known));
    }
    let unusable = |it: String| {
        let mut words = format!("its schema cannot be used: {it}");
        crate::cut(&mut words, MAX_VIOLATION);
        words
    };
    Schema::new(schema).map_err(unusable)?;
    // This engine takes time in proportion to the text, whatever the pattern.
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN);
    let options = jsonschema::options()
        .with_retriever(Nothing)
        .with_pattern_options(patterns.dfa_size_limit(MAX_PATTERN_CACHE));
    let mut checked = schema.clone();
    let built = loop {
        let refused = match options.build(&checked) {
            Ok(built) => break Arc::new(built),
            Err(refused) => refused,
        };
        let path = refused.instance_path().to_string();
        // Patterns of other engines, as with look-ahead, are the server's to
        // check: it has to check its arguments anyway.
        if !without_pattern(&mut checked, &path) {
            let place = if path.is_empty() { path } else { format!("at {path}: ") };
            return Err(unusable(format!("{place}{}", refused.masked())));
        }
    };
    let mut kept = kept();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(key, Arc::clone(&built));
    Ok(built)
}

/// Takes the pattern at this place out of a schema; whether one was there.
fn without_pattern(schema: &mut Value, path: &str) -> bool {
    let place = path.strip_suffix("/pattern");
    let object = place.and_then(|it| schema.pointer_mut(it)).and_then(Value::as_object_mut);
    object.is_some_and(|it| it.remove("pattern").is_some_and(|it| it.is_string()))
}

/// Follows no reference out of a schema.
struct Nothing;

impl Retrieve for Nothing {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} lies outside of the schema and is not followed").into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Effect;

    fn spec(parameters: Value) -> Spec {
        let (name, description) = ("t".to_owned(), String::new());
        Spec { name, description, parameters, effect: Effect::Reads }
    }

    fn numbers() -> Spec {
        spec(json!({
            "type": "object",
            "properties": {
                "a": {"type": "integer", "minimum": 0},
                "mode": {"enum": ["fast", "slow"]},
            },
            "required": ["a"],
            "additionalProperties": false,
        }))
    }

    #[test]
    fn what_fits_is_returned_and_nothing_is_no_arguments() {
        assert_eq!(arguments(&numbers(), r#"{"a": 1}"#).unwrap()["a"], 1);
        assert_eq!(arguments(&spec(json!({"type": "object"})), " \n").unwrap(), Map::new());
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_what_is_allowed() {
        for (text, told) in [
            ("", r#""a" is a required property"#),
            ("{", "no JSON: EOF"),
            ("[1]", "the arguments are an array, not an object"),
            ("null", "the arguments are null, not an object"),
            (r#"{"a": "1"}"#, r#"at /a: the value is not of type "integer""#),
            (r#"{"a": -1}"#, "at /a: the value is less than the minimum of 0"),
            (r#"{"a": 1, "mode": "odd"}"#, r#"at /mode: the value is not one of "fast" or "slow""#),
            (r#"{"a": 1, "b": 2}"#, "allowed: a, mode"),
        ] {
            let error = arguments(&numbers(), text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn at_most_five_violations_are_named_and_none_is_long() {
        let many = json!({"type": "object", "additionalProperties": {"type": "integer"}});
        let values: Map<_, _> =
            (0..9).map(|it| (format!("k{it}"), json!("x".repeat(999)))).collect();
        let error = arguments(&spec(many), &Value::Object(values).to_string()).unwrap_err();
        assert_eq!(error.matches("at /k").count(), MAX_VIOLATIONS, "{error}");
        assert!(error.ends_with("; and more"), "{error}");
        assert!(error.len() < 6 * MAX_VIOLATION, "{error}");
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_refused() {
        let any = spec(json!({"type": "object"}));
        let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(MAX_BYTES));
        assert!(arguments(&any, &long).unwrap_err().contains("at most 262144 are allowed"));
        let deep = |levels| format!(r#"{{"a": {}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(arguments(&any, &deep(126)).is_ok());
        assert!(arguments(&any, &deep(127)).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn a_schema_that_leads_outside_or_does_not_compile_is_no_schema() {
        for schema in [
            json!({"$ref": "http://127.0.0.1:9/other.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "integr"}),
            json!({"properties": {"a": {"pattern": 7}}}),
        ] {
            let error = validator(&schema).unwrap_err();
            assert!(error.starts_with("its schema cannot be used"), "{error}");
        }
    }

    /// Each level refers to the next in two ways.
    fn doubled(levels: usize, combination: &str) -> Value {
        let mut parts: Map<_, _> = (0..levels)
            .map(|it| {
                let next = json!({"$ref": format!("#/$defs/d{}", it + 1)});
                let again = json!({"minProperties": 0, "allOf": [next]});
                (format!("d{it}"), json!({combination: [next, again]}))
            })
            .collect();
        parts.insert(format!("d{levels}"), json!({"type": "string"}));
        json!({"type": "object", "allOf": [{"$ref": "#/$defs/d0"}], "$defs": parts})
    }

    #[test]
    fn a_schema_that_doubles_at_one_place_is_no_schema() {
        for combination in ["anyOf", "oneOf", "allOf"] {
            assert!(validator(&doubled(8, combination)).is_ok());
            let error = validator(&doubled(16, combination)).unwrap_err();
            assert!(error.contains("has more than 10000 parts at one place"), "{error}");
            assert!(validator(&doubled(32, combination)).is_err());
        }
    }

    #[test]
    fn a_schema_that_cannot_be_counted_is_no_schema() {
        let chain: Map<_, _> = (0..900)
            .map(|it| (format!("d{it}"), json!({"$ref": format!("#/$defs/d{}", it + 1)})))
            .chain([("d900".to_owned(), json!({}))])
            .collect();
        let several: Map<_, _> =
            (0..65).map(|it| (format!("p{it}"), json!({"pattern": "a"}))).collect();
        for (schema, told) in [
            (json!({"$ref": "#/$defs/d0", "$defs": chain}), "stand within each other"),
            (json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}), "leads back to itself"),
            (json!({"$dynamicRef": "#"}), "leads back to itself"),
            (json!({"$defs": {"a": {"$id": "http://a/"}}}), "an `$id` of its own"),
            (json!({"properties": several}), "65 patterns; at most 64"),
        ] {
            let error = validator(&schema).unwrap_err();
            assert!(error.starts_with("its schema cannot be used"), "{error}");
            assert!(error.contains(told), "{told}: {error}");
        }
    }

    /// A filter: what combines others has two names for the same.
    fn recursive() -> Spec {
        let both = json!({"type": "array", "items": {"$ref": "#/$defs/a%20filter"}});
        let way = |name: &str| json!({"type": "object", "properties": {name: both}});
        let other = json!({"required": ["and"], "properties": {"and": both}, "type": "object"});
        spec(json!({
            "type": "object",
            "properties": {"filter": {"$ref": "#/$defs/a%20filter"}},
            "$defs": {"a filter": {"anyOf": [way("and"), other, {"type": "integer"}]}},
        }))
    }

    #[test]
    fn a_recursive_schema_is_usable_until_a_value_makes_it_take_for_ever() {
        let nested = |levels: usize| {
            let (open, close) = (r#"{"and":["#.repeat(levels), "]}".repeat(levels));
            format!(r#"{{"filter":{open}"no"{close}}}"#)
        };
        assert!(arguments(&recursive(), r#"{"filter": {"and": [{"and": [1, 2]}, 3]}}"#).is_ok());
        let error = arguments(&recursive(), &nested(2)).unwrap_err();
        assert!(error.contains("do not fit"), "{error}");
        let error = arguments(&recursive(), &nested(50)).unwrap_err();
        assert!(error.contains("give fewer or simpler ones"), "{error}");
        let any = json!({"$ref": "#/$defs/any", "$defs": {"any": {"anyOf": [
            {"type": "string"},
            {"items": {"$ref": "#/$defs/any"}, "type": "array"},
            {"additionalProperties": {"$ref": "#/$defs/any"}, "type": "object"},
        ]}}});
        let deep = format!(r#"{{"a": {}"b"{}}}"#, "[".repeat(125), "]".repeat(125));
        arguments(&spec(any), &deep).unwrap();
    }

    #[test]
    fn a_pattern_that_cannot_be_checked_in_linear_time_is_left_to_the_server() {
        for pattern in ["(?=a)(a+)+$", "(?:(?:a{99}){99}){99}", "("] {
            let spec = spec(json!({"properties": {
                "a": {"type": "string", "pattern": pattern},
                "b": {"pattern": "^x+$"},
            }}));
            assert!(arguments(&spec, r#"{"a": "aaab", "b": "xx"}"#).is_ok(), "{pattern}");
            assert!(arguments(&spec, r#"{"a": 7}"#).is_err(), "{pattern}");
            assert!(arguments(&spec, r#"{"b": "y"}"#).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_takes_no_longer_than_its_text() {
        let spec = spec(json!({"properties": {"a": {"pattern": "^(a+)+$"}}}));
        let text = json!({"a": "a".repeat(200_000) + "b"}).to_string();
        assert!(arguments(&spec, &text).unwrap_err().contains("does not match"));
    }
}
