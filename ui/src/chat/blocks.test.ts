import { describe, expect, test } from 'vitest';
import { blocksOf, type Block } from './blocks';

const only = (source: string): Block | undefined => blocksOf(source)[0];

describe('what the model writes', () => {
  test('paragraphs, emphasis and code', () => {
    expect(only('Use **two** `rails`.')).toEqual({
      kind: 'paragraph',
      children: [
        { kind: 'text', text: 'Use ' },
        { kind: 'strong', children: [{ kind: 'text', text: 'two' }] },
        { kind: 'text', text: ' ' },
        { kind: 'code', text: 'rails' },
        { kind: 'text', text: '.' },
      ],
    });
  });

  test('lists in lists', () => {
    expect(only('3. a\n   - b\n4. c')).toEqual({
      kind: 'list',
      ordered: true,
      start: 3,
      items: [
        [
          { kind: 'paragraph', children: [{ kind: 'text', text: 'a' }] },
          {
            kind: 'list',
            ordered: false,
            start: 1,
            items: [[{ kind: 'paragraph', children: [{ kind: 'text', text: 'b' }] }]],
          },
        ],
        [{ kind: 'paragraph', children: [{ kind: 'text', text: 'c' }] }],
      ],
    });
  });

  test('tables with their alignment', () => {
    expect(only('| a | b |\n|---|--:|\n| 1 | 2 |')).toEqual({
      kind: 'table',
      head: [
        { align: 'start', children: [{ kind: 'text', text: 'a' }] },
        { align: 'end', children: [{ kind: 'text', text: 'b' }] },
      ],
      rows: [
        [
          { align: 'start', children: [{ kind: 'text', text: '1' }] },
          { align: 'end', children: [{ kind: 'text', text: '2' }] },
        ],
      ],
    });
  });

  test('a code block that is not closed yet', () => {
    expect(only('```python\nprint(1)')).toEqual({
      kind: 'code',
      language: 'python',
      text: 'print(1)',
    });
  });
});

describe('what a hostile answer writes', () => {
  test('raw tags stay letters', () => {
    expect(
      JSON.stringify(blocksOf('<img src=x onerror=alert(1)> <script>alert(1)</script>')),
    ).toContain('<script>alert(1)</script>');
    expect(
      blocksOf("<iframe src='https://example.org'></iframe>").map((block) => block.kind),
    ).toEqual(['paragraph']);
  });

  test('a picture is its description, its address goes nowhere', () => {
    const text = JSON.stringify(blocksOf('![a cat](https://example.org/track.png)'));
    expect(text).toContain('{"kind":"picture","text":"a cat"}');
    expect(text).not.toContain('track.png');
  });

  test.each(['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'tauri://localhost'])(
    '%s is no address to copy',
    (address) => {
      expect(JSON.stringify(blocksOf(`[click](${address})`))).toContain('"address":null');
    },
  );

  test('a web address is kept as it is', () => {
    expect(JSON.stringify(blocksOf('[click](https://example.org/a?b=1)'))).toContain(
      '"address":"https://example.org/a?b=1"',
    );
  });

  test('turned writing is made visible', () => {
    expect(only('`rm \u202e-rf`')).toEqual({
      kind: 'paragraph',
      children: [{ kind: 'code', text: 'rm ⟨U+202E⟩-rf' }],
    });
  });

  test('nesting ends somewhere', () => {
    const depth = (blocks: Block[]): number =>
      Math.max(
        0,
        ...blocks.map((block) => (block.kind === 'quote' ? 1 + depth(block.children) : 0)),
      );
    expect(depth(blocksOf('>'.repeat(5000) + ' deep'))).toBeLessThan(25);
  });

  test('a language name is only a name', () => {
    expect(only('```"><b>\nx\n```')).toMatchObject({ kind: 'code', language: '' });
  });
});
