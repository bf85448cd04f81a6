// Mathematics in Markdown, found by its marks: `\( \)` and `\[ \]`, `$$ $$`, and `$ $` by Pandoc's rule, which leaves
// amounts of money alone. A bracket without its end stays its source, so nothing jumps while it is being written.

import type { MarkdownIt, StateBlock, StateInline } from 'markdown-it';

interface Found {
  /** What stands between the marks, or the whole source where the end is missing. */
  text: string;
  display: boolean;
  closed: boolean;
  /** The place behind it. */
  end: number;
}

const DISPLAY: [open: string, close: string][] = [
  ['\\[', '\\]'],
  ['$$', '$$'],
];

/** Makes the parser find mathematics. */
export function withMath(parser: MarkdownIt): void {
  parser.inline.ruler.before('escape', 'math', inline);
  parser.block.ruler.before('fence', 'math', block, {
    alt: ['paragraph', 'reference', 'blockquote', 'list'],
  });
}

/** The mathematics that begins here; `null` where none does. */
export function mathAt(source: string, at: number, most = source.length): Found | null {
  if (source.startsWith('\\(', at)) return bracketed(source, at, most, '\\)', false);
  if (source.startsWith('\\[', at)) return bracketed(source, at, most, '\\]', true);
  if (source.startsWith('$$', at)) return bracketed(source, at, most, '$$', true);
  return source[at] === '$' ? dollared(source, at, most) : null;
}

function bracketed(
  source: string,
  at: number,
  most: number,
  close: string,
  display: boolean,
): Found | null {
  for (let i = at + 2; i < most; i += 1) {
    // What stands in backticks is code, and so are its brackets.
    if (source[i] === '`') return null;
    if (source.startsWith(close, i)) {
      const text = source.slice(at + 2, i);
      return text.trim() === '' ? null : { text, display, closed: true, end: i + 2 };
    }
    if (source[i] === '\\') i += 1;
  }
  return { text: source.slice(at, most), display, closed: false, end: most };
}

// Pandoc: something other than a space right behind the first dollar and right before the last, and no digit behind that.
function dollared(source: string, at: number, most: number): Found | null {
  if (/\s/.test(source[at + 1] ?? ' ')) return null;
  for (let i = at + 1; i < most; i += 1) {
    if (source[i] === '`') return null;
    if (source[i] === '\\') i += 1;
    else if (source[i] === '$') {
      const fits = !/\s/.test(source[i - 1] ?? ' ') && !/\d/.test(source[i + 1] ?? '');
      return fits
        ? { text: source.slice(at + 1, i), display: false, closed: true, end: i + 1 }
        : null;
    }
  }
  return null;
}

function inline(state: StateInline, silent: boolean): boolean {
  const found = mathAt(state.src, state.pos, state.posMax);
  if (found === null) return false;
  if (!silent) {
    const token = state.push(found.closed ? 'math_inline' : 'text', '', 0);
    token.content = found.text;
    token.info = found.display ? 'display' : '';
  }
  state.pos = found.end;
  return true;
}

/** A block begins with its mark and ends with it, or with an empty line. Words behind its end belong to it. */
function block(state: StateBlock, start: number, end: number, silent: boolean): boolean {
  const from = textBegin(state, start);
  if ((state.sCount[start] ?? 0) - state.blkIndent >= 4) return false;
  const marks = DISPLAY.find(([open]) => state.src.startsWith(open, from));
  if (marks === undefined) return false;
  if (silent) return true;
  const [open, close] = marks;
  const inside: string[] = [];
  let rest: string | null = null;
  let line = start;
  while (line < end && rest === null && !state.isEmpty(line)) {
    if (line > start && (state.sCount[line] ?? 0) < state.blkIndent) break;
    const begin = line === start ? from + open.length : textBegin(state, line);
    const words = state.src.slice(begin, state.eMarks[line]);
    const at = words.indexOf(close);
    if (at >= 0) rest = words.slice(at + close.length).trim();
    inside.push(at >= 0 ? words.slice(0, at) : words);
    line += 1;
  }
  state.line = line;
  const token = state.push('math_open', '', 1);
  token.map = [start, line];
  token.content = inside.join('\n');
  token.info = rest === null ? open : '';
  if (rest !== null && rest !== '') {
    const words = state.push('inline', '', 0);
    words.content = rest;
    words.map = [start, line];
    words.children = [];
  }
  state.push('math_close', '', -1);
  return true;
}

function textBegin(state: StateBlock, line: number): number {
  return (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0);
}
