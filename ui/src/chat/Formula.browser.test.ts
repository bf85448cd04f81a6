import { render } from '@testing-library/svelte';
import { expect, test } from 'vitest';

import Markdown from './Markdown.svelte';

const drawn = (source: string): HTMLElement => render(Markdown, { source }).container;

test('mathematics is set, with its meaning for a screen reader', () => {
  const place = drawn('The sum \\( a + b \\) is\n\n\\[\n\\frac{a}{b}\n\\]');
  expect(place.querySelectorAll('.katex')).toHaveLength(2);
  expect(place.querySelectorAll('math')).toHaveLength(2);
  expect(place.querySelector('.katex-display')).not.toBeNull();
});

test.each([
  '\\frac{',
  '\\href{javascript:alert(1)}{x}',
  '\\includegraphics{https://example.org/a.png}',
  '\\htmlStyle{position:fixed}{x}',
  '\\char"202E x',
  '\\def\\a{\\a\\a}\\a',
])('%s is not set but shown', (source) => {
  const place = drawn(`So \\( ${source} \\).`);
  expect(place.querySelector('.katex a, img, [style*="fixed"]')).toBeNull();
  const shown =
    place.querySelector('code')?.textContent ?? place.querySelector('.katex-html')?.textContent;
  expect(shown).toContain(source.slice(0, 5));
});

test('a formula stays in its place however far it wants to go', () => {
  const place = drawn(
    'Before \\( \\kern-900em x \\raisebox{900em}{y} \\rule{900em}{900em} \\) after.',
  );
  const formula = place.querySelector<HTMLElement>('.formula');
  expect(formula).not.toBeNull();
  expect(getComputedStyle(formula as HTMLElement).contain).toBe('paint');
  expect(formula?.getBoundingClientRect().height).toBeLessThan(1000);
});

test('a difference has a ground under its lines, and long lines break when asked', async () => {
  const place = drawn('```diff\n-old\n+new\n same\n```');
  expect(place.querySelector('.added')?.textContent).toBe('+new');
  expect(place.querySelector('.removed')?.textContent).toBe('-old');
  const button = [...place.querySelectorAll('button')].find((b) => b.textContent === 'Wrap lines');
  button?.click();
  await expect.poll(() => button?.getAttribute('aria-pressed')).toBe('true');
  expect(getComputedStyle(place.querySelector('pre') as HTMLElement).whiteSpace).toContain('wrap');
});
