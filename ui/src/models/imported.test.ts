import { expect, test } from 'vitest';

import type { ImportLine } from '../bindings';
import { RECORDED } from '../host/fake/recorded';
import { byFate, counts, given, hindrance, lacksImage, sourceWords } from './imported';

const views = RECORDED.imports.reads.map((one) => one.view);

test('every line is in one group, and what stands in the way comes first', () => {
  for (const { lines } of views) {
    const groups = byFate(lines);
    expect(groups.flatMap((group) => group.lines)).toHaveLength(lines.length);
    const first = groups[0]?.fate;
    if (lines.some((line) => line.fate === 'missing')) expect(first).toBe('missing');
  }
});

test('the parts are counted', () => {
  const line = (fate: ImportLine['fate']): ImportLine => ({ item: 'a', given: '', fate });
  expect(counts([line('kept')])).toBe('1 part: 1 kept.');
  expect(counts([line('kept'), line('missing'), line('kept')])).toBe(
    '3 parts: 1 in the way, 2 kept.',
  );
});

test('what can be kept has no hindrance, and each other says one', () => {
  for (const view of views)
    expect(hindrance(view) === null, view.title).toBe(view.confirmation !== null);
  expect(views.some((view) => hindrance(view) !== null && lacksImage(view))).toBe(true);
  const [view] = views;
  if (!view) throw new Error('nothing was read');
  expect(hindrance({ ...view, confirmation: null, lines: [] })).toMatch(/holds nothing/);
});

test('a part’s own name is not said twice', () => {
  const line = (item: string, text: string): ImportLine => ({ item, given: text, fate: 'kept' });
  expect(given(line('--port', '--port 8000'))).toBe('8000');
  expect(given(line('--port', '--port=8000'))).toBe('8000');
  expect(given(line('--port', '--portal 1'))).toBe('--portal 1');
  expect(given(line('image', 'o/n:1'))).toBe('o/n:1');
  expect(given(line('--eager', '--eager'))).toBe('');
});

test('where a recipe came from is said', () => {
  expect(sourceWords({ kind: 'pasted' })).toBe('pasted');
  expect(sourceWords({ kind: 'file', name: 'a.yaml' })).toBe('from the file a.yaml');
  expect(sourceWords({ kind: 'address', address: 'https://x' })).toBe('from https://x');
  expect(sourceWords({ kind: 'copy', of: 'a' })).toBe('a copy of a');
});
