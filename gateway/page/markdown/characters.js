// Characters: which are punctuation, what an entity stands for, and which
// would hide something. Knows the entities that answers use, not all 2,231.

const NAMED = new Map(
  `amp & lt < gt > quot " apos ' nbsp \u00a0 ensp \u2002 emsp \u2003 thinsp \u2009 shy \u00ad
  copy © reg ® trade ™ hellip … mdash — ndash – minus − lsquo ‘ rsquo ’ sbquo ‚ ldquo “ rdquo ” bdquo „
  laquo « raquo » lsaquo ‹ rsaquo › bull • middot · para ¶ sect § dagger † Dagger ‡ permil ‰ prime ′ Prime ″
  larr ← uarr ↑ rarr → darr ↓ harr ↔ lArr ⇐ rArr ⇒ hArr ⇔ times × divide ÷ plusmn ± deg ° micro µ
  frac12 ½ frac14 ¼ frac34 ¾ sup1 ¹ sup2 ² sup3 ³ ordf ª ordm º iexcl ¡ iquest ¿ cent ¢ pound £ curren ¤ yen ¥ euro €
  le ≤ ge ≥ ne ≠ equiv ≡ asymp ≈ sim ∼ infin ∞ sum ∑ prod ∏ radic √ int ∫ part ∂ nabla ∇ isin ∈ notin ∉
  cap ∩ cup ∪ sub ⊂ sup ⊃ sube ⊆ supe ⊇ empty ∅ forall ∀ exist ∃ and ∧ or ∨ not ¬ there4 ∴ oplus ⊕ otimes ⊗ perp ⊥ ang ∠
  alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ
  sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω
  auml ä ouml ö uuml ü Auml Ä Ouml Ö Uuml Ü szlig ß aacute á eacute é iacute í oacute ó uacute ú Eacute É
  agrave à egrave è ograve ò ugrave ù acirc â ecirc ê icirc î ocirc ô ucirc û ccedil ç Ccedil Ç ntilde ñ Ntilde Ñ
  atilde ã otilde õ aring å Aring Å aelig æ AElig Æ oslash ø Oslash Ø eth ð thorn þ yacute ý
  lbrack [ rbrack ] lbrace { rbrace } lpar ( rpar ) ast * num # grave \` bsol \\ vert | lowbar _ tilde ˜ circ ˆ
  spades ♠ clubs ♣ hearts ♥ diams ♦ check ✓ cross ✗ star ☆ starf ★`
    .split(/[ \n]+/)
    .reduce((pairs, it, at, all) => (at % 2 ? pairs : [...pairs, [it, all[at + 1]]]), []),
);
const ENTITY = /&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-zA-Z][a-zA-Z0-9]{1,31}));/y;
const ESCAPED = /\\([!-/:-@[-`{-~])/g;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const CJK = /[\u1100-\u11ff\u2e80-\u303f\u3040-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]/u;

// Controls, marks of direction, and what has no width: they reorder or hide.
const CONTROL = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f";
const DIRECTION = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069";
const WIDTHLESS = "\\u00ad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u2028\\u2029\\u2060-\\u2065\\u206a-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e0fff}";
/** What no address contains as it stands. */
export const HIDDEN = `${CONTROL}${DIRECTION}${WIDTHLESS}`;
const IN_CODE = new RegExp(`[${HIDDEN}]|(?<=[ -~])[\\u200c\\u200d](?=[ -~])`, "gu");
const ALL_HIDDEN = new RegExp(`[${HIDDEN}\\u200c\\u200d]`, "gu");
// Marks of direction are right in prose; what overrides the order is not.
const IN_PROSE = new RegExp(`[${CONTROL}\\u202d\\u202e]`, "g");
// Hardly a language has more marks on one letter; more would cover the lines above.
const STACKED = /(\p{M}{5})(\p{M}+)/gu;

/** The entity at a place of a text: what it stands for, and its length. */
export function entity(text, at) {
  ENTITY.lastIndex = at;
  const found = ENTITY.exec(text);
  if (!found) return null;
  const [whole, hexadecimal, decimal, name] = found;
  const text_of = name === undefined ? numbered(hexadecimal, decimal) : NAMED.get(name);
  return text_of === undefined ? null : { text: text_of, length: whole.length };
}

function numbered(hexadecimal, decimal) {
  const code = hexadecimal === undefined ? parseInt(decimal, 10) : parseInt(hexadecimal, 16);
  const none = code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff);
  return none ? "\ufffd" : String.fromCodePoint(code);
}

/** A text with its backslash escapes and entities resolved. */
export function unescaped(text) {
  if (!/[\\&]/.test(text)) return text;
  let out = "";
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    ESCAPED.lastIndex = at;
    if (text[at] === "\\" && ESCAPED.exec(text)?.index === at) {
      out += text.slice(from, at) + text[at + 1];
      from = at + 2;
      at += 1;
    } else if (text[at] === "&") {
      const found = entity(text, at);
      if (!found) continue;
      out += text.slice(from, at) + found.text;
      from = at + found.length;
      at = from - 1;
    }
  }
  return out + text.slice(from);
}

/** The character before a place, whole; a line's end where there is none. */
export function before(text, at) {
  if (at <= 0) return "\n";
  const pair = at > 1 && /[\udc00-\udfff]/.test(text[at - 1]) && /[\ud800-\udbff]/.test(text[at - 2]);
  return text.slice(pair ? at - 2 : at - 1, at);
}

/** The character at a place, whole; a line's end where there is none. */
export function after(text, at) {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at)) : "\n";
}

export const isSpace = (character) => /\s/.test(character);
export const isPunctuation = (character) => PUNCTUATION.test(character);
export const isCjk = (character) => CJK.test(character);

const named = (character) => `⟦U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`;

/** Code as it is shown and copied: what would hide or reorder has a name. */
export function code(text) {
  const bounded = text.replace(STACKED, (whole, kept, more) => kept + [...more].map(named).join(""));
  return bounded.replace(IN_CODE, named);
}

/** Prose as it is shown: controls, overrides of the order, and marks that are
 *  heaped on one letter have a sign. */
export function prose(text) {
  return text.replace(IN_PROSE, "\ufffd").replace(STACKED, "$1\ufffd");
}

/** A text of what can be seen only. */
export function seen(text) {
  return text.replace(ALL_HIDDEN, "");
}
