// The blocks of an answer that grows at its end. Only what can still change is parsed again: what stands before the
// last block, and in a list or a table what stands before its last item or row, is kept as it is. So an answer costs
// what its new words cost, however long it is.

import { parsed, type Block, type Cell, type Parsed, type References } from './blocks';
import { closePartial } from './partialMarkdown';

/** A list or a table whose end is still coming, with what of it is settled. */
type Open =
  | { kind: 'list'; list: Extract<Block, { kind: 'list' }> }
  | { kind: 'table'; head: Cell[]; rows: Cell[][]; lines: string };

/** A line this long that is no rule stays what it is, whatever follows in it. */
const SETTLED = /^(?=[^\n]*[^-*_=\s])[^\n]{40}/;

export class GrowingBlocks {
  #source = '';
  /** What cannot change any more. */
  #settled: Block[] = [];
  /** Where the rest begins. */
  #from = 0;
  #open: Open | null = null;
  /** What the references in the settled text lead to. */
  #known: References = {};
  /** A list that cannot be read from its last item on, which odd indents make, is read as a whole. */
  #inParts = true;

  /** `close` ends for now what is open at the end. */
  constructor(readonly close: (text: string) => string = closePartial) {}

  /** The blocks of the text as it is now. A text that does not continue the last one is read anew. */
  read(source: string): Block[] {
    if (!source.startsWith(this.#source)) this.#anew();
    this.#source = source;
    const tail = source.slice(this.#from);
    const before = this.#open?.kind === 'table' ? this.#open.lines : '';
    const found = parsed(before + this.close(tail), { ...this.#known });
    const blocks = found.map((group) => group.block);
    const first = blocks[0];
    if (this.#open !== null) {
      const whole = joined(this.#open, first);
      if (whole === null) {
        this.#anew();
        this.#inParts = false;
        return this.read(source);
      }
      blocks[0] = whole;
    }
    const shown = [...this.#settled, ...blocks];
    const from = this.#from;
    this.#settle(tail, lines(before), found, blocks);
    const settled = source.slice(from, this.#from);
    if (settled.includes(']:')) parsed(settled, this.#known);
    return shown;
  }

  #anew(): void {
    this.#source = '';
    this.#settled = [];
    this.#from = 0;
    this.#open = null;
    this.#known = {};
    this.#inParts = true;
  }

  /**
   * Keeps all but the last block, and all but the last part of that. Until its first line is whole a block may still
   * become a part of what stands before it: `1` is a paragraph, and `1.` the next item.
   */
  #settle(tail: string, added: number, found: Parsed[], blocks: Block[]): void {
    const last = found.at(-1);
    const block = blocks.at(-1);
    const starts = lineStarts(tail);
    const isWhole = (line: number): boolean =>
      starts[line - added + 1] !== undefined || SETTLED.test(tail.slice(starts[line - added]));
    if (last === undefined || block === undefined) return;
    if (found.length > 1 && !isWhole(last.line)) return;
    const at = (line: number): number => this.#from + (starts[line - added] ?? tail.length);
    if (found.length > 1) {
      this.#settled = [...this.#settled, ...blocks.slice(0, -1)];
      this.#open = null;
    }
    const index = last.parts.findLastIndex(isWhole);
    const part = last.parts[index];
    // Parts behind this one are read again, and in a list or a table that was open those before it are settled.
    const again = last.parts.length - index;
    if (this.#inParts && index > 0 && part !== undefined) {
      if (block.kind === 'list') {
        this.#open = { kind: 'list', list: { ...block, items: block.items.slice(0, -again) } };
        this.#from = at(part);
        return;
      }
      if (block.kind === 'table') {
        const head =
          this.#open?.kind === 'table'
            ? this.#open.lines
            : headLines(tail, starts, last.line - added);
        const rows = block.rows.slice(0, -again);
        this.#open = { kind: 'table', head: block.head, rows, lines: head };
        this.#from = at(part);
        return;
      }
    }
    if (found.length > 1) this.#from = at(last.line);
  }
}

/** The settled part with what was read of the rest; `null` where the two are not one. */
function joined(open: Open, first: Block | undefined): Block | null {
  if (open.kind === 'list') {
    if (first?.kind !== 'list' || first.ordered !== open.list.ordered) return null;
    return { ...open.list, items: [...open.list.items, ...first.items] };
  }
  if (first?.kind !== 'table' || first.head.length !== open.head.length) return null;
  return { kind: 'table', head: open.head, rows: [...open.rows, ...first.rows] };
}

/** Head and rule of the table that begins in this line. */
function headLines(tail: string, starts: number[], line: number): string {
  return tail.slice(starts[line] ?? 0, starts[line + 2] ?? tail.length);
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

function lines(text: string): number {
  return text.split('\n').length - 1;
}
