//! PDF: the text of each page, under the document's title and "page N"; lines
//! are those of the page's text.
//!
//! Read on a thread of its own, for so long: what breaks the reader, or holds it,
//! costs only its file. Refuses what needs a password. Knows no pictures: a page
//! that was scanned has no text.

mod apart;
mod font;
mod page;
mod token;
mod weight;
#[cfg(test)]
pub(crate) mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use lopdf::content::Content;
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId, decode_text_string};
use tokio::time::Instant;

use crate::cutter::{Cutter, Origins};
use crate::passage::Passage;
use crate::{Limits, plain};
use apart::{apart, too_long};
use font::Font;
use page::Page;

/// The most that one stream of a file may unfold to, in bytes.
const MAX_STREAM: usize = 16 * 1024 * 1024;

/// The most fonts of a file that are looked at.
const MAX_FONTS: usize = 2_000;

/// The most bytes of a font's table of what its codes mean, and of all tables.
const MAX_TABLE: usize = 2 * 1024 * 1024;
const MAX_TABLES: usize = 16 * 1024 * 1024;

/// The most bytes of one operation of a page, whose operands are held at once.
const MAX_OPERATION: usize = 1024 * 1024;

/// Readers that took too long and have not ended yet.
static BEHIND: AtomicUsize = AtomicUsize::new(0);

const TITLE: u8 = 1;
const PAGE: u8 = 2;

/// What was read of a file.
#[derive(Debug, Default)]
struct Pages {
    title: String,
    texts: Vec<String>,
}

/// Cuts a file.
pub(crate) fn cut(
    source: Arc<str>,
    bytes: Vec<u8>,
    limits: &Limits,
) -> Result<Vec<Passage>, String> {
    let pages = apart(&BEHIND, limits.pdf_time, {
        let (limits, source) = (*limits, Arc::clone(&source));
        move |until| read(&source, &bytes, &limits, until)
    })?;
    let mut cutter = Cutter::new(source, Origins::Lines);
    for (number, text) in pages.texts.iter().enumerate() {
        cutter.turn_to(Origins::of(text));
        cutter.head(TITLE, &pages.title);
        cutter.head(PAGE, &format!("page {}", number + 1));
        plain::cut(text, &mut cutter);
    }
    Ok(cutter.finished())
}

fn read(source: &str, bytes: &[u8], limits: &Limits, until: Instant) -> Result<Pages, String> {
    let document = load(bytes, until)?;
    if document.is_encrypted() {
        return Err("needs a password".to_owned());
    }
    let ids: Vec<_> = document.page_iter().take(limits.pages + 1).collect();
    if ids.is_empty() {
        return Err("not a PDF that can be read: no pages".to_owned());
    }
    let mut pages = Pages { title: title(&document), texts: Vec::new() };
    let dictionaries = fonts(&document, &ids, until);
    let fonts: HashMap<usize, Font<'_>> = (dictionaries.iter())
        .take_while(|_| Instant::now() < until)
        .map(|(at, it)| (*at, Font::new(it, &document, MAX_TABLE)))
        .collect();
    let mut size = 0;
    for id in &ids {
        if Instant::now() >= until {
            return Err(too_long(limits.pdf_time));
        }
        let text = text(&document, *id, &fonts, until);
        size += text.len();
        if pages.texts.len() == limits.pages || size > limits.pdf_text {
            let read = pages.texts.len();
            tracing::warn!(source, read, "too long for the knowledge base: only its first pages");
            break;
        }
        pages.texts.push(text);
    }
    Ok(pages)
}

/// The objects of a file, if they are not too many.
fn load(bytes: &[u8], until: Instant) -> Result<Document, String> {
    weight::check(bytes, MAX_STREAM, until)?;
    let load = |force_reconstruct| {
        let mut options = LoadOptions::with_max_decompressed_size(MAX_STREAM);
        options.filter = Some(weight::take);
        options.force_reconstruct = force_reconstruct;
        let loaded = weight::bounded(until, || Document::load_mem_with_options(bytes, options))?;
        loaded.map_err(|error| format!("not a PDF that can be read: {error}"))
    };
    let document = load(false)?;
    // A table that leads nowhere: the file is searched for its objects.
    if !document.is_encrypted() && document.page_iter().next().is_none() {
        return load(true);
    }
    Ok(document)
}

/// The title of a document, where it has one.
fn title(document: &Document) -> String {
    let info = document.trailer.get_deref(b"Info", document).and_then(Object::as_dict);
    let title = info.and_then(|it| it.get_deref(b"Title", document));
    let title = title.and_then(decode_text_string).unwrap_or_default();
    title.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fonts of these pages, by where they are in memory; those whose tables are
/// too large are left out.
fn fonts(document: &Document, pages: &[ObjectId], until: Instant) -> HashMap<usize, Dictionary> {
    let mut fonts = HashMap::new();
    let mut left = MAX_TABLES;
    for id in pages {
        for font in document.get_page_fonts(*id).unwrap_or_default().into_values() {
            if fonts.len() >= MAX_FONTS || Instant::now() >= until {
                return fonts;
            }
            let known = fonts.contains_key(&place(font));
            let rest = left.checked_sub(if known { 0 } else { table(document, font) });
            if let Some(rest) = rest.filter(|_| !known) {
                left = rest;
                fonts.insert(place(font), Font::plain(font));
            }
        }
    }
    fonts
}

/// How long a font's table is; one that is too long for any.
fn table(document: &Document, font: &Dictionary) -> usize {
    let table = font.get_deref(b"ToUnicode", document).and_then(Object::as_stream);
    let table = table.map(|it| it.get_plain_content_with_limit(MAX_TABLE));
    table.map_or(0, |it| it.map_or(usize::MAX, |it| it.len()))
}

fn place(font: &Dictionary) -> usize {
    std::ptr::from_ref(font).addr()
}

/// The text of one page; what cannot be read of it is left out.
fn text(
    document: &Document,
    id: ObjectId,
    fonts: &HashMap<usize, Font<'_>>,
    until: Instant,
) -> String {
    let named = document.get_page_fonts(id).unwrap_or_default();
    let named = named.into_iter().filter_map(|(name, it)| Some((name, fonts.get(&place(it))?)));
    let mut page = Page::new(named.collect());
    let content = document.get_page_content_with_limit(id, MAX_STREAM).unwrap_or_default();
    if token::longest_operation(&content) > MAX_OPERATION {
        return String::new();
    }
    for (number, operation) in Content::decode_iter(&content).enumerate() {
        let Ok(operation) = operation else { break };
        page.take(&operation);
        if number % 1_024 == 0 && Instant::now() >= until {
            break;
        }
    }
    page.finished()
}

#[cfg(test)]
mod tests {
    use lopdf::{EncryptionState, EncryptionVersion, Permissions, Stream, dictionary};

    use super::writing::{document, file, saved};
    use super::*;

    const LATIN: &[&str] = &[
        "Caring for your kettle",
        "",
        "Descale the kettle every three months. Fill it",
        "with vinegar and wait an hour.",
        "",
        "Never immerse the base in water.",
    ];
    const CHINESE: &[&str] =
        &["保修说明", "", "整机保修两年，电池保修", "六个月。人为损坏不在保修范围内。"];

    fn limits() -> Limits {
        Limits::default()
    }

    fn read_well(bytes: Vec<u8>) -> Vec<(String, String, (u32, u32))> {
        let passages = cut("a.pdf".into(), bytes, &limits()).unwrap();
        let each = passages.iter().flat_map(|passage| {
            let heading = passage.heading.to_string();
            passage.sentences.iter().map(move |it| (heading.clone(), it.text.clone(), it.lines))
        });
        each.collect()
    }

    fn refusal(bytes: Vec<u8>) -> String {
        cut("a.pdf".into(), bytes, &limits()).unwrap_err()
    }

    #[test]
    fn the_text_of_each_page_stands_under_its_number() {
        let want = [
            ("Kettle 电水壶 > page 1", "Caring for your kettle", (1, 1)),
            ("Kettle 电水壶 > page 1", "Descale the kettle every three months.", (3, 3)),
            ("Kettle 电水壶 > page 1", "Fill it with vinegar and wait an hour.", (3, 4)),
            ("Kettle 电水壶 > page 1", "Never immerse the base in water.", (6, 6)),
            ("Kettle 电水壶 > page 2", "保修说明", (1, 1)),
            ("Kettle 电水壶 > page 2", "整机保修两年，电池保修六个月。", (3, 4)),
            ("Kettle 电水壶 > page 2", "人为损坏不在保修范围内。", (4, 4)),
        ];
        let want = want.map(|(heading, text, lines)| (heading.to_owned(), text.to_owned(), lines));
        assert_eq!(read_well(file("Kettle 电水壶", &[LATIN, CHINESE])), want);
    }

    #[test]
    fn words_that_are_placed_one_by_one_are_parted_and_letters_are_not() {
        let mut document = document("", &[&["x"]]);
        let content = b"BT /F1 10 Tf 1 0 0 1 50 700 Tm (Boil) Tj 1 0 0 1 80 700 Tm (water) Tj\n\
            1 0 0 1 50 686 Tm [(fi) -20 (rst) -300 (th) 10 (en)] TJ 14 TL T* (Tea) Tj (time) Tj\n\
            (again) ' ET";
        let id = document.page_iter().next().unwrap();
        document.change_page_content(id, content.to_vec()).unwrap();
        let texts: Vec<_> = read_well(saved(&mut document)).into_iter().map(|it| it.1).collect();
        assert_eq!(texts, ["Boil water first then Teatime again"]);
    }

    #[test]
    fn text_in_a_well_known_chinese_encoding_needs_no_table() {
        let mut document = document("", &[&["x"]]);
        let font = document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type0", "Encoding" => "GBK-EUC-H",
        });
        let fonts = dictionary! { "F1" => font };
        let id = document.page_iter().next().unwrap();
        let page = document.get_dictionary_mut(id).unwrap();
        page.set("Resources", dictionary! { "Font" => fonts });
        let (words, _, _) = encoding_rs::GBK.encode("会议纪要。");
        let content = [b"BT /F1 10 Tf (".as_slice(), &words, b") Tj ET"].concat();
        document.change_page_content(id, content).unwrap();
        assert_eq!(read_well(saved(&mut document))[0].1, "会议纪要。");
    }

    #[test]
    fn what_is_no_pdf_or_needs_a_password_is_refused_with_a_reason() {
        let whole = file("Kettle", &[LATIN]);
        let half = whole[..whole.len() / 2].to_vec();
        for bytes in [Vec::new(), b"%PDF-1.7 not really".to_vec(), vec![0; 4_096]] {
            assert!(refusal(bytes).starts_with("not a PDF that can be read"));
        }
        // A half may still be repaired; it must only not break the reader.
        drop(cut("a.pdf".into(), half, &limits()));
        let mut locked = document("Kettle", &[LATIN]);
        let id = Object::string_literal("0123456789abcdef");
        locked.trailer.set("ID", vec![id.clone(), id]);
        let state = EncryptionState::try_from(EncryptionVersion::V2 {
            document: &locked,
            owner_password: "owner",
            user_password: "user",
            key_length: 128,
            permissions: Permissions::all(),
        });
        locked.encrypt(&state.unwrap()).unwrap();
        let reason = refusal(saved(&mut locked));
        assert!(reason.contains("password"), "{reason}");
    }

    #[test]
    fn more_pages_or_text_than_allowed_are_left_out() {
        let bytes = file("", &[CHINESE, LATIN, CHINESE]);
        let few = Limits { pages: 2, ..limits() };
        let headings = |limits: &Limits| -> Vec<String> {
            let passages = cut("a.pdf".into(), bytes.clone(), limits).unwrap();
            passages.iter().map(|it| it.heading.to_string()).collect()
        };
        assert_eq!(headings(&few), ["page 1", "page 2"]);
        assert_eq!(headings(&Limits { pdf_text: 150, ..limits() }), ["page 1"]);
    }

    #[test]
    fn a_small_file_cannot_unfold_without_end() {
        let mut document = document("", &[LATIN, &["x"]]);
        let page = document.page_iter().nth(1).unwrap();
        let mut endless = Stream::new(Dictionary::new(), vec![b' '; MAX_STREAM + 1]);
        endless.compress().unwrap();
        let endless = document.add_object(endless);
        document.get_dictionary_mut(page).unwrap().set("Contents", endless);
        let bytes = saved(&mut document);
        assert!(bytes.len() < 100_000, "{}", bytes.len());
        let read = read_well(bytes);
        assert!(read.iter().all(|(heading, ..)| heading == "page 1"), "{read:?}");
    }

    #[test]
    fn a_page_whose_operands_have_no_end_is_left_out() {
        let mut document = document("", &[LATIN, &["x"]]);
        let page = document.page_iter().nth(1).unwrap();
        let content = [&b"BT [0 % TJ\n"[..], &b"0 ".repeat(MAX_OPERATION), b"] TJ ET"].concat();
        document.change_page_content(page, content).unwrap();
        let read = read_well(saved(&mut document));
        assert!(read.iter().all(|(heading, ..)| heading == "page 1"), "{read:?}");
        assert_eq!(token::longest_operation(b"q (a) Tj\nBT [0 (TJ) 1 % TJ\n] TJ ET"), 20);
        assert_eq!(token::longest_operation(b"q BI ID Q Q Q Q"), 11);
    }

    #[test]
    fn a_file_that_takes_too_long_is_refused() {
        let late = Limits { pdf_time: std::time::Duration::ZERO, ..limits() };
        let late = cut("a.pdf".into(), file("", &[LATIN]), &late).unwrap_err();
        assert!(late.starts_with("takes"), "{late}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]
        #[test]
        fn a_damaged_file_is_read_or_refused(at in 0_usize..4_000, byte: u8, length in 1_usize..40) {
            let mut bytes = file("Kettle", &[LATIN, CHINESE]);
            let at = at % bytes.len();
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(byte);
            drop(cut("a.pdf".into(), bytes, &limits()));
        }
    }
}
