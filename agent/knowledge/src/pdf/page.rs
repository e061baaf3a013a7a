//! The text of a page, from what it shows and where.
//!
//! Lines follow from how far one piece stands below the other, spaces from how
//! far beside it. The widths of letters are only estimated.

use std::collections::BTreeMap;

use lopdf::Object;
use lopdf::content::Operation;
use words::is_wide;

use super::font::Font;

/// Graphics states that are kept at once.
const MAX_STATES: usize = 64;

/// What is this much lower stands on another line; shares of the letters' size.
const LOWER: f32 = 0.4;

/// What stands this much lower than the line before did begins a paragraph.
const FURTHER: f32 = 1.35;

/// The width of a Latin letter, and of the space between two words.
const LETTER: f32 = 0.5;
const SPACE: f32 = 0.2;

/// A gap within one piece that is a space, in thousandths of the letters' size.
const KERNED: f32 = 180.0;

/// A transformation: how much the axes grow, and where zero is. Turned text is
/// read as if it were not.
#[derive(Debug, Clone, Copy)]
struct Frame {
    across: f32,
    up: f32,
    x: f32,
    y: f32,
}

impl Frame {
    const WHOLE: Self = Self { across: 1.0, up: 1.0, x: 0.0, y: 0.0 };

    fn of(operands: &[Object]) -> Option<Self> {
        let numbers: Vec<_> = operands.iter().map_while(|it| it.as_float().ok()).collect();
        let [a, _, _, d, x, y] = numbers[..] else { return None };
        Some(Self { across: a, up: d, x, y })
    }

    /// This one, inside of another.
    fn within(self, outer: Self) -> Self {
        Self {
            across: self.across * outer.across,
            up: self.up * outer.up,
            x: self.x * outer.across + outer.x,
            y: self.y * outer.up + outer.y,
        }
    }
}

/// Where a piece was shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// Where it ends, as estimated.
    end: f32,
    y: f32,
    size: f32,
    /// How far it stands below the line before.
    below: f32,
}

/// Takes what a page shows, in order.
#[derive(Debug)]
pub(super) struct Page<'a> {
    fonts: BTreeMap<Vec<u8>, &'a Font<'a>>,
    font: Option<&'a Font<'a>>,
    size: f32,
    leading: f32,
    outer: Frame,
    states: Vec<Frame>,
    line: Frame,
    last: Option<Shown>,
    text: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(fonts: BTreeMap<Vec<u8>, &'a Font<'a>>) -> Self {
        Self {
            fonts,
            font: None,
            size: 1.0,
            leading: 0.0,
            outer: Frame::WHOLE,
            states: Vec::new(),
            line: Frame::WHOLE,
            last: None,
            text: String::new(),
        }
    }

    pub(super) fn finished(self) -> String {
        self.text
    }

    pub(super) fn take(&mut self, operation: &Operation) {
        let operands = operation.operands.as_slice();
        let number = |at: usize| operands.get(at).and_then(|it| it.as_float().ok());
        match (operation.operator.as_str(), operands) {
            ("q", _) if self.states.len() < MAX_STATES => self.states.push(self.outer),
            ("Q", _) => self.outer = self.states.pop().unwrap_or(self.outer),
            ("cm", _) => {
                self.outer = Frame::of(operands).map_or(self.outer, |it| it.within(self.outer));
            }
            ("BT", _) => self.line = Frame::WHOLE,
            ("Tf", [Object::Name(name), ..]) => {
                self.font = self.fonts.get(name).copied();
                self.size = number(1).unwrap_or(self.size);
            }
            ("TL", _) => self.leading = number(0).unwrap_or(self.leading),
            ("Tm", _) => self.line = Frame::of(operands).unwrap_or(self.line),
            ("Td" | "TD", _) => {
                let (x, y) = (number(0).unwrap_or(0.0), number(1).unwrap_or(0.0));
                if operation.operator == "TD" {
                    self.leading = -y;
                }
                self.step(x, y);
            }
            ("T*", _) => self.step(0.0, -self.leading),
            ("Tj" | "TJ", [shown, ..]) => self.show(shown),
            ("'", [shown, ..]) | ("\"", [_, _, shown, ..]) => {
                self.step(0.0, -self.leading);
                self.show(shown);
            }
            _ => {}
        }
    }

    fn step(&mut self, x: f32, y: f32) {
        self.line.x += x * self.line.across;
        self.line.y += y * self.line.up;
    }

    fn show(&mut self, shown: &Object) {
        let Some(font) = self.font else { return };
        let alone = std::slice::from_ref(shown);
        let parts = shown.as_array().map_or(alone, Vec::as_slice);
        let mut piece = String::new();
        for part in parts {
            let kerned = part.as_float().is_ok_and(|it| it < -KERNED);
            if let Object::String(bytes, _) = part {
                piece.push_str(&font.text(bytes));
            } else if kerned && !piece.ends_with(|it: char| it == ' ' || is_wide(it)) {
                piece.push(' ');
            }
        }
        if !piece.is_empty() {
            self.place(&piece);
        }
    }

    /// Writes a piece where it belongs, after what was shown before.
    fn place(&mut self, piece: &str) {
        let at = self.line.within(self.outer);
        let size = (self.size * at.up).abs().max(0.1);
        let mut below = 0.0;
        if let Some(last) = self.last {
            let lower = last.y - at.y;
            let tall = size.min(last.size);
            below = if lower.abs() > LOWER * tall { lower } else { last.below };
            if lower.abs() > LOWER * tall {
                let usual = if last.below > 0.0 { last.below } else { tall * 1.5 };
                let further = lower > usual * FURTHER || lower < 0.0;
                let resized = size.max(last.size) > tall * 1.15;
                self.text.push_str(if further || resized { "\n\n" } else { "\n" });
            } else if at.x - last.end > SPACE * size && !self.joins(piece) {
                self.text.push(' ');
            }
        }
        self.text.push_str(piece);
        let start = self.last.filter(|it| (it.y - at.y).abs() <= LOWER * size);
        let start = start.map_or(at.x, |it| at.x.max(it.end));
        self.last = Some(Shown { end: start + width(piece) * size, y: at.y, size, below });
    }

    /// Whether no space stands between what is written and this piece.
    fn joins(&self, piece: &str) -> bool {
        let ends = |it: char| it.is_whitespace() || is_wide(it);
        self.text.ends_with(ends) || piece.starts_with(ends)
    }
}

/// The width of a piece, in its letters' size.
fn width(piece: &str) -> f32 {
    piece.chars().map(|it| if is_wide(it) { 1.0 } else { LETTER }).sum()
}
