//! What checking a value against a schema costs, counted before it is done.
//!
//! A recursive schema is harmless for most values and takes for ever for some:
//! only with the value can it be told.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::schema::Schema;

/// Steps of a check. A step is some comparisons, far less than a microsecond.
pub(super) const MAX_STEPS: u64 = 1_000_000;
/// Parts of the schema within each other, from the outermost value to the
/// innermost.
const MAX_NESTED: usize = 400;
/// The states of a pattern that its engine looks at in one step.
const STATES: u64 = 32;
/// The most states that a compiled pattern has.
const MAX_STATES: u64 = 1 << 14;

/// More steps than allowed, or deeper.
pub(super) struct TooMany;

/// What a check costs, at most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps {
    /// To say whether the value fits.
    pub(super) check: u64,
    /// To say all that does not fit: what is combined is checked first, and
    /// then asked for its reasons.
    pub(super) tell: u64,
}

impl Steps {
    fn one(steps: u64) -> Self {
        Self { check: steps, tell: steps }
    }

    fn and(self, other: Self) -> Self {
        Self {
            check: self.check.saturating_add(other.check),
            tell: self.tell.saturating_add(other.tell),
        }
    }
}

/// Counts the steps of checking this value.
pub(super) fn count(schema: &Schema<'_>, value: &Value) -> Result<Steps, TooMany> {
    let mut count = Count { schema, known: HashMap::new(), left: MAX_STEPS };
    count.steps(schema.root, value, 0)
}

struct Count<'s, 'a> {
    schema: &'s Schema<'a>,
    /// By part of the schema and place in the value.
    known: HashMap<(*const Value, *const Value), Steps>,
    /// What counting itself may take.
    left: u64,
}

impl<'a> Count<'_, 'a> {
    fn steps(&mut self, part: &'a Value, value: &Value, nested: usize) -> Result<Steps, TooMany> {
        let Value::Object(members) = part else {
            return Ok(Steps::one(1));
        };
        let key = (std::ptr::from_ref(part), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        if nested > MAX_NESTED {
            return Err(TooMany);
        }
        let own = own(members, value);
        self.left = self.left.checked_sub(own).ok_or(TooMany)?;
        let mut here = Steps::default();
        for inner in self.schema.here(members).map_err(|_unknown| TooMany)? {
            here = here.and(self.steps(inner, value, nested + 1)?);
        }
        here.tell = here.tell.saturating_add(here.check);
        let rest = ["unevaluatedProperties", "unevaluatedItems"];
        if rest.iter().any(|it| members.contains_key(*it)) {
            // It asks all that is combined again for what it has looked at.
            here.check = here.check.saturating_add(here.tell);
            here.tell = here.tell.saturating_add(here.check);
        }
        let inside = self.inside(members, value, nested + 1)?;
        let sum = Steps::one(own).and(here).and(inside);
        self.known.insert(key, sum);
        Ok(sum)
    }

    /// What is inside of the value.
    fn inside(
        &mut self,
        part: &'a Map<String, Value>,
        value: &Value,
        nested: usize,
    ) -> Result<Steps, TooMany> {
        let mut sum = Steps::default();
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    for inner in for_member(part, name) {
                        sum = sum.and(self.steps(inner, member, nested)?);
                    }
                }
                sum = sum.and(self.names(part, members, nested)?);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    for inner in for_item(part, index) {
                        sum = sum.and(self.steps(inner, item, nested)?);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(sum)
    }

    /// The names of the members, which are values to `propertyNames`.
    fn names(
        &mut self,
        part: &'a Map<String, Value>,
        members: &Map<String, Value>,
        nested: usize,
    ) -> Result<Steps, TooMany> {
        let mut sum = Steps::default();
        let Some(inner) = part.get("propertyNames") else {
            return Ok(sum);
        };
        for name in members.keys() {
            let name = Value::String(name.clone());
            // The place of the name means another at once.
            let mut count = Count { schema: self.schema, known: HashMap::new(), left: self.left };
            sum = sum.and(count.steps(inner, &name, nested)?);
            self.left = count.left;
        }
        Ok(sum)
    }
}

/// The parts that may apply to a member of an object.
fn for_member<'a>(part: &'a Map<String, Value>, name: &str) -> Vec<&'a Value> {
    let map = |key: &str| part.get(key).and_then(Value::as_object);
    let named = map("properties").and_then(|it| it.get(name));
    let mut parts: Vec<_> = named.into_iter().collect();
    parts.extend(map("patternProperties").into_iter().flat_map(Map::values));
    if named.is_none() {
        parts.extend(part.get("additionalProperties"));
    }
    parts.extend(part.get("unevaluatedProperties"));
    parts
}

/// The parts that may apply to an item of an array.
fn for_item(part: &Map<String, Value>, index: usize) -> Vec<&Value> {
    let mut parts = Vec::new();
    for key in ["items", "prefixItems"] {
        match part.get(key) {
            Some(Value::Array(all)) => parts.extend(all.get(index)),
            Some(other) => parts.push(other),
            None => {}
        }
    }
    let others = ["additionalItems", "contains", "unevaluatedItems"];
    parts.extend(others.iter().filter_map(|it| part.get(*it)));
    parts
}

/// What a part itself costs.
fn own(part: &Map<String, Value>, value: &Value) -> u64 {
    let mut sum: u64 = 1;
    for said in part.values() {
        sum += match said {
            Value::Array(all) => wide(all.len()),
            Value::Object(all) => wide(all.len()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        };
    }
    let patterns = part.get("patternProperties").and_then(Value::as_object);
    let inside: u64 = match value {
        Value::Object(members) => {
            let names: u64 = members.keys().map(|it| 16 + wide(it.len())).sum();
            let each = |it: &String| (states(it) / STATES + 1).saturating_mul(names);
            wide(members.len()) + patterns.into_iter().flat_map(Map::keys).map(each).sum::<u64>()
        }
        // Whether they are unique is asked of pairs, more or less.
        Value::Array(items) if part.contains_key("uniqueItems") => 16 * wide(items.len()),
        Value::Array(items) => wide(items.len()),
        Value::String(text) => {
            let pattern = part.get("pattern").and_then(Value::as_str).map_or(0, states);
            (pattern + 8).saturating_mul(wide(text.len())) / STATES
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    sum.saturating_add(inside)
}

/// The states of a pattern, more or less: what is counted is repeated.
fn states(pattern: &str) -> u64 {
    let counts = pattern.split('{').skip(1).filter_map(|it| {
        let (count, _) = it.split_once('}')?;
        count.split(',').filter_map(|it| it.trim().parse::<u64>().ok()).max()
    });
    let repeated = counts.fold(1, |all: u64, it| all.saturating_mul(it.max(1)));
    wide(pattern.len()).saturating_add(repeated).min(MAX_STATES)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
