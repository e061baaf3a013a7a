//! How many attributes the tags of a page have: reading one compares it with
//! those before it.
//!
//! Looks at whatever may be a tag, in scripts and comments, too. Refuses a tag
//! with too many, and a page of beginnings without end.

/// The most attributes of a tag.
pub(super) const MAX_ATTRIBUTES: usize = 256;

/// How often a byte of a page is looked at, over all, and what is free.
const LOOKS: usize = 16;
const FREE: usize = 64 * 1024;

/// Refuses a page whose tags take too long to read.
pub(super) fn check(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let mut left = FREE.saturating_add(bytes.len().saturating_mul(LOOKS));
    for at in bytes.iter().enumerate().filter(|(_, it)| **it == b'<').map(|(at, _)| at + 1) {
        let rest = bytes[at..].strip_prefix(b"/").unwrap_or(&bytes[at..]);
        if !rest.first().is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        let (attributes, length) = tag(rest);
        if attributes > MAX_ATTRIBUTES {
            return Err(format!("has a tag of more than {MAX_ATTRIBUTES} attributes"));
        }
        left = left.checked_sub(length).ok_or("has too many tags that do not end")?;
    }
    Ok(())
}

/// The attributes of the tag with this name and what follows it, as far as they
/// are not too many, and how far it goes.
fn tag(bytes: &[u8]) -> (usize, usize) {
    let mut rest = after(bytes, |it| is_space(it) || matches!(it, b'/' | b'>'));
    let mut attributes = 0;
    while attributes <= MAX_ATTRIBUTES {
        rest = after(rest, |it| !is_space(it) && it != b'/');
        let [first, name @ ..] = rest else { break };
        if *first == b'>' {
            break;
        }
        attributes += 1;
        // An equals sign where a name begins is part of it.
        let named = after(name, |it| is_space(it) || matches!(it, b'/' | b'>' | b'='));
        rest = match after(named, |it| !is_space(it)) {
            [b'=', value @ ..] => after_value(after(value, |it| !is_space(it))),
            other => other,
        };
    }
    (attributes, bytes.len() - rest.len())
}

fn after_value(value: &[u8]) -> &[u8] {
    match value {
        [quote @ (b'"' | b'\''), inside @ ..] => {
            let end = after(inside, |it| it == *quote);
            end.get(1..).unwrap_or_default()
        }
        _ => after(value, |it| is_space(it) || it == b'>'),
    }
}

/// What is left from the first byte of this kind.
fn after(bytes: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|it| ends(*it)).unwrap_or(bytes.len());
    &bytes[end..]
}

fn is_space(byte: u8) -> bool {
    b" \t\n\r\x0C".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize, value: &str) -> String {
        (0..count).map(|number| format!("a{number}{value} ")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_tag_has_so_many_attributes_and_no_more_however_it_hides_them() {
        for value in ["", "=1", "=\">\"", "='>' ", " = \"'>\"/", "=\"</div>\""] {
            for begin in ["<p>x<div ", "</p ", "<!-- --><b/", "<script>\"</script><i\n"] {
                let page = |count| format!("{begin}{}>text", named(count, value));
                check(&page(MAX_ATTRIBUTES)).unwrap();
                let refused = check(&page(MAX_ATTRIBUTES + 1)).unwrap_err();
                assert!(refused.contains("256 attributes"), "{refused}");
            }
        }
    }

    #[test]
    fn a_long_value_is_one_attribute_and_endless_beginnings_are_refused() {
        let picture = format!("<img src=\"data:,{}\"> 1 < 2 <3", "x ".repeat(500_000));
        check(&picture).unwrap();
        let endless = "<a b=\"".to_owned() + &"<a b='<a b=\"".repeat(50_000);
        check(&endless.replace(['"', '\''], "")).unwrap_err();
        check("<").unwrap();
        check("<a b=\"").unwrap();
    }
}
