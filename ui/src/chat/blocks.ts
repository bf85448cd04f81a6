// Markdown as a tree that components draw. The model's words never become HTML text: raw tags stay
// letters, pictures become their description, and links become words beside their address. There is
// therefore nothing to sanitise and nothing that could load from elsewhere.

import MarkdownIt, { type Token } from 'markdown-it';
import cjkFriendly from 'markdown-it-cjk-friendly';
import { visible } from '../kit/visible';
import { withMath } from './math';
import { surroundings, withSyntax } from './syntax';

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong' | 'em' | 'del'; children: Inline[] }
  | { kind: 'link'; address: string | null; children: Inline[] }
  | { kind: 'picture'; text: string }
  | { kind: 'math'; text: string; display: boolean }
  /** The name of a footnote, where the text points to it. */
  | { kind: 'note'; text: string }
  /** The box of a task. */
  | { kind: 'task'; done: boolean }
  | { kind: 'break' };

export type Align = 'start' | 'center' | 'end';

export interface Cell {
  align: Align;
  children: Inline[];
}

export type Block =
  | { kind: 'paragraph'; children: Inline[] }
  | { kind: 'heading'; level: number; children: Inline[] }
  | { kind: 'list'; ordered: boolean; start: number; items: Block[][] }
  | { kind: 'quote'; children: Block[] }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'table'; head: Cell[]; rows: Cell[][] }
  /** With the words behind its end. */
  | { kind: 'math'; text: string; after: Inline[] }
  | { kind: 'note'; name: string; children: Inline[] }
  | { kind: 'rule' };

// A hostile answer can nest quotes without end; twenty levels are more than anyone reads.
const parser = new MarkdownIt('default', {
  html: false,
  linkify: true,
  breaks: false,
  maxNesting: 20,
});
parser.use(cjkFriendly);
withMath(parser);
withSyntax(parser);
// The parser's own refusal of dangerous addresses would leave the brackets standing; `link` below decides.
parser.validateLink = () => true;

/** A block with where it stands. */
export interface Parsed {
  block: Block;
  /** Its first line in the text, counted from 0. */
  line: number;
  /** The first lines of a list's items or of a table's rows under its head; none of other blocks. */
  parts: number[];
}

/** Parses Markdown into blocks. */
export function blocksOf(source: string): Block[] {
  return parsed(source, {}).map((found) => found.block);
}

/** What the names of references lead to, for example `[1]: https://…`. The first line with a name counts. */
export type References = Record<string, { title: string; href: string }>;

/** Parses Markdown into blocks with their places. References that it defines are added to `known`. */
export function parsed(source: string, known: References): Parsed[] {
  const found: Parsed[] = [];
  const shown = visible(source);
  const tokens = parser.parse(shown, { references: known, ...surroundings(shown) });
  for (const { open, inner } of groups(tokens)) {
    const block = blockOf(open, inner);
    if (block === null) continue;
    const [from = 0, to = from] = open.map ?? [];
    found.push({ block, line: from, parts: partsOf(block, inner, from, to) });
  }
  return found;
}

function partsOf(block: Block, inner: Token[], from: number, to: number): number[] {
  if (block.kind === 'list') return groups(inner).map((item) => item.open.map?.[0] ?? from);
  if (block.kind !== 'table') return [];
  return block.rows.map((_, row) => to - block.rows.length + row);
}

interface Group {
  open: Token;
  inner: Token[];
}

/** Pairs every opening token of one level with what lies between it and its end. */
function groups(tokens: Token[]): Group[] {
  const found: Group[] = [];
  for (let i = 0; i < tokens.length; i += 1) {
    const open = tokens[i];
    if (open === undefined) break;
    let end = i;
    if (open.nesting === 1) {
      let depth = 1;
      while (depth > 0 && end + 1 < tokens.length) {
        end += 1;
        depth += tokens[end]?.nesting ?? 0;
      }
    }
    found.push({
      open,
      inner: tokens.slice(i + 1, open.nesting === 1 ? end : i + 1),
    });
    i = end;
  }
  return found;
}

function blockOf(open: Token, inner: Token[]): Block | null {
  switch (open.type) {
    case 'paragraph_open':
      return { kind: 'paragraph', children: inlineOf(inner) };
    case 'heading_open':
      return { kind: 'heading', level: Number(open.tag.slice(1)), children: inlineOf(inner) };
    case 'bullet_list_open':
    case 'ordered_list_open':
      return {
        kind: 'list',
        ordered: open.type === 'ordered_list_open',
        start: Number(open.attrGet('start') ?? 1),
        items: groups(inner).map((item) => withTask(nested(item.inner))),
      };
    case 'blockquote_open':
      return { kind: 'quote', children: nested(inner) };
    case 'fence':
    case 'code_block':
      return {
        kind: 'code',
        language: languageOf(open.info),
        text: open.content.replace(/\n$/, ''),
      };
    case 'table_open':
      return tableOf(inner);
    case 'math_open':
      return open.info === ''
        ? { kind: 'math', text: open.content, after: inlineOf(inner) }
        : // Without its end it is its source.
          { kind: 'paragraph', children: [{ kind: 'text', text: open.info + open.content }] };
    case 'note_open':
      return { kind: 'note', name: open.content, children: inlineOf(inner) };
    case 'hr':
      return { kind: 'rule' };
    default:
      // Deeper than `maxNesting` the parser leaves bare inline tokens; their words still count.
      return open.type === 'inline' ? { kind: 'paragraph', children: inlineOf([open]) } : null;
  }
}

function nested(tokens: Token[]): Block[] {
  return groups(tokens)
    .map(({ open, inner }) => blockOf(open, inner))
    .filter((block) => block !== null);
}

/** `[ ] words` and `[x] words` at the begin of an item are a task. */
function withTask(item: Block[]): Block[] {
  const [first, ...others] = item;
  if (first?.kind !== 'paragraph') return item;
  const [begin, ...children] = first.children;
  const box = begin?.kind === 'text' ? /^\[([ xX])\]\s+/.exec(begin.text) : null;
  if (begin?.kind !== 'text' || box === null) return item;
  const task: Inline = { kind: 'task', done: box[1] !== ' ' };
  const words: Inline = { kind: 'text', text: begin.text.slice(box[0].length) };
  return [{ kind: 'paragraph', children: [task, words, ...children] }, ...others];
}

function tableOf(tokens: Token[]): Block {
  const rows: Cell[][] = [];
  for (const section of groups(tokens)) {
    for (const row of groups(section.inner)) {
      rows.push(
        groups(row.inner).map((cell) => ({
          align: alignOf(cell.open),
          children: inlineOf(cell.inner),
        })),
      );
    }
  }
  const [head = [], ...body] = rows;
  return { kind: 'table', head, rows: body };
}

function alignOf(cell: Token): Align {
  const style = String(cell.attrGet('style') ?? '');
  if (style.includes('center')) return 'center';
  return style.includes('right') ? 'end' : 'start';
}

function languageOf(info: string): string {
  return /^[\w+#.-]{1,24}/.exec(info.trim())?.[0] ?? '';
}

function inlineOf(tokens: Token[]): Inline[] {
  return tokens.flatMap((token) => inlineTree(token.children ?? []));
}

function inlineTree(tokens: Token[]): Inline[] {
  const found: Inline[] = [];
  for (const { open, inner } of groups(tokens)) {
    switch (open.type) {
      case 'strong_open':
      case 'em_open':
        found.push({
          kind: open.type === 'em_open' ? 'em' : 'strong',
          children: inlineTree(inner),
        });
        break;
      case 's_open':
        found.push({ kind: 'del', children: inlineTree(inner) });
        break;
      case 'link_open':
        found.push({
          kind: 'link',
          address: addressOf(open.attrGet('href')),
          children: inlineTree(inner),
        });
        break;
      case 'code_inline':
        found.push({ kind: 'code', text: open.content });
        break;
      case 'math_inline':
        found.push({ kind: 'math', text: open.content, display: open.info === 'display' });
        break;
      case 'note_reference':
        found.push({ kind: 'note', text: open.content });
        break;
      case 'image':
        found.push({ kind: 'picture', text: open.content });
        break;
      case 'hardbreak':
        found.push({ kind: 'break' });
        break;
      case 'softbreak':
        found.push({ kind: 'text', text: '\n' });
        break;
      default:
        if (open.content !== '') found.push({ kind: 'text', text: open.content });
    }
  }
  return found;
}

/** The address as it may be copied: web and mail only. Anything else is worth nothing outside a browser. */
function addressOf(href: string | number | null): string | null {
  if (typeof href !== 'string') return null;
  return /^(https?:\/\/|mailto:)/i.test(href) ? href : null;
}

/** The words of inline pieces, without their marks. */
export function wordsOf(list: Inline[]): string {
  return list
    .map((piece) => {
      if ('children' in piece) return wordsOf(piece.children);
      return 'text' in piece ? piece.text : ' ';
    })
    .join('');
}
