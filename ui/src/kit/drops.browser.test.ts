import { afterEach, expect, test } from 'vitest';

import { keepDropsOut } from './drops';

keepDropsOut(document);
afterEach(() => document.body.replaceChildren());

/** Drops on an element and says whether the browser was kept from acting on it. */
function dropped(on: Element, kind: string, data: string | File): boolean {
  const transfer = new DataTransfer();
  if (data instanceof File) transfer.items.add(data);
  else transfer.setData(kind, data);
  const event = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer });
  return !on.dispatchEvent(event);
}

test('a link or a file that is dropped beside a place for it opens nothing', () => {
  document.body.innerHTML = '<main><p>words</p><textarea></textarea></main>';
  const [words, field] = [document.querySelector('p')!, document.querySelector('textarea')!];
  const page = new File(['<p>password?</p>'], 'page.html', { type: 'text/html' });
  expect(dropped(words, 'text/uri-list', 'https://example.org')).toBe(true);
  expect(dropped(words, '', page)).toBe(true);
  expect(dropped(words, 'text/plain', 'words')).toBe(true);
  expect(dropped(field, 'text/uri-list', 'https://example.org')).toBe(true);
  expect(dropped(field, '', page)).toBe(true);
});

test('text goes into fields, and a place that takes a drop has it', () => {
  document.body.innerHTML = '<main><textarea></textarea><div></div></main>';
  expect(dropped(document.querySelector('textarea')!, 'text/plain', 'words')).toBe(false);
  const place = document.querySelector('div')!;
  let taken = '';
  place.addEventListener('drop', (event) => {
    event.preventDefault();
    taken = event.dataTransfer?.effectAllowed ?? '';
  });
  dropped(place, '', new File(['x'], 'a.png', { type: 'image/png' }));
  expect(taken).not.toBe('');
});
