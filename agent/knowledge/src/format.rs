//! Which formats are read, and how a file of each becomes passages.
//!
//! What cannot be read says why, in words, and is left out; nothing that a file
//! holds can do more than that.

use std::path::Path;
use std::sync::Arc;

use crate::cutter::{Cutter, Origins};
use crate::passage::Passage;
use crate::{Limits, html, markdown, pdf, plain};

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Markdown,
    Text,
    Html,
    Pdf,
}

impl Format {
    /// That of a file, by its name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "md" | "markdown" => Some(Self::Markdown),
            "txt" => Some(Self::Text),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            "pdf" => Some(Self::Pdf),
            _ => None,
        }
    }

    /// The largest file of it.
    pub(crate) fn most(self, limits: &Limits) -> u64 {
        match self {
            Self::Markdown | Self::Text | Self::Html => limits.file,
            Self::Pdf => limits.pdf,
        }
    }

    /// Cuts a file into passages; the error says why it cannot be read.
    pub(crate) fn cut(
        self,
        source: &Arc<str>,
        bytes: Vec<u8>,
        limits: &Limits,
    ) -> Result<Vec<Passage>, String> {
        let source = Arc::clone(source);
        match self {
            Self::Markdown => Ok(cut(source, &utf8(bytes)?, markdown::cut)),
            Self::Text => Ok(cut(source, &utf8(bytes)?, plain::cut)),
            Self::Html => html::cut(source, &html::decode(bytes)?),
            Self::Pdf => pdf::cut(source, bytes, limits),
        }
    }
}

fn cut(source: Arc<str>, text: &str, by: impl FnOnce(&str, &mut Cutter)) -> Vec<Passage> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut cutter = Cutter::new(source, Origins::of(text));
    by(text, &mut cutter);
    cutter.finished()
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::Form;

    fn passages(source: &str, text: &str) -> Vec<Passage> {
        let format = Format::of(Path::new(source)).unwrap();
        format.cut(&source.into(), text.as_bytes().to_vec(), &Limits::default()).unwrap()
    }

    fn lines(passages: &[Passage]) -> Vec<(&str, &str, (u32, u32))> {
        let each = passages.iter().flat_map(|passage| {
            let heading: &str = &passage.heading;
            let sentences = passage.sentences.iter();
            sentences.map(move |it| (heading, it.text.as_str(), it.lines))
        });
        each.collect()
    }

    #[test]
    fn every_sentence_knows_its_headings_and_lines() {
        let text = "---\ntitle: x\n---\n# Guide\n\nIt **starts**\nhere. It `ends\nthere`.\n\n## 安装\n\n先下载，\n再安装。然后运行。\n\n- one\n- two\n  lines\n\n| a | b |\n|---|---|\n| c | d |\n\n```sh\nweir up\n```\n\n# Next\n\nLast &amp; least.\n";
        let passages = passages("a.md", text);
        assert_eq!(
            lines(&passages),
            [
                ("Guide", "It starts here.", (6, 7)),
                ("Guide", "It `ends there`.", (7, 8)),
                ("Guide > 安装", "先下载，再安装。", (12, 13)),
                ("Guide > 安装", "然后运行。", (13, 13)),
                ("Guide > 安装", "one", (15, 15)),
                ("Guide > 安装", "two lines", (16, 17)),
                ("Guide > 安装", "a | b", (19, 19)),
                ("Guide > 安装", "c | d", (21, 21)),
                ("Guide > 安装", "weir up", (24, 24)),
                ("Next", "Last & least.", (29, 29)),
            ]
        );
        let forms: Vec<_> = passages[1].sentences.iter().map(|it| it.form).collect();
        assert_eq!(forms[2..], [Form::Item, Form::Item, Form::Columns, Form::Row, Form::Code]);
    }

    #[test]
    fn plain_text_is_paragraphs_between_blank_lines() {
        let passages = passages("a.txt", "First line\n  goes on. Second.\r\n\n# no heading\n");
        assert_eq!(
            lines(&passages),
            [
                ("", "First line goes on.", (1, 2)),
                ("", "Second.", (2, 2)),
                ("", "# no heading", (4, 4)),
            ]
        );
    }

    #[test]
    fn a_long_section_is_cut_into_passages_under_one_heading() {
        let text = format!("# Long\n\n{}", "One more sentence here.\n\n".repeat(200));
        let passages = passages("a.md", &text);
        assert!(passages.len() >= 3, "{}", passages.len());
        assert!(passages.iter().all(|it| &*it.heading == "Long"));
        let last = passages.last().unwrap().sentences.last().unwrap();
        assert_eq!(last.lines, (401, 401));
    }

    #[test]
    fn what_has_no_end_is_cut_at_a_bound() {
        let endless = format!("{} {}\n", "word ".repeat(2_000), "三".repeat(2_000));
        let passages = passages("a.txt", &endless);
        let sentences: Vec<_> = passages.iter().flat_map(|it| &it.sentences).collect();
        assert!(sentences.len() > 10);
        assert!(sentences.iter().all(|it| it.text.len() <= 1_500));
        let letters: usize = sentences.iter().map(|it| it.text.matches("word").count()).sum();
        assert_eq!(letters, 2_000);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_document_with_lines_inside_it(text in "[a-z#*`|\\-\\[\\]()<>&;.。三 \\n\\r\\t]{0,300}") {
            let all = u32::try_from(text.split('\n').count()).unwrap();
            for source in ["a.md", "a.txt"] {
                for passage in passages(source, &text) {
                    for sentence in passage.sentences {
                        let (first, last) = sentence.lines;
                        proptest::prop_assert!(1 <= first && first <= last && last <= all);
                        proptest::prop_assert!(!sentence.text.trim().is_empty());
                    }
                }
            }
        }
    }
}
