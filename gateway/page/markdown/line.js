// One line while blocks are cut from it: where reading stands, in characters
// and in columns (a tab reaches the next multiple of four).

const isSpace = (character) => character === " " || character === "\t";

export class Line {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.column = 0;
    /** Whether a tab at `at` has been used in part. */
    this.split = false;
    this.look();
  }

  /** Finds the next character that is no space: `next`, `indent`, `blank`. */
  look() {
    let next = this.at;
    let column = this.column;
    while (isSpace(this.text[next])) {
      column += this.text[next] === "\t" ? 4 - (column % 4) : 1;
      next += 1;
    }
    this.next = next;
    this.nextColumn = column;
    this.indent = column - this.column;
    this.blank = next >= this.text.length;
  }

  /** The character that follows the indentation. */
  get first() {
    return this.text[this.next];
  }

  /** Whether a space or a tab stands where reading stands. */
  get spaced() {
    return isSpace(this.text[this.at]);
  }

  get ended() {
    return this.at >= this.text.length;
  }

  /** Skips the indentation. */
  strip() {
    this.at = this.next;
    this.column = this.nextColumn;
    this.split = false;
    this.look();
  }

  /** Skips so many characters, none of them a tab. */
  skip(characters) {
    this.at += characters;
    this.column += characters;
    this.split = false;
    this.look();
  }

  /** Skips up to so many columns of spaces and tabs. */
  indented(columns) {
    while (columns > 0 && this.spaced) {
      const width = this.text[this.at] === "\t" ? 4 - (this.column % 4) : 1;
      this.split = width > columns;
      const used = Math.min(width, columns);
      this.column += used;
      columns -= used;
      if (!this.split) this.at += 1;
    }
    this.look();
  }

  /** What is left, the rest of a used tab as spaces. */
  rest() {
    if (!this.split) return this.text.slice(this.at);
    return " ".repeat(4 - (this.column % 4)) + this.text.slice(this.at + 1);
  }

  /** A place to come back to. */
  place() {
    return { at: this.at, column: this.column, split: this.split };
  }

  back(place) {
    Object.assign(this, place);
    this.look();
  }
}

/** A text without spaces and tabs around it; linear on any text. */
export function trimmed(text) {
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(text[from])) from += 1;
  while (to > from && isSpace(text[to - 1])) to -= 1;
  return text.slice(from, to);
}

/** A text without the spaces and tabs at its end. */
export function trimmedEnd(text) {
  let to = text.length;
  while (to > 0 && isSpace(text[to - 1])) to -= 1;
  return text.slice(0, to);
}
