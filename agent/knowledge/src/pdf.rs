//! PDF: the text of each page, under the document's title and "page N"; lines
//! are those of the page's text.
//!
//! Read on a thread of its own, for so long: what breaks the reader, or holds it,
//! costs only its file. Refuses what needs a password. Knows no pictures: a page
//! that was scanned has no text.

mod font;
mod page;
#[cfg(test)]
pub(crate) mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use lopdf::content::Content;
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId, decode_text_string};
use tokio::time::Instant;

use crate::cutter::{Cutter, Origins};
use crate::passage::Passage;
use crate::{Limits, plain};
use font::Font;
use page::Page;

/// The most that one stream of a file may unfold to, in bytes.
const MAX_STREAM: usize = 16 * 1024 * 1024;

/// The most fonts of a file that are looked at.
const MAX_FONTS: usize = 2_000;

/// The reader's stack, in bytes: what is nested may be read by recursion.
const STACK: usize = 8 * 1024 * 1024;

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
    let pages = apart(limits.pdf_time, {
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

/// Does something on a thread that may panic, or be left behind.
fn apart<T: Send + 'static>(
    time: Duration,
    read: impl FnOnce(Instant) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let until = Instant::now() + time;
    let (sender, receiver) = sync_channel(1);
    let reader = std::thread::Builder::new().name("pdf".to_owned()).stack_size(STACK);
    let spawned = reader.spawn(move || {
        // Nobody listens any more to a reader that was left behind.
        drop(sender.send(read(until)));
    });
    spawned.map_err(|error| format!("no thread to read it on: {error}"))?;
    receiver.recv_timeout(time).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => too_long(time),
            RecvTimeoutError::Disconnected => "not a PDF that can be read".to_owned(),
        })
    })
}

fn too_long(time: Duration) -> String {
    format!("takes longer than {} s to read", time.as_secs())
}

fn read(source: &str, bytes: &[u8], limits: &Limits, until: Instant) -> Result<Pages, String> {
    let options = LoadOptions::with_max_decompressed_size(MAX_STREAM);
    let document = Document::load_mem_with_options(bytes, options);
    let document = document.map_err(|error| format!("not a PDF that can be read: {error}"))?;
    if document.is_encrypted() {
        return Err("needs a password".to_owned());
    }
    let ids: Vec<_> = document.page_iter().take(limits.pages + 1).collect();
    if ids.is_empty() {
        return Err("not a PDF that can be read: no pages".to_owned());
    }
    let mut pages = Pages { title: title(&document), texts: Vec::new() };
    let dictionaries = fonts(&document, &ids);
    let fonts: HashMap<usize, Font<'_>> =
        dictionaries.iter().map(|(at, it)| (*at, Font::new(it, &document, MAX_STREAM))).collect();
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

/// The title of a document, where it has one.
fn title(document: &Document) -> String {
    let info = document.trailer.get_deref(b"Info", document).and_then(Object::as_dict);
    let title = info.and_then(|it| it.get_deref(b"Title", document));
    let title = title.and_then(decode_text_string).unwrap_or_default();
    title.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fonts of these pages, by where they are in memory.
fn fonts(document: &Document, pages: &[ObjectId]) -> HashMap<usize, Dictionary> {
    let mut fonts = HashMap::new();
    for id in pages {
        for font in document.get_page_fonts(*id).unwrap_or_default().into_values() {
            if fonts.len() < MAX_FONTS {
                fonts.entry(place(font)).or_insert_with(|| Font::plain(font));
            }
        }
    }
    fonts
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
    fn a_reader_that_breaks_or_hangs_costs_only_its_file() {
        let soon = Duration::from_millis(20);
        let broken = apart(Duration::from_secs(20), |_| -> Result<(), String> {
            assert!(std::hint::black_box(false), "on purpose");
            Ok(())
        });
        assert_eq!(broken.unwrap_err(), "not a PDF that can be read");
        let (stop, stopped) = sync_channel::<()>(1);
        let hung = apart(soon, move |_| stopped.recv().map_err(|error| error.to_string()));
        assert!(hung.unwrap_err().starts_with("takes longer"));
        drop(stop);
        let late = Limits { pdf_time: Duration::ZERO, ..limits() };
        let late = cut("a.pdf".into(), file("", &[LATIN]), &late).unwrap_err();
        assert!(late.starts_with("takes longer"), "{late}");
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
