import { expect, test } from 'vitest';

import { blocksOf } from './blocks';
import { GrowingBlocks } from './growing';

/** Numbers from 0 to 1 that are the same in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

const PIECES = [
  'Some words about **two** machines and `code`.\n',
  'More words, \\*not\\* emphasis, 2 * 3 = 6.\n\n',
  '# A heading\n\n',
  'Under\n===\n',
  'Under\n---\n\n',
  '- one\n- two\n  more of two\n- three\n',
  '- a\n\n- b\n\n  a paragraph in b\n',
  '* other mark\n',
  '  - deeper\n    - deeper still\n',
  '1. first\n2. second\n10. tenth\n',
  '3) third\n4) fourth\n\n',
  ' - a\n  - b\n   - c\n    - d\n',
  '> quoted\n> > twice\n\n',
  '```rust\nfn main() {}\n\n- not a list\n```\n',
  '~~~\n| a | b |\n~~~\n\n',
  '| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | **4** |\n',
  '| x |\n|---|\n| y |\n\n',
  'a | b\n- | -\nc | d\n',
  '| 5 | 6 |\n',
  '    indented code\n\n',
  '---\n\n',
  '[words](https://example.org/a) and ![a](b)\n',
  '<script>no</script>\n\n',
  'right\u202eto left \u2028 and \r a return\n',
  '\n',
  '- [ ] open\n- [x] done\n',
  'A line of words that is long enough to be one whatever comes after it in this line.\n\n',
  '- - - - - - - - - - - - - - - - - - - - - - - - - - - - -\n',
  '- An item with words that are enough for the same, and then some more.\n',
  'Line with two spaces  \nand the next.\n\n',
  'So \\( a * b * c \\) and $x_1$ cost $5 or $6.\n',
  '\\[\nE = m\n- c^2\n\\]\n',
  '\\[ a_1 + a_2 \\] where a is a long enough line of words to be one.\n\n',
  '$$\nx\n$$\n\n',
  '\\[ open\n- and on\n',
  'A note[^1] and https://example.org/a_(b) or www.example.org.\n',
  '[^1]: The note\n  goes on.\n',
  '| a<br>b | $c$ |\n',
  '**「重要」**です。\n',
];

function text(next: () => number): string {
  const pick = (): string => PIECES[Math.floor(next() * PIECES.length)] ?? '';
  return Array.from({ length: 2 + Math.floor(next() * 9) }, pick).join('');
}

test('at every moment it is what the text as a whole gives', () => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const next = numbers(seed);
    const whole = text(next);
    const growing = new GrowingBlocks((open) => open);
    for (let end = 1; end < whole.length; end += 1 + Math.floor(next() * 9)) {
      const part = whole.slice(0, end);
      const shown = growing.read(part);
      expect(shown, JSON.stringify(part)).toEqual(blocksOf(part));
    }
  }
}, 60_000);

test('what stands before the end is not read again', () => {
  const growing = new GrowingBlocks();
  const list = Array.from({ length: 300 }, (_, i) => `- item ${i}\n`).join('');
  const table = '| a |\n|---|\n' + Array.from({ length: 300 }, (_, i) => `| ${i} |\n`).join('');
  let source = 'First.\n\n';
  for (const line of `${list}\n${table}\nLast.\nWords`.split(/(?<=\n)/)) {
    source += line;
    growing.read(source);
  }
  const [before, items, rows] = growing.read(source + ' words');
  const [again, sameItems, sameRows] = growing.read(source + ' words and more');
  expect(again).toBe(before);
  expect(sameItems).toBe(items);
  expect(sameRows).toBe(rows);
  expect(items).toMatchObject({ kind: 'list' });
  expect(items?.kind === 'list' && items.items).toHaveLength(300);
  expect(rows?.kind === 'table' && rows.rows).toHaveLength(300);
});

test('what is open at the end is closed for now', () => {
  const growing = new GrowingBlocks();
  growing.read('First.\n\nSome **wor');
  expect(growing.read('First.\n\nSome **words')).toEqual(blocksOf('First.\n\nSome **words**'));
});

test('another text is read anew', () => {
  const growing = new GrowingBlocks();
  growing.read('- a\n- b\n- c');
  expect(growing.read('Words.')).toEqual(blocksOf('Words.'));
});

test('a reference that was named once leads somewhere in all later words', () => {
  const growing = new GrowingBlocks();
  const source = '[a]: https://example.org/a\n\nFirst.\n\nSecond.\n\nThen [a].';
  for (let end = 1; end <= source.length; end += 1) growing.read(source.slice(0, end));
  expect(JSON.stringify(growing.read(source))).toContain('https://example.org/a');
});
