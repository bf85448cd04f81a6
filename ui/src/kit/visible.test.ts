import { expect, test } from 'vitest';

import { visible } from './visible';

test('what nobody sees is shown by its number', () => {
  for (const [hidden, shown] of [
    ['a\u202eb', 'a⟨U+202E⟩b'],
    ['a\u200bb', 'a⟨U+200B⟩b'],
    ['a\u2066b\u2069', 'a⟨U+2066⟩b⟨U+2069⟩'],
    ['a\u200eb\u200fc\u061cd', 'a⟨U+200E⟩b⟨U+200F⟩c⟨U+061C⟩d'],
    ['\u001b[201~rm', '⟨U+001B⟩[201~rm'],
    ['a\u0008b\u007fc\u0085d', 'a⟨U+0008⟩b⟨U+007F⟩c⟨U+0085⟩d'],
    ['a\u2028b', 'a⟨U+2028⟩b'],
    ['a\rb', 'a⟨U+000D⟩b'],
    ['a\u{e0041}b', 'a⟨U+E0041⟩b'],
    ['a\u{e0101}b', 'a⟨U+E0101⟩b'],
    ['a\ufe01b', 'a⟨U+FE01⟩b'],
    ['pass\u200dword', 'pass⟨U+200D⟩word'],
    ['\ufeffa\u00adb', '⟨U+FEFF⟩a⟨U+00AD⟩b'],
  ] as const) {
    expect(visible(hidden)).toBe(shown);
  }
});

test('what shapes letters and pictures stays', () => {
  for (const text of [
    'one\ttwo\nthree\r\nfour',
    'family 👩‍👩‍👧 and 👩🏽‍🔬 and ❤️‍🔥',
    '☀️ and 1️⃣',
    'می‌خواهم',
    'क्‍ष',
    '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
    'عربي עברית 日本語',
  ]) {
    expect(visible(text)).toBe(text);
  }
});
