//! Cells under each other, and lines that fit a terminal. Pure but for the
//! terminal's width; everything in it is plain text.

use std::io::IsTerminal as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::{plain, terminal};

/// What a cell is for which there is nothing to say.
pub(crate) const NOTHING: &str = "-";

/// A text of somebody else's as a cell: its words on one line.
pub(crate) fn line(text: Option<&str>) -> String {
    let words: Vec<_> = text.unwrap_or_default().split_whitespace().collect();
    if words.is_empty() { NOTHING.to_owned() } else { plain::line(&words.join(" ")) }
}

/// Columns as wide as what is in them; the last one ends the line.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            text += cell;
            if column + 1 < N {
                text += &" ".repeat(width - cell.width() + 2);
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// The same for standard output: on a terminal no line is wider than it is.
pub(crate) fn shown<const N: usize>(rows: &[[String; N]]) -> String {
    let text = aligned(rows);
    if !std::io::stdout().is_terminal() {
        return text;
    }
    let width = terminal::width();
    text.lines().flat_map(|it| [cut(it, width), "\n".to_owned()]).collect()
}

/// The beginning of a line that has this many columns at most; that there is
/// more is shown by an ellipsis.
pub(crate) fn cut(line: &str, most: usize) -> String {
    if line.width() <= most {
        return line.to_owned();
    }
    let mut width = 1;
    let fits = |it: &char| {
        width += it.width().unwrap_or_default();
        width <= most
    };
    let kept: String = line.chars().take_while(fits).collect();
    kept.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_each_other_also_where_characters_are_wide() {
        let rows = [["用户", "a"], ["b", ""]].map(|it| it.map(str::to_owned));
        assert_eq!(aligned(&rows), "用户  a\nb\n");
    }

    #[test]
    fn a_line_is_cut_where_the_terminal_ends() {
        for (line, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a bcd", 3, "a…"),
            ("用户们", 6, "用户们"),
            ("用户们", 5, "用户…"),
            ("用户们", 4, "用…"),
        ] {
            assert_eq!(cut(line, most), expected, "{line} {most}");
            assert!(cut(line, most).width() <= most);
        }
    }
}
