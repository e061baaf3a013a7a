//! A schema as its parts: which apply at the same place of a value, which to
//! what is inside of it, and where its references lead.
//!
//! Refuses what cannot be counted: references out of it, schemas with names of
//! their own in it, and such as come back to themselves at one place.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Parts that apply at one place of a value, with all that they refer to.
const MAX_EXPANDED: usize = 10_000;
/// References and combinations within each other at one place.
const MAX_NESTED: usize = 64;
/// Patterns.
const MAX_PATTERNS: usize = 64;

/// Keywords with a part that applies at the same place.
const ONE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords with several.
const SEVERAL: [&str; 5] = ["allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"];
/// Keywords that say where else to look.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A schema that was looked through.
pub(super) struct Schema<'a> {
    pub(super) root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
}

impl<'a> Schema<'a> {
    /// Looks through it. The error says why checking a value against it might
    /// take for ever.
    pub(super) fn new(root: &'a Value) -> Result<Self, String> {
        let mut schema = Self { root, anchors: HashMap::new() };
        let mut objects = Vec::new();
        collect(root, &mut objects);
        let patterns: usize = objects.iter().map(|it| patterns(it)).sum();
        if patterns > MAX_PATTERNS {
            return Err(format!("it has {patterns} patterns; at most {MAX_PATTERNS} are allowed"));
        }
        for object in &objects {
            schema.name(object)?;
        }
        let mut counted = HashMap::new();
        for object in objects {
            schema.expanded(object, 0, &mut counted)?;
        }
        Ok(schema)
    }

    /// Takes the names that references may use.
    fn name(&mut self, object: &'a Value) -> Result<(), String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let id = if self.old() { text("id") } else { None }.or_else(|| text("$id"));
        let local = id.and_then(|it| it.strip_prefix('#')).filter(|it| !it.is_empty());
        if id.is_some() && local.is_none() && !std::ptr::eq(object, self.root) {
            return Err("a part of it has an `$id` of its own, which is not followed".to_owned());
        }
        for name in [text("$anchor"), text("$dynamicAnchor"), local].into_iter().flatten() {
            let other = self.anchors.insert(name, object);
            if other.is_some_and(|it| !std::ptr::eq(it, object)) {
                return Err("two parts of it have one name".to_owned());
            }
        }
        Ok(())
    }

    /// Whether it is so old that ids are called otherwise.
    fn old(&self) -> bool {
        let dialect = self.root.get("$schema").and_then(Value::as_str);
        dialect.is_some_and(|it| it.contains("draft-04"))
    }

    /// The parts that apply where this one does.
    pub(super) fn here(&self, part: &'a Map<String, Value>) -> Result<Vec<&'a Value>, String> {
        let mut parts: Vec<_> = ONE.iter().filter_map(|it| part.get(*it)).collect();
        for value in SEVERAL.iter().filter_map(|it| part.get(*it)) {
            match value {
                Value::Array(all) => parts.extend(all),
                Value::Object(all) => parts.extend(all.values()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        for reference in REFERENCES.iter().filter_map(|it| part.get(*it)?.as_str()) {
            parts.push(self.target(reference)?);
        }
        Ok(parts)
    }

    /// What a reference means.
    fn target(&self, reference: &str) -> Result<&'a Value, String> {
        let outside = || "a reference leads outside of it, or to nothing".to_owned();
        let own = self.root.get("$id").and_then(Value::as_str).map(|it| it.trim_end_matches('#'));
        let inner = own.and_then(|it| reference.strip_prefix(it)).unwrap_or(reference);
        if inner.is_empty() {
            return Ok(self.root);
        }
        let place = decoded(inner.strip_prefix('#').ok_or_else(outside)?).ok_or_else(outside)?;
        if place.is_empty() || place.starts_with('/') {
            return self.root.pointer(&place).ok_or_else(outside);
        }
        self.anchors.get(place.as_str()).copied().ok_or_else(outside)
    }

    /// How many parts apply at one place with this one.
    fn expanded(
        &self,
        part: &'a Value,
        nested: usize,
        counted: &mut HashMap<*const Value, Option<usize>>,
    ) -> Result<usize, String> {
        let Value::Object(members) = part else {
            return Ok(1);
        };
        if nested > MAX_NESTED {
            return Err(format!("more than {MAX_NESTED} parts of it stand within each other"));
        }
        match counted.insert(part, None) {
            None => {}
            Some(None) => return Err("a part of it leads back to itself at one place".to_owned()),
            Some(Some(known)) => {
                counted.insert(part, Some(known));
                return Ok(known);
            }
        }
        let mut sum = 1;
        for inner in self.here(members)? {
            sum += self.expanded(inner, nested + 1, counted)?;
            if sum > MAX_EXPANDED {
                return Err(format!(
                    "with all that it refers to, it has more than {MAX_EXPANDED} parts at one place"
                ));
            }
        }
        counted.insert(part, Some(sum));
        Ok(sum)
    }
}

/// All objects in a value, those that are no schemas as well.
fn collect<'a>(value: &'a Value, objects: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            objects.push(value);
            members.values().for_each(|it| collect(it, objects));
        }
        Value::Array(all) => all.iter().for_each(|it| collect(it, objects)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn patterns(object: &Value) -> usize {
    let one = usize::from(object.get("pattern").is_some_and(Value::is_string));
    let several = object.get("patternProperties").and_then(Value::as_object);
    one + several.map_or(0, Map::len)
}

/// A reference without its percent signs.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2)?;
        rest = more;
        bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
