//! The page's files as they are sent: compiled in, under a version that is
//! another one as soon as a file is, without their comments, each compressed
//! once, when it is first asked for. Knows no kind of file that the page has no
//! use for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

/// What this program serves.
pub(super) static PAGE: LazyLock<Page> = LazyLock::new(|| Page::new(embedded()));

const INDEX: &str = "index.html";
/// What stands in the index for the version, and for the links by which a
/// browser loads all modules at once: it would learn of each by its importer.
const VERSION: &str = "{{version}}";
const PRELOAD: &str = "{{preload}}";

/// What every script of the page is.
const MODULE: &str = "text/javascript; charset=utf-8";

#[derive(RustEmbed)]
#[folder = "page/"]
struct Embedded;

/// All files.
#[derive(Debug)]
pub(super) struct Page {
    /// Where files that never change are: `/page/{version}/…`.
    pub(super) version: String,
    pub(super) index: File,
    files: BTreeMap<String, File>,
}

impl Page {
    fn new(files: BTreeMap<String, Bytes>) -> Self {
        let sent = |(name, bytes): (String, Bytes)| {
            let bytes = if name == INDEX { bytes } else { code(&bytes) };
            (name, bytes)
        };
        let files = files.into_iter().map(sent).collect();
        let version = version(&files);
        let index = index(&files, &version);
        let served = files.into_iter().filter(|(name, _)| name != INDEX);
        let files = served.filter_map(|(name, bytes)| {
            let file = File::new(kind(&name)?, bytes);
            Some((name, file))
        });
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        Self { version, index: File::new(html, index.into()), files: files.collect() }
    }

    /// The file at a path below the version.
    pub(super) fn file(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }
}

/// One file, in both its forms.
#[derive(Debug)]
pub(super) struct File {
    pub(super) kind: HeaderValue,
    hash: String,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl File {
    fn new(kind: HeaderValue, plain: Bytes) -> Self {
        let hash = digits(&Sha256::digest(&plain), 12);
        Self { kind, hash, plain, gzip: OnceLock::new() }
    }

    /// The bytes in one form.
    pub(super) fn bytes(&self, compressed: bool) -> Bytes {
        let bytes =
            if compressed { self.gzip.get_or_init(|| gzip(&self.plain)) } else { &self.plain };
        bytes.clone()
    }

    /// The entity tag of one form: other bytes, another tag (RFC 9110, 8.8.3.3).
    pub(super) fn tag(&self, compressed: bool) -> HeaderValue {
        let form = if compressed { "-gzip" } else { "" };
        HeaderValue::try_from(format!("\"{}{form}\"", self.hash))
            .expect("hexadecimal digits and letters between quotes are a header value")
    }
}

fn embedded() -> BTreeMap<String, Bytes> {
    let files = Embedded::iter().filter_map(|name| {
        let bytes = match Embedded::get(&name)?.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Some((name.into_owned(), bytes))
    });
    files.collect()
}

/// Of what is sent, not of what it is made from: it is kept under this name.
fn version(files: &BTreeMap<String, Bytes>) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            // Each by its own hash: else a name could run on into a file.
            hash.update(Sha256::digest(part));
        }
    }
    digits(&hash.finalize(), 8)
}

/// The index with its places filled. Modules that it names itself are loaded
/// without a link.
fn index(files: &BTreeMap<String, Bytes>, version: &str) -> String {
    let text = files.get(INDEX).map_or(Cow::default(), |it| String::from_utf8_lossy(it));
    let modules = files.keys().filter(|it| kind(it).is_some_and(|it| it == MODULE));
    let unnamed = modules.filter(|it| !text.contains(&format!("{VERSION}/{it}\"")));
    let link = |name| format!("<link rel=\"modulepreload\" href=\"/page/{VERSION}/{name}\">");
    let links: Vec<_> = unnamed.map(link).collect();
    text.replace(PRELOAD, &links.join("\n")).replace(VERSION, version)
}

fn kind(name: &str) -> Option<HeaderValue> {
    let kind = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => MODULE,
        "svg" => "image/svg+xml",
        _ => return None,
    };
    Some(HeaderValue::from_static(kind))
}

/// Code in its lines, but those empty that only have a comment: who reads it has
/// the sources, and a fifth of all that is sent would be words. A text in code
/// that goes over several lines must have none that begins like a comment.
fn code(source: &[u8]) -> Bytes {
    let mut within = false;
    let lines = String::from_utf8_lossy(source);
    let lines = lines.split_inclusive('\n').map(|line| {
        let text = line.trim();
        let end = text.find("*/").map(|at| at + 2);
        let opens = !within && text.starts_with("/*");
        let alone = end.is_none_or(|at| at == text.len());
        if within || opens && alone {
            within = end.is_none();
            // What follows the end of a comment is code.
            let rest = end.and_then(|at| line.trim_start().get(at..));
            return rest.unwrap_or("\n");
        }
        if text.starts_with("//") { "\n" } else { line }
    });
    lines.collect::<String>().into()
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.expect("a vector takes every write").into()
}

fn digits(hash: &[u8], bytes: usize) -> String {
    let digits: Vec<_> = hash.iter().take(bytes).map(|it| format!("{it:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(files: &[(&str, &'static str)]) -> Page {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        Page::new(files.iter().map(|(name, text)| ((*name).to_owned(), bytes(text))).collect())
    }

    #[test]
    fn the_index_names_the_version_and_every_module_once_in_order() {
        let html = "<script src=\"/page/{{version}}/app.js\"></script>\n{{preload}}\n";
        let files =
            [("index.html", html), ("z.js", ""), ("app.js", ""), ("a/b.js", ""), ("c.css", "")];
        let page = page(&files);
        let version = &page.version;
        let expected = format!(
            "<script src=\"/page/{version}/app.js\"></script>\n\
             <link rel=\"modulepreload\" href=\"/page/{version}/a/b.js\">\n\
             <link rel=\"modulepreload\" href=\"/page/{version}/z.js\">\n"
        );
        assert_eq!(page.index.bytes(false), expected);
    }

    #[test]
    fn any_change_of_what_is_sent_makes_another_version_and_no_change_none() {
        let first = [("index.html", "i"), ("ab.js", "c")];
        let told = |it| page(&[("index.html", "i"), ("ab.js", it)]).version;
        assert_eq!(told("a;\n// one\n"), told("a;\n// another\n"));
        let versions = [
            &[("index.html", "i"), ("a.js", "bc")][..],
            &[("index.html", "i"), ("ab.js", "d")],
            &[("index.html", "j"), ("ab.js", "c")],
            &[("index.html", "i"), ("ab.js", "c"), ("e.css", "")],
        ]
        .map(|it| page(it).version);
        assert_eq!(page(&first).version, page(&first).version);
        assert!(versions.iter().all(|it| *it != page(&first).version));
    }

    #[test]
    fn code_keeps_its_lines_and_loses_those_of_comments() {
        for (source, expected) in [
            ("a;\n// b\n  // c\nd;\n", "a;\n\n\nd;\n"),
            ("/** b */\na;\n", "\na;\n"),
            ("/**\n * b\n */\na;", "\n\n\na;"),
            ("/* b\n c */ a;\n", "\n a;\n"),
            ("/* b */ a; // c\n", "/* b */ a; // c\n"),
            ("a = 'https://b'; /* c */\n", "a = 'https://b'; /* c */\n"),
            ("a = 1 /* b\n", "a = 1 /* b\n"),
            ("", ""),
        ] {
            assert_eq!(code(source.as_bytes()), expected, "{source}");
        }
    }

    #[test]
    fn what_the_page_has_no_use_for_is_not_served() {
        let page = page(&[("index.html", "i"), (".gitignore", "x"), ("a.md", "x"), ("b.JS", "x")]);
        for name in ["index.html", ".gitignore", "a.md", "b.JS", ""] {
            assert!(page.file(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_index_that_is_served_has_no_place_left_open() {
        let index = String::from_utf8(PAGE.index.bytes(false).into()).unwrap();
        assert!(!index.contains("{{"), "{index}");
        assert!(index.contains("modulepreload") && index.contains(&PAGE.version), "{index}");
    }
}
