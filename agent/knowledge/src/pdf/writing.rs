//! Writes PDFs for tests, as word processors do: Latin text in a standard font,
//! everything else in a composite font with a table of what its codes mean.

use std::fmt::Write as _;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, StringFormat, dictionary};

/// A document with a title; each page is lines from top to bottom, an empty one
/// being a wider gap.
pub(crate) fn document(title: &str, pages: &[&[&str]]) -> Document {
    let mut document = Document::with_version("1.5");
    let tree = document.new_object_id();
    let latin = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica",
        "Encoding" => "WinAnsiEncoding",
    });
    let letters = letters(pages);
    let wide = wide(&mut document, &letters);
    let kids: Vec<Object> = pages
        .iter()
        .map(|lines| {
            let content = Content { operations: shown(lines, &letters) }.encode().unwrap();
            let content = document.add_object(Stream::new(Dictionary::new(), content));
            let fonts = dictionary! { "F1" => latin, "F2" => wide };
            let page = dictionary! {
                "Type" => "Page", "Parent" => tree, "Contents" => content,
                "Resources" => dictionary! { "Font" => fonts },
                "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
            };
            document.add_object(page).into()
        })
        .collect();
    let count = i64::try_from(kids.len()).unwrap();
    let root = dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count };
    document.objects.insert(tree, root.into());
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    let info = document.add_object(dictionary! { "Title" => lopdf::text_string(title) });
    document.trailer.set("Root", catalog);
    document.trailer.set("Info", info);
    document.compress();
    document
}

/// The same as a file.
pub(crate) fn file(title: &str, pages: &[&[&str]]) -> Vec<u8> {
    saved(&mut document(title, pages))
}

pub(crate) fn saved(document: &mut Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

/// Everything that is written in the composite font; its codes are the places
/// in this list, from 1.
fn letters(pages: &[&[&str]]) -> Vec<char> {
    let mut letters: Vec<char> =
        pages.iter().flat_map(|it| it.iter()).flat_map(|it| it.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    letters
}

fn wide(document: &mut Document, letters: &[char]) -> ObjectId {
    let mut table = String::from(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n/CMapName /T def\n/CMapType 2 def\n1 begincodespacerange <0000> <ffff> endcodespacerange\n",
    );
    for (chunk, part) in letters.chunks(100).enumerate() {
        writeln!(table, "{} beginbfchar", part.len()).unwrap();
        for (at, letter) in part.iter().enumerate() {
            let mut units = [0; 2];
            write!(table, "<{:04x}> <", chunk * 100 + at + 1).unwrap();
            for unit in letter.encode_utf16(&mut units) {
                write!(table, "{unit:04x}").unwrap();
            }
            table.push_str(">\n");
        }
        table.push_str("endbfchar\n");
    }
    table.push_str("endcmap CMapName currentdict /CMap defineresource pop end end\n");
    let table = document.add_object(Stream::new(Dictionary::new(), table.into_bytes()));
    let descendant = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "CIDFontType2", "BaseFont" => "Song",
        "CIDSystemInfo" => dictionary! {
            "Registry" => Object::string_literal("Adobe"),
            "Ordering" => Object::string_literal("Identity"),
            "Supplement" => 0,
        },
    });
    document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "Song", "Encoding" => "Identity-H",
        "DescendantFonts" => vec![descendant.into()], "ToUnicode" => table,
    })
}

fn shown(lines: &[&str], letters: &[char]) -> Vec<Operation> {
    let mut operations = vec![Operation::new("BT", vec![])];
    operations.push(Operation::new("Td", vec![60.into(), 780.into()]));
    for line in lines {
        let (font, bytes, format) = if line.is_ascii() {
            ("F1", line.as_bytes().to_vec(), StringFormat::Literal)
        } else {
            let code = |it| u16::try_from(letters.binary_search(&it).unwrap() + 1).unwrap();
            let bytes = line.chars().flat_map(|it| code(it).to_be_bytes()).collect();
            ("F2", bytes, StringFormat::Hexadecimal)
        };
        operations.push(Operation::new("Tf", vec![font.into(), 11.into()]));
        if !line.is_empty() {
            operations.push(Operation::new("Tj", vec![Object::String(bytes, format)]));
        }
        operations.push(Operation::new("Td", vec![0.into(), (-16).into()]));
    }
    operations.push(Operation::new("ET", vec![]));
    operations
}
