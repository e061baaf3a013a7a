//! A tool's result as a text for the model.
//!
//! Bytes are named and counted, never passed on: a model cannot read them here.

use rmcp::model::{CallToolResult, ContentBlock, Resource, ResourceContents};
use serde_json::Value;

/// The most of a result that goes further, in bytes.
///
/// What arrives is bounded before: a message of more than [`super::MAX_MESSAGE`]
/// bytes breaks its connection (16 MiB, rmcp's own bound, for an HTTP answer
/// that is no event stream). rmcp holds one such message whole, and while it is
/// parsed a few times.
const MAX_TEXT: usize = 1024 * 1024;

/// Everything that the result says.
pub(super) fn text(result: &CallToolResult) -> String {
    let mut text = String::new();
    let mut told = false;
    for block in &result.content {
        if !text.is_empty() {
            text.push('\n');
        }
        if let (ContentBlock::Text(said), Some(value)) = (block, &result.structured_content) {
            told = told || serde_json::from_str::<Value>(&said.text).is_ok_and(|it| it == *value);
        }
        add(&mut text, block);
        if text.len() > MAX_TEXT {
            break;
        }
    }
    if let Some(value) = result.structured_content.as_ref().filter(|_| !told) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&value.to_string());
    }
    crate::cut(&mut text, MAX_TEXT);
    text
}

fn add(text: &mut String, block: &ContentBlock) {
    match block {
        ContentBlock::Text(said) => text.push_str(&said.text),
        ContentBlock::Image(it) => text.push_str(&bytes("image", &it.mime_type, &it.data)),
        ContentBlock::Audio(it) => text.push_str(&bytes("audio", &it.mime_type, &it.data)),
        ContentBlock::ResourceLink(link) => text.push_str(&linked(link)),
        ContentBlock::Resource(it) => match &it.resource {
            ResourceContents::TextResourceContents { uri, text: said, .. } => {
                text.push_str("[resource ");
                text.push_str(uri);
                text.push_str("]\n");
                text.push_str(said);
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().unwrap_or("of unknown type");
                text.push_str(&bytes(&format!("resource {uri}"), kind, blob));
            }
            other => text.push_str(&unknown(other)),
        },
        other => text.push_str(&unknown(other)),
    }
}

/// A note in the place of Base64.
fn bytes(what: &str, kind: &str, base64: &str) -> String {
    let padding = base64.bytes().rev().take_while(|it| *it == b'=').count();
    let bytes = (base64.len() - padding) * 3 / 4;
    format!("[{what}, {kind}, {bytes} bytes, not shown]")
}

fn linked(link: &Resource) -> String {
    let kind = link.mime_type.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
    let about = link.description.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    format!("[resource {} at {}{kind}{about}]", link.name, link.uri)
}

/// A kind of content that came after this was written.
fn unknown(content: &impl serde::Serialize) -> String {
    let bytes = serde_json::to_vec(content).map_or(0, |it| it.len());
    format!("[content of an unknown kind, {bytes} bytes, not shown]")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_content_is_told_and_bytes_are_only_named() {
        for (content, told) in [
            (json!({"type": "text", "text": "hello"}), "hello"),
            (
                json!({"type": "image", "data": "AAAA", "mimeType": "image/png"}),
                "[image, image/png, 3 bytes, not shown]",
            ),
            (
                json!({"type": "audio", "data": "AA==", "mimeType": "audio/wav"}),
                "[audio, audio/wav, 1 bytes, not shown]",
            ),
            (
                json!({"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}),
                "[resource a:b]\ninside",
            ),
            (
                json!({"type": "resource", "resource": {"uri": "a:b", "blob": "AAA="}}),
                "[resource a:b, of unknown type, 2 bytes, not shown]",
            ),
            (
                json!({"type": "resource_link", "uri": "a:b", "name": "n", "mimeType": "text/csv",
                       "description": "d"}),
                "[resource n at a:b, text/csv: d]",
            ),
        ] {
            let result = json!({ "content": [content] });
            let result: CallToolResult = serde_json::from_value(result).unwrap();
            assert_eq!(text(&result), told);
        }
    }

    #[test]
    fn structured_content_is_told_once() {
        let value = json!({"a": 1, "b": [2]});
        let mut result = CallToolResult::structured(value.clone());
        assert_eq!(text(&result), value.to_string());
        result.content = vec![ContentBlock::text("see below")];
        assert_eq!(text(&result), format!("see below\n{value}"));
    }

    #[test]
    fn what_is_longer_than_a_mebibyte_is_cut_between_characters() {
        let said = "語".repeat(MAX_TEXT);
        let result = CallToolResult::success(vec![ContentBlock::text(said)]);
        let text = text(&result);
        assert!(text.len() < MAX_TEXT + 64);
        assert!(text.ends_with("bytes left out)"));
    }
}
