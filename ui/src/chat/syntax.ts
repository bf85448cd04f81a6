// What answers have beside CommonMark and the tables of GFM: line breaks as `<br>`, footnotes, and addresses without
// brackets. Footnotes stay where they were written, so that an answer need not be read to its end to draw its begin.

import type { MarkdownIt, StateBlock, StateInline } from 'markdown-it';

/** The names of footnotes that a text explains, in the environment of the parser. */
const NOTES = Symbol('notes');

const REFERENCE = /\[\^([\w-]{1,32})\]/y;
const BREAK = /<br\s*\/?>/iy;
const NOTE = /^ {0,3}\[\^([\w-]{1,32})\]:/gm;

/** Makes the parser read them. */
export function withSyntax(parser: MarkdownIt): void {
  parser.inline.ruler.before('html_inline', 'line_break', lineBreak);
  parser.inline.ruler.before('link', 'note', noteReference);
  parser.block.ruler.before('reference', 'note', note, { alt: ['paragraph', 'reference'] });
  // Words like `main.rs` are no addresses; those that begin with `www.` are.
  parser.linkify.set({ fuzzyLink: false });
  parser.linkify.add('ftp:', null).add('//', null);
  parser.linkify.add('www.', {
    validate: (text, pos, { re }) => {
      const address = re.get_relative_proto_validator();
      address.lastIndex = pos - 'www.'.length;
      return Math.max(0, (address.exec(text)?.[0].length ?? 0) - 'www.'.length);
    },
    normalize: (match) => {
      match.url = `https://${match.url}`;
    },
  });
}

/** What the parser needs to know of a text before it reads it. */
export function surroundings(source: string): Record<symbol, unknown> {
  return { [NOTES]: new Set([...source.matchAll(NOTE)].map((found) => found[1])) };
}

function lineBreak(state: StateInline, silent: boolean): boolean {
  BREAK.lastIndex = state.pos;
  const found = BREAK.exec(state.src);
  if (found === null) return false;
  if (!silent) state.push('hardbreak', '', 0);
  state.pos += found[0].length;
  return true;
}

/** Numbers are footnotes wherever they stand, names only where the text explains them: `[^abc]` may be a pattern. */
function noteReference(state: StateInline, silent: boolean): boolean {
  REFERENCE.lastIndex = state.pos;
  const found = REFERENCE.exec(state.src);
  if (found === null || state.src[state.pos + found[0].length] === '(') return false;
  const name = found[1] ?? '';
  const named = state.env[NOTES];
  if (!/^\d{1,3}$/.test(name) && !(named instanceof Set && named.has(name))) return false;
  if (!silent) state.push('note_reference', '', 0).content = name;
  state.pos += found[0].length;
  return true;
}

/** A footnote: its name, its words, and what is set in below them. */
function note(state: StateBlock, start: number, end: number, silent: boolean): boolean {
  if ((state.sCount[start] ?? 0) - state.blkIndent >= 4) return false;
  const text = (line: number) => state.src.slice(state.bMarks[line], state.eMarks[line]);
  const from = (state.bMarks[start] ?? 0) + (state.tShift[start] ?? 0);
  const found = /^\[\^([\w-]{1,32})\]:/.exec(state.src.slice(from, state.eMarks[start]));
  if (found === null) return false;
  if (silent) return true;
  const lines = [state.src.slice(from + found[0].length, state.eMarks[start])];
  let line = start + 1;
  while (line < end && !state.isEmpty(line) && (state.sCount[line] ?? 0) >= state.blkIndent + 2) {
    lines.push(text(line));
    line += 1;
  }
  state.line = line;
  const token = state.push('note_open', '', 1);
  token.map = [start, line];
  token.content = found[1] ?? '';
  const words = state.push('inline', '', 0);
  words.content = lines.map((words) => words.trim()).join('\n');
  words.map = [start, line];
  words.children = [];
  state.push('note_close', '', -1);
  return true;
}
