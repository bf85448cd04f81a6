import { describe, expect, test } from 'vitest';
import { closePartial } from './partialMarkdown';

describe('closing what is open at the end', () => {
  test.each([
    ['It is **very', 'It is **very**'],
    ['It is **', 'It is '],
    ['It is **very *new', 'It is **very *new***'],
    ['run `docker ps', 'run `docker ps`'],
    ['run `', 'run '],
    ['see [the page](https://exam', 'see the page'],
    ['see [the pa', 'see the pa'],
    ['gone ~~away', 'gone ~~away~~'],
    ['first **a**\n\nthen **b', 'first **a**\n\nthen **b**'],
    ['**so \\( a*b', '**so **\\( a*b'],
    ['one <b', 'one '],
    ['one<br /', 'one'],
    ['a note[^1', 'a note'],
  ])('%j becomes %j', (source, closed) => {
    expect(closePartial(source)).toBe(closed);
  });

  test.each([
    'All of **it** is `whole` and [linked](https://example.org).',
    '2 * 3 is 6',
    '* a bullet\n* another',
    'a ~ b',
    '\\*not open',
    '```sh\necho **not markdown',
    '```sh\nls *\n```\n\nDone.',
    '- [ ] a task',
    'so \\( a*b*c',
    '$$\na*b',
    '\\( a*b \\) and $a*b$ end',
    'a < b',
    '',
  ])('%j stays as it is', (source) => {
    expect(closePartial(source)).toBe(source);
  });

  test('a fence that closes mark by mark is no line of code', () => {
    expect(closePartial('```\nls\n``')).toBe('```\nls\n');
    expect(closePartial('```\nls\n```')).toBe('```\nls\n```');
  });

  test('every prefix of an answer can be closed, and the whole is left alone', () => {
    const whole =
      '# Hi\n\nA **bold** _word_, `code`, [link](https://example.org/a).\n\n```rs\nlet a = *b;\n```\n\n1. one\n2. ***two***\n';
    for (let end = 0; end <= whole.length; end += 1) {
      expect(typeof closePartial(whole.slice(0, end)), `prefix of ${end}`).toBe('string');
    }
    expect(closePartial(whole)).toBe(whole);
  });
});
