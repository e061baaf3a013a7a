//! Plain text: paragraphs between blank lines.

use crate::cutter::Cutter;
use crate::passage::Form;

/// Cuts a text; the cutter's origins are its bytes.
pub(crate) fn cut(text: &str, cutter: &mut Cutter) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        if words.is_empty() {
            cutter.finish(Form::Paragraph);
        } else {
            let indent = line.len() - line.trim_start().len();
            cutter.break_line();
            cutter.push(words, at + indent);
        }
        at += line.len();
    }
    cutter.finish(Form::Paragraph);
}
