//! Pages as people and generators write them.

use super::*;

fn sentences(page: &str) -> Vec<(String, String, (u32, u32), Form)> {
    let passages = cut("a.html".into(), page).unwrap();
    let each = passages.iter().flat_map(|passage| {
        let heading = passage.heading.to_string();
        let sentences = passage.sentences.iter();
        sentences.map(move |it| (heading.clone(), it.text.clone(), it.lines, it.form))
    });
    each.collect()
}

#[test]
fn what_is_read_on_a_page_is_cut_with_its_headings_and_lines() {
    let page = "<!DOCTYPE html>\n<html><head><title>Shop</title>\n<style>p { color: red }</style></head>\n<body>\n<p>Before.</p>\n<h1>Returns &amp; more</h1>\n<p>Send it\nback <b>within</b> 30\ndays. Keep the&nbsp;box.\n<p>Open end<br>here\n<h2>退款</h2>\n<p>七天内\n退款。</p>\n<ul>\n<li>one\n<li><p>two</p>\n</ul>\n<table><thead><tr><th>Size</th><th>Price</th></tr></thead>\n<tr><td>S</td><td>\n <p>5</p></td></tr></table>\n<pre>\nweir up\n  --help\n</pre>\n</body></html>\n";
    let want = [
        ("Shop", "Before.", (5, 5), Form::Paragraph),
        ("Returns & more", "Send it back within 30 days.", (7, 9), Form::Paragraph),
        ("Returns & more", "Keep the box.", (9, 9), Form::Paragraph),
        ("Returns & more", "Open end here", (10, 10), Form::Paragraph),
        ("Returns & more > 退款", "七天内退款。", (12, 13), Form::Paragraph),
        ("Returns & more > 退款", "one", (15, 15), Form::Item),
        ("Returns & more > 退款", "two", (16, 16), Form::Item),
        ("Returns & more > 退款", "Size | Price", (18, 18), Form::Columns),
        ("Returns & more > 退款", "S | 5", (19, 20), Form::Row),
        ("Returns & more > 退款", "weir up\n  --help", (22, 23), Form::Code),
    ];
    let want = want.map(|(heading, text, lines, form)| (heading.into(), text.into(), lines, form));
    assert_eq!(sentences(page), want);
}

#[test]
fn scripts_and_navigation_are_left_out_whatever_is_in_them() {
    let page = "<title>T</title><nav>Home <nav>deeper</nav> up</nav><script>if (a < b) { \"</p>\" }</script><noscript>turn it on</noscript>\n<div role=navigation><div>menu</div>more</div><p>Stays<span hidden>not</span>.</p><textarea><p>typed</textarea><a aria-hidden=\"true\">#</a><form>Search</form><footer>(c)</footer>";
    let texts: Vec<_> = sentences(page).into_iter().map(|it| it.1).collect();
    assert_eq!(texts, ["Stays."]);
    let endless = "<nav>Home<main><h1>A</h1><p>Text.</p></main>";
    assert_eq!(sentences(endless)[0].1, "Text.");
}

#[test]
fn a_page_is_read_in_the_encoding_it_names() {
    let (gbk, _, _) = encoding_rs::GBK.encode("<meta charset=\"gbk\"><p>退款政策</p>");
    assert!(decode(gbk.into_owned()).unwrap().contains("退款政策"));
    let http = b"<meta http-equiv=Content-Type content='text/html; charset=iso-8859-1'>caf\xe9";
    assert!(decode(http.to_vec()).unwrap().ends_with("café"));
    assert!(decode(b"\xff\xfe<\0p\0>\0a\0".to_vec()).unwrap().ends_with("<p>a"));
    for bad in [&b"caf\xe9"[..], b"<meta charset=utf-8>caf\xe9", b"<meta charset=nonsense>\xe9"] {
        assert!(decode(bad.to_vec()).is_err(), "{bad:?}");
    }
}

#[test]
fn nesting_without_end_is_read() {
    let page = format!("{}<p>Deep.", "<div><ul><li>".repeat(50_000));
    assert_eq!(sentences(&page).last().unwrap().1, "Deep.");
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_page_with_lines_inside_it(page in "(<[/]?(p|h1|nav|tr|td|li|pre|script|title|b)>|[a-z<>&; \\n\\r\"三。]){0,120}") {
        let all = u32::try_from(page.lines().count() + 1).unwrap();
        for (_, text, (first, last), _) in sentences(&page) {
            proptest::prop_assert!(1 <= first && first <= last && last <= all, "{first} {last}");
            proptest::prop_assert!(!text.trim().is_empty());
        }
    }
}

#[test]
fn a_tag_of_very_many_attributes_costs_only_its_page() {
    let attributes: Vec<_> = (0..100_000).map(|it| format!(" a{it}")).collect();
    let attributes = attributes.concat();
    let page = format!("<p>Text.</p><div{attributes}>x</div>");
    let refused = cut("a.html".into(), &page).unwrap_err();
    assert!(refused.contains("256 attributes"), "{refused}");
}
