//! A table: columns as wide as they need, or as there is room for; where there
//! is none, its rows one below the other. Pure.

use pulldown_cmark::Alignment;

use super::glyph::{Canvas, Glyph, Ink, glyphs, width};
use crate::terminal::Paint;

/// A column is drawn no narrower.
const NARROWEST: usize = 5;
const BETWEEN: &str = " │ ";

type Cell = Vec<Glyph>;

#[derive(Debug)]
pub(super) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<Cell>>,
    row: Vec<Cell>,
    cell: Cell,
}

impl Table {
    pub(super) fn new(alignments: Vec<Alignment>) -> Self {
        Self { alignments, rows: Vec::new(), row: Vec::new(), cell: Cell::new() }
    }

    pub(super) fn text(&mut self, text: &str, ink: Ink) {
        self.cell.extend(glyphs(text, ink));
    }

    pub(super) fn end_cell(&mut self) {
        self.row.push(std::mem::take(&mut self.cell));
    }

    pub(super) fn end_row(&mut self) {
        self.rows.push(std::mem::take(&mut self.row));
    }

    pub(super) fn draw(self, canvas: &mut Canvas) {
        let wanted: Vec<_> = (0..self.alignments.len())
            .map(|at| self.rows.iter().filter_map(|it| it.get(at)).map(|it| width(it)).max())
            .map(|it| it.unwrap_or_default().max(1))
            .collect();
        match fitted(&wanted, canvas.room()) {
            Some(widths) => self.grid(canvas, &widths),
            None => self.list(canvas),
        }
    }

    fn grid(&self, canvas: &mut Canvas, widths: &[usize]) {
        let dim = Ink::default().with(Paint::Dim);
        for (at, row) in self.rows.iter().enumerate() {
            let cells = widths.iter().enumerate();
            let cells = cells.map(|(at, width)| wrapped(row.get(at).map_or(&[], |it| it), *width));
            let cells: Vec<_> = cells.collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
                let mut drawn = Vec::new();
                for (at, width) in widths.iter().enumerate() {
                    if at > 0 {
                        drawn.extend(glyphs(BETWEEN, dim));
                    }
                    let part = cells[at].get(line).map_or(&[][..], |it| it);
                    drawn.extend(aligned(part, *width, self.alignments[at]));
                }
                while drawn.last().is_some_and(|it: &Glyph| it.it == ' ') {
                    drawn.pop();
                }
                canvas.whole_line(&drawn);
            }
            if at == 0 {
                let rule: Vec<_> = widths.iter().map(|it| "─".repeat(*it)).collect();
                canvas.whole_line(&glyphs(&rule.join("─┼─"), dim));
            }
        }
    }

    /// Each row as a list of its cells.
    fn list(&self, canvas: &mut Canvas) {
        let Some((head, rows)) = self.rows.split_first() else { return };
        for (at, row) in rows.iter().enumerate() {
            if at > 0 {
                canvas.blank();
            }
            for (name, cell) in head.iter().zip(row) {
                let colon = glyphs(": ", Ink::default());
                for glyph in name.iter().chain(&colon).chain(cell) {
                    canvas.glyph(*glyph);
                }
                canvas.end_line();
            }
        }
    }
}

/// How wide each column is drawn, if there is room.
fn fitted(wanted: &[usize], room: usize) -> Option<Vec<usize>> {
    let between = 3 * wanted.len().saturating_sub(1);
    let room = room.checked_sub(between)?;
    if wanted.iter().map(|it| (*it).min(NARROWEST)).sum::<usize>() > room {
        return None;
    }
    let (mut low, mut high) = (NARROWEST, wanted.iter().copied().max().unwrap_or(1).max(NARROWEST));
    // The widest limit with which all of them fit.
    while low < high {
        let limit = (low + high).div_ceil(2);
        if wanted.iter().map(|it| (*it).min(limit)).sum::<usize>() <= room {
            low = limit;
        } else {
            high = limit - 1;
        }
    }
    Some(wanted.iter().map(|it| (*it).min(low)).collect())
}

/// A cell's lines.
fn wrapped(cell: &[Glyph], width: usize) -> Vec<Cell> {
    let mut canvas = Canvas::new(width);
    for glyph in cell {
        canvas.glyph(*glyph);
    }
    let drawn = canvas.finish();
    drawn.split(|it| it.it == '\n').filter(|it| !it.is_empty()).map(<[Glyph]>::to_vec).collect()
}

fn aligned(part: &[Glyph], wide: usize, alignment: Alignment) -> Cell {
    let space = wide.saturating_sub(width(part));
    let before = match alignment {
        Alignment::Right => space,
        Alignment::Center => space / 2,
        Alignment::Left | Alignment::None => 0,
    };
    let blank = |count: usize| glyphs(&" ".repeat(count), Ink::default());
    [blank(before), part.to_vec(), blank(space - before)].concat()
}

#[cfg(test)]
mod tests {
    use super::super::draw::draw;

    #[test]
    fn a_table_has_the_width_that_there_is() {
        let text = "| name | count |\n|---|---:|\n| a **long** name here | 7 |\n| 中文 | 12 |";
        for (width, expected) in [
            (
                40,
                "name             │ count\n─────────────────┼──────\na long name here │     7\n\
                 中文             │    12\n",
            ),
            (
                20,
                "name         │ count\n─────────────┼──────\na long name  │     7\nhere         │\n\
                 中文         │    12\n",
            ),
            (10, "name: a\nlong name\nhere\ncount: 7\n\nname: 中文\ncount: 12\n"),
        ] {
            let drawn: String = draw(text, width).iter().map(|it| it.it).collect();
            assert_eq!(drawn, expected, "{width}\n{drawn}");
        }
    }
}
