//! A person's hands on a keyboard, as trusted events: what a script of the page
//! could make itself is not asked.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Browser;

/// Keys that are held, as the `DevTools` protocol counts them; several are
/// joined with `|`.
pub const ALT: u8 = 1;
/// See [`ALT`].
pub const CONTROL: u8 = 2;
/// See [`ALT`].
pub const META: u8 = 4;
/// See [`ALT`].
pub const SHIFT: u8 = 8;

/// Keys that have a name: it, its number, and what it writes.
const NAMED: [(&str, u32, &str); 14] = [
    ("Enter", 13, "\r"),
    ("Tab", 9, ""),
    ("Escape", 27, ""),
    ("Backspace", 8, ""),
    ("Delete", 46, ""),
    ("Home", 36, ""),
    ("End", 35, ""),
    ("PageUp", 33, ""),
    ("PageDown", 34, ""),
    ("ArrowLeft", 37, ""),
    ("ArrowUp", 38, ""),
    ("ArrowRight", 39, ""),
    ("ArrowDown", 40, ""),
    ("F2", 113, ""),
];

impl Browser {
    /// Presses a key where the focus is: a character, or a name such as `Enter`
    /// or `ArrowUp`, as `KeyboardEvent.key` has it.
    pub async fn press(&self, key: &str, modifiers: u8) -> Result<()> {
        let (code, number, text) = describe(key)?;
        let writes = modifiers & (ALT | CONTROL | META) == 0 && !text.is_empty();
        let down = if writes { "keyDown" } else { "rawKeyDown" };
        let text = if writes { text.as_str() } else { "" };
        for (kind, text) in [(down, text), ("keyUp", "")] {
            let event = json!({
                "type": kind, "key": key, "code": code, "text": text,
                "windowsVirtualKeyCode": number, "modifiers": modifiers,
            });
            self.devtools("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Writes a text where the focus is, at once.
    pub async fn type_text(&self, text: &str) -> Result<()> {
        self.devtools("Input.insertText", json!({ "text": text })).await?;
        Ok(())
    }

    /// Shows a text that is still being composed where the focus is, as an input
    /// method for Chinese does before a word is chosen; [`Browser::type_text`]
    /// chooses.
    pub async fn compose(&self, text: &str) -> Result<()> {
        let end = text.encode_utf16().count();
        let composing = json!({ "text": text, "selectionStart": end, "selectionEnd": end });
        self.devtools("Input.imeSetComposition", composing).await?;
        Ok(())
    }
}

/// A key's place on the keyboard, its number, and what it writes.
fn describe(key: &str) -> Result<(String, u32, String)> {
    if let Some((name, number, text)) = NAMED.iter().find(|it| it.0 == key) {
        return Ok(((*name).to_owned(), *number, (*text).to_owned()));
    }
    let mut letters = key.chars();
    let single = letters.next().filter(|_| letters.next().is_none());
    let letter = single.with_context(|| format!("{key:?} is no key that is known here"))?;
    let code = match letter {
        ' ' => "Space".to_owned(),
        '0'..='9' => format!("Digit{letter}"),
        _ if letter.is_ascii_alphabetic() => format!("Key{}", letter.to_ascii_uppercase()),
        _ => String::new(),
    };
    let number = if code.is_empty() { 0 } else { u32::from(letter.to_ascii_uppercase()) };
    Ok((code, number, key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_name_or_one_character() {
        let key = |code: &str, number, text: &str| (code.to_owned(), number, text.to_owned());
        assert_eq!(describe("Enter").unwrap(), key("Enter", 13, "\r"));
        assert_eq!(describe("a").unwrap(), key("KeyA", 65, "a"));
        assert_eq!(describe("7").unwrap(), key("Digit7", 55, "7"));
        assert_eq!(describe(" ").unwrap(), key("Space", 32, " "));
        assert_eq!(describe("/").unwrap(), key("", 0, "/"));
        assert!(describe("Enterr").is_err() && describe("").is_err());
    }
}
