//! What the bytes that a page shows in a font mean.

use encoding_rs::{BIG5, EUC_JP, EUC_KR, GB18030, SHIFT_JIS, UTF_16BE};
use lopdf::{Dictionary, Document, Encoding, Object};

/// A font, as far as its text can be read.
#[derive(Debug)]
pub(super) enum Font<'a> {
    /// By its table, or one of the well-known ones.
    Table(Encoding<'a>),
    /// In an encoding of East Asian text.
    Asian(&'static encoding_rs::Encoding),
    /// Only its pictures are known.
    Unreadable,
}

impl<'a> Font<'a> {
    /// A font's entries without those that mislead: its own table says more
    /// than the name of its encoding.
    pub(super) fn plain(font: &Dictionary) -> Dictionary {
        let mut font = font.clone();
        if font.has(b"ToUnicode") {
            font.remove(b"Encoding");
        }
        font
    }

    pub(super) fn new(font: &'a Dictionary, document: &'a Document, limit: usize) -> Self {
        let composite =
            font.get(b"Subtype").and_then(Object::as_name).is_ok_and(|it| it == b"Type0");
        if composite && !font.has(b"ToUnicode") {
            let name = font.get_deref(b"Encoding", document).and_then(Object::as_name);
            let encoding = name.ok().and_then(asian);
            return encoding.map_or(Self::Unreadable, Self::Asian);
        }
        match font.get_font_encoding_with_limit(document, limit) {
            // The table was broken, and the reader fell back to Latin letters.
            Ok(Encoding::OneByteEncoding(_)) if composite => Self::Unreadable,
            Ok(encoding) => Self::Table(encoding),
            Err(_unreadable) => Self::Unreadable,
        }
    }

    /// What these bytes say.
    pub(super) fn text(&self, bytes: &[u8]) -> String {
        let text = match self {
            Self::Table(encoding) => encoding.bytes_to_string(bytes).unwrap_or_default(),
            Self::Asian(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Unreadable => String::new(),
        };
        text.replace(|it: char| it.is_control() || it == char::REPLACEMENT_CHARACTER, "")
    }
}

/// The encoding behind the name of a predefined table (PDF 32000-1, 9.7.5.2).
fn asian(name: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let name = std::str::from_utf8(name).ok()?;
    let table = name.strip_suffix("-H").or_else(|| name.strip_suffix("-V"))?;
    match table {
        "GB-EUC" | "GBK-EUC" | "GBKp-EUC" | "GBK2K" => Some(GB18030),
        "ETen-B5" | "ETenms-B5" | "HKscs-B5" | "B5pc" => Some(BIG5),
        "90ms-RKSJ" | "90msp-RKSJ" | "90pv-RKSJ" => Some(SHIFT_JIS),
        "EUC" => Some(EUC_JP),
        "KSC-EUC" | "KSCms-UHC" => Some(EUC_KR),
        _ if table.ends_with("-UCS2") || table.ends_with("-UTF16") => Some(UTF_16BE),
        _ => None,
    }
}
