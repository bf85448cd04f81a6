import { expect, test } from 'vitest';

import { importedWords } from './imported';

test('what came and what was left out is told', () => {
  const taken = { conversations: 1, messages: 1, left_out: 0, last: 'c' };
  expect(importedWords(taken)).toBe('Imported 1 conversation with 1 message.');
  expect(importedWords({ ...taken, conversations: 2, messages: 1200, left_out: 3 })).toBe(
    'Imported 2 conversations with 1,200 messages. Left out: 3 images or files.',
  );
  expect(importedWords({ ...taken, left_out: 1 })).toContain('1 image or file.');
});
