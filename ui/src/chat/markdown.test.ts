// How answers write, by example: what models of many makers put into their words beside plain Markdown.

import { describe, expect, test } from 'vitest';

import { blocksOf, wordsOf, type Block, type Inline } from './blocks';

function inlines(blocks: Block[]): Inline[] {
  return blocks.flatMap((block) => {
    if (block.kind === 'paragraph' || block.kind === 'heading') return block.children;
    if (block.kind === 'list') return block.items.flatMap(inlines);
    if (block.kind === 'table')
      return [block.head, ...block.rows].flat().flatMap((cell) => cell.children);
    return [];
  });
}

const all = (source: string): Inline[] => inlines(blocksOf(source));
const strong = (source: string): string[] =>
  all(source).flatMap((piece) => (piece.kind === 'strong' ? [wordsOf(piece.children)] : []));
const math = (source: string): string[] =>
  all(source).flatMap((piece) => (piece.kind === 'math' ? [piece.text] : []));
const addresses = (source: string): (string | null)[] =>
  all(source).flatMap((piece) => (piece.kind === 'link' ? [piece.address] : []));

describe('mathematics', () => {
  test.each([
    ['The area is \\( \\pi r^2 \\) here.', [' \\pi r^2 ']],
    ['With $a^2 + b^2$ and $c$.', ['a^2 + b^2', 'c']],
    ['A line with \\[ x = 1 \\] in it.', [' x = 1 ']],
    ['Also $$y = 2$$ in it.', ['y = 2']],
    ['| a |\n|---|\n| $z$ |', ['z']],
    ['- item \\(k\\)', ['k']],
    ['It costs $20 and $30 a month.', []],
    ['Between US$5 and US$6 each.', []],
    ['A price of $5-$9.', []],
    ['Set $HOME and $PATH first.', []],
    ['Use `$a` and `$b` there.', []],
    ['Take $5 and `$HOME`x.', []],
    ['An escaped \\$5 and $ 6 $.', []],
    ['\\( is not closed', []],
    ['open `\\(` and `\\)`', []],
  ])('%j', (source, expected) => {
    expect(math(source)).toEqual(expected);
  });

  test.each([
    ['\\[\nA = b\n\\]', 'A = b'],
    ['$$\n\\frac{a}{b}\n$$', '\\frac{a}{b}'],
    ['$$ a + b $$', ' a + b '],
    ['Then:\n\\[\na\n- b\n= c\n\\]\nand so on', 'a\n- b\n= c'],
    ['> \\[ q \\]', ' q '],
    ['1. first\n   \\[\n   n\n   \\]', 'n'],
  ])('%j is a block', (source, text) => {
    const found = (blocks: Block[]): string[] =>
      blocks.flatMap((block) => {
        if (block.kind === 'math') return [block.text.replace(/^\n|\n$/g, '')];
        if (block.kind === 'quote') return found(block.children);
        return block.kind === 'list' ? block.items.flatMap(found) : [];
      });
    expect(found(blocksOf(source))).toEqual([text]);
  });

  test('what is behind its end goes on after it', () => {
    expect(blocksOf('\\[ x \\], where **x** is known.')).toMatchObject([
      { kind: 'math', text: ' x ', after: [{ text: ', where ' }, { kind: 'strong' }, {}] },
    ]);
  });

  test('a block without its end is its source, list marks and all', () => {
    expect(blocksOf('\\[\na\n- b\n*c*')).toEqual([
      { kind: 'paragraph', children: [{ kind: 'text', text: '\\[\na\n- b\n*c*' }] },
    ]);
  });
});

describe('what GFM and answers have beside', () => {
  test('a line break in a cell, and no other tag', () => {
    const kinds = all('| a |\n|---|\n| one<br>two<BR />three <b>four</b> |').map((p) => p.kind);
    expect(kinds).toEqual(['text', 'text', 'break', 'text', 'break', 'text']);
    expect(wordsOf(all('<b>four</b>'))).toBe('<b>four</b>');
  });

  test('tasks', () => {
    expect(blocksOf('- [x] pull\n- [ ] start **it**\n- [link]')).toMatchObject([
      {
        items: [
          [{ children: [{ kind: 'task', done: true }, { text: 'pull' }] }],
          [{ children: [{ kind: 'task', done: false }, { text: 'start ' }, { kind: 'strong' }] }],
          [{ children: [{ kind: 'text', text: '[link]' }] }],
        ],
      },
    ]);
  });

  test('footnotes', () => {
    const blocks = blocksOf(
      'Seen[^1] and told[^who].\n\n[^1]: By *me*.\n[^who]: By you\n  and me.',
    );
    expect(inlines(blocks).map((piece) => piece.kind)).toEqual([
      'text',
      'note',
      'text',
      'note',
      'text',
    ]);
    expect(blocks.slice(1)).toMatchObject([
      { kind: 'note', name: '1', children: [{ text: 'By ' }, { kind: 'em' }, { text: '.' }] },
      {
        kind: 'note',
        name: 'who',
        children: [{ text: 'By you' }, { text: '\n' }, { text: 'and me.' }],
      },
    ]);
    expect(wordsOf(all('all but [^abc] or [^0-9]'))).toBe('all but [^abc] or [^0-9]');
  });

  test.each([
    ['At https://example.org/docs/latest/ and on.', ['https://example.org/docs/latest/']],
    [
      '(www.example.net/x_(y)), mail us@example.net.',
      ['https://www.example.net/x_(y)', 'mailto:us@example.net'],
    ],
    ['Not `https://a.b` and not main.rs, node.js or //host/x.', []],
    ['ftp://example.org and javascript:alert(1)', []],
    [
      '[words](https://example.org) https://example.net.',
      ['https://example.org', 'https://example.net'],
    ],
  ])('addresses in %j', (source, expected) => {
    expect(addresses(source)).toEqual(expected);
  });
});

describe('emphasis beside Chinese and Japanese marks', () => {
  test.each([
    ['**「重要」**です。', ['「重要」']],
    ['これは**「強調」**です。', ['「強調」']],
    ['**注意：**模型已加载。', ['注意：']],
    ['请看**《手册》**第三章和**（附录）**。', ['《手册》', '（附录）']],
    ['a**b**c and **d**', ['b', 'd']],
    ['2 ** 3 ** 4', []],
  ])('%j', (source, expected) => {
    expect(strong(source)).toEqual(expected);
  });
});
