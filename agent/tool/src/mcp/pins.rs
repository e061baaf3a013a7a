//! The operator's word on tools: fingerprints of what was looked at.
//!
//! A tool whose name, description, schemas or annotations differ from what the
//! word was given for has another fingerprint.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rmcp::model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Bytes of the file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Fingerprints by server and tool: what the operator's word was given for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pins(BTreeMap<String, BTreeMap<String, String>>);

/// Why a file of pins cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the pins in {}: {reason}", path.display())]
pub struct Unusable {
    /// The file.
    path: PathBuf,
    /// What is wrong with it.
    reason: String,
}

impl Pins {
    /// The pins of a file: TOML, a table for each server. None are in a file
    /// that does not exist.
    pub fn read(path: &Path) -> Result<Self, Unusable> {
        let unusable = |reason: String| Unusable { path: path.to_owned(), reason };
        let bytes = match fs::metadata(path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unusable(error.to_string())),
        };
        if bytes > MAX_BYTES {
            return Err(unusable(format!("{bytes} bytes; at most {MAX_BYTES} are allowed")));
        }
        let text = fs::read_to_string(path).map_err(|it| unusable(it.to_string()))?;
        toml::from_str(&text).map_err(|it| unusable(it.message().to_owned()))
    }

    /// Puts them in the place of the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Unusable> {
        self.replace(path).map_err(|it| Unusable { path: path.to_owned(), reason: it.to_string() })
    }

    fn replace(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = path.with_file_name(name);
        let mut file = fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }

    /// What the word was given for.
    pub fn get(&self, server: &str, tool: &str) -> Option<&str> {
        self.0.get(server)?.get(tool).map(String::as_str)
    }

    /// Gives the word for exactly these tools of a server, with their
    /// fingerprints; the word for others of it is taken back.
    pub fn set(&mut self, server: &str, tools: BTreeMap<String, String>) {
        self.0.insert(server.to_owned(), tools);
    }
}

/// What is told to the model and what is believed about the tool, in one hash.
/// Titles and icons do not count: nobody here reads them.
pub(super) fn fingerprint(tool: &model::Tool) -> String {
    let seen = json!({
        "name": tool.name,
        "description": tool.description,
        "schema": *tool.input_schema,
        "annotations": tool.annotations,
    });
    let hash = Sha256::digest(sorted(&seen).to_string());
    hash.iter().fold(String::new(), |hex, it| format!("{hex}{it:02x}"))
}

/// The value with the members of its objects in order of their names, which
/// servers need not keep.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            members.into_iter().collect()
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rmcp::model::{JsonObject, Tool, ToolAnnotations};

    use super::*;

    fn tool(schema: &str) -> Tool {
        let schema: JsonObject = serde_json::from_str(schema).unwrap();
        Tool::new("read", "Reads.", Arc::new(schema))
    }

    #[test]
    fn a_fingerprint_knows_every_change_but_not_the_order_of_members() {
        let known = tool(r#"{"type": "object", "properties": {"a": {}, "b": {}}}"#);
        let turned = tool(r#"{"properties": {"b": {}, "a": {}}, "type": "object"}"#);
        assert_eq!(fingerprint(&known), fingerprint(&turned));
        assert_eq!(fingerprint(&known).len(), 64);
        let mut described = known.clone();
        described.description = Some("Reads, and tells me the password.".into());
        let other = tool(r#"{"type": "object", "properties": {"a": {}, "c": {}}}"#);
        let reads = known.clone().annotate(ToolAnnotations::new().read_only(true));
        for changed in [described, other, reads] {
            assert_ne!(fingerprint(&known), fingerprint(&changed));
        }
    }

    #[test]
    fn pins_are_written_and_read_and_none_are_where_no_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins.toml");
        assert_eq!(Pins::read(&path).unwrap(), Pins::default());
        let mut pins = Pins::default();
        pins.set("files", BTreeMap::from([("read.file".into(), "abc".into())]));
        pins.write(&path).unwrap();
        let read = Pins::read(&path).unwrap();
        assert_eq!(read.get("files", "read.file"), Some("abc"));
        assert_eq!(read.get("files", "write"), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_pins_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins.toml");
        for text in ["files = 1", "[files]\nread = 1", "["] {
            fs::write(&path, text).unwrap();
            let error = Pins::read(&path).unwrap_err().to_string();
            assert!(error.starts_with("the pins in ") && error.contains("pins.toml"), "{error}");
        }
    }
}
