//! Arguments as a model writes them: a text that should be JSON and should fit
//! the tool's schema.
//!
//! What does not fit is refused before the call, in words that help the model
//! to do better. Schemas that lead outside of themselves are not followed.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::Spec;

/// Bytes of a call's arguments.
const MAX_BYTES: usize = 256 * 1024;
/// Violations that are named.
const MAX_VIOLATIONS: usize = 5;
/// Bytes of a violation in words.
const MAX_VIOLATION: usize = 300;
/// Compiled schemas that are kept; beyond, all are compiled anew.
const MAX_KEPT: usize = 1024;
/// Steps of a `pattern`, against patterns that are made to take for ever.
const MAX_BACKTRACKS: usize = 100_000;

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
    let validator = validator(&spec.parameters)
        .map_err(|it| format!("the tool {} cannot be called: {it}", spec.name))?;
    let mut violations = validator.iter_errors(value);
    let named: Vec<_> =
        violations.by_ref().take(MAX_VIOLATIONS).map(|it| told(&it, spec)).collect();
    if named.is_empty() {
        return Ok(());
    }
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
    let options = jsonschema::options()
        .with_retriever(Nothing)
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS));
    let built = options.build(schema).map_err(|it| {
        let mut words = format!("its schema cannot be used: {}", it.masked());
        crate::cut(&mut words, MAX_VIOLATION);
        words
    })?;
    let built = Arc::new(built);
    let mut kept = kept();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(key, Arc::clone(&built));
    Ok(built)
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
            json!({"properties": {"a": {"pattern": "("}}}),
        ] {
            let error = validator(&schema).unwrap_err();
            assert!(error.starts_with("its schema cannot be used"), "{error}");
        }
    }
}
