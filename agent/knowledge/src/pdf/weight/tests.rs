//! Small files that would take a lot of memory, written as they come.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use lopdf::SaveOptions;

use super::*;
use crate::Limits;
use crate::pdf::cut;
use crate::pdf::writing::document;

const ZEROS: usize = 4_000_000;

fn folded(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn stream(entries: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("<< {entries} /Length {} >>\nstream\n", data.len());
    [head.as_bytes(), data, b"\nendstream"].concat()
}

/// A file of these objects, numbered from 1; the first is its catalogue. `more`
/// lines of the table name the last one again.
fn file(objects: &[Vec<u8>], more: usize) -> Vec<u8> {
    let (mut bytes, mut table) = (b"%PDF-1.5\n".to_vec(), String::new());
    let mut line = String::new();
    for (number, object) in objects.iter().enumerate() {
        line = format!("{:010} 00000 n \n", bytes.len());
        table.push_str(&line);
        bytes.extend(format!("{} 0 obj\n", number + 1).into_bytes());
        bytes.extend(object);
        bytes.extend(b"\nendobj\n");
    }
    table.push_str(&line.repeat(more));
    let (at, size) = (bytes.len(), objects.len() + more + 1);
    let head = format!("xref\n0 {size}\n0000000000 65535 f \n{table}");
    let end = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n");
    bytes.extend(head.into_bytes());
    bytes.extend(end.into_bytes());
    bytes
}

/// A file of one page, with this object beside it.
fn beside(object: Vec<u8>, more: usize) -> Vec<u8> {
    let page = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Resources << /Font << /F 4 0 R >> >> >>"
            .to_vec(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec(),
        stream("", b"BT /F 10 Tf (hello otter) Tj ET"),
    ];
    file(&[&page[..], &[object]].concat(), more)
}

fn texts(bytes: Vec<u8>) -> Result<Vec<String>, String> {
    let passages = cut("a.pdf".into(), bytes, &Limits::default())?;
    Ok(passages.iter().flat_map(|it| &it.sentences).map(|it| it.text.clone()).collect())
}

fn objects(index: &str, members: &str, entries: &str) -> Vec<u8> {
    let entries = format!("/Type /ObjStm /N 1 /First {} {entries}", index.len());
    stream(&entries, &folded(format!("{index}{members}").as_bytes()))
}

const FLATE: &str = "/Filter /FlateDecode";

#[test]
fn a_file_with_few_objects_is_read() {
    assert_eq!(texts(beside(b"[1 2 3]".to_vec(), 0)).unwrap(), ["hello otter"]);
    let some = objects("10 0 11 8 ", "[1 2 3] (x)", FLATE);
    assert_eq!(texts(beside(some, 0)).unwrap(), ["hello otter"]);
    let mut modern = Vec::new();
    let options = SaveOptions::builder().use_object_streams(true).use_xref_streams(true).build();
    document("T", &[&["Descale the kettle."]]).save_with_options(&mut modern, options).unwrap();
    assert!(modern.windows(6).any(|it| it == b"ObjStm"));
    assert_eq!(texts(modern).unwrap(), ["Descale the kettle."]);
}

#[test]
fn a_list_without_end_is_not_unfolded_into_memory() {
    let list = format!("[{}]", "0 ".repeat(ZEROS));
    let bytes = beside(objects("10 0 ", &list, FLATE), 0);
    assert!(bytes.len() < 20_000, "{}", bytes.len());
    let refused = texts(bytes).unwrap_err();
    assert!(refused.contains("2000000 values"), "{refused}");
    let plain = texts(beside(list.into_bytes(), 0)).unwrap_err();
    assert!(plain.contains("2000000 values"), "{plain}");
    // What has no space between counts as well.
    let dense = format!("[{}]", ".0".repeat(ZEROS));
    assert!(texts(beside(dense.into_bytes(), 0)).is_err());
}

#[test]
fn what_is_named_again_and_again_counts_each_time() {
    let list = format!("[{}]", "0 ".repeat(10_000));
    let index: Vec<_> = (10..1_010).map(|it| format!("{it}\u{b}0 ")).collect();
    let index = index.concat();
    let refused = texts(beside(objects(&index, &list, FLATE), 0)).unwrap_err();
    assert!(refused.contains("2000000 values"), "{refused}");
    let refused = texts(beside(list.into_bytes(), 1_000)).unwrap_err();
    assert!(refused.contains("2000000 values"), "{refused}");
}

#[test]
fn streams_of_objects_unfold_to_so_much_in_all_and_in_no_odd_way() {
    let blank = " ".repeat(15 * 1024 * 1024);
    let one = objects("10 0 ", &blank, FLATE);
    assert!(texts(beside(one.clone(), 0)).is_ok());
    let all = vec![one; 3];
    let refused = texts(file(&all, 0)).unwrap_err();
    assert!(refused.contains("unfolds to more"), "{refused}");
    for odd in ["/Filter [/FlateDecode /Fl#61teDecode]", "/Filter /LZWDecode"] {
        let refused = texts(beside(objects("10 0 ", "[0]", odd), 0)).unwrap_err();
        assert!(refused.contains("a way that is not read"), "{refused}");
    }
}

#[test]
fn a_large_table_of_objects_is_refused() {
    let table = folded(&vec![0; 9 * 1024 * 1024]);
    let entries = format!("/Type /XRef /W [1 1 1] /Size 3000000 {FLATE}");
    let refused = texts(beside(stream(&entries, &table), 0)).unwrap_err();
    assert!(refused.contains("unfolds to more"), "{refused}");
}

#[test]
fn what_cannot_be_counted_because_it_is_encrypted_is_refused() {
    let bytes = beside(objects("10 0 ", "[0]", FLATE), 0);
    let until = Instant::now() + Duration::from_mins(1);
    let encrypted = [&bytes[..], b"<< /Encr#79pt 9 0 R >>"].concat();
    let refused = check(&encrypted, 1024, until).unwrap_err();
    assert!(refused.contains("encrypted"), "{refused}");
    check(&bytes, 1024, until).unwrap();
}
