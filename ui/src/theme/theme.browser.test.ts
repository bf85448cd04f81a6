import { expect, test } from 'vitest';

import { setTheme } from './theme';

// The tests' browser asks for reduced motion.
test('where motion is reduced, an appearance is there at once', () => {
  const ground = () => getComputedStyle(document.body).backgroundColor;
  setTheme('light');
  const light = ground();
  setTheme('dark');
  const dark = ground();
  expect(dark).not.toBe(light);
  setTheme('light');
  expect(ground()).toBe(light);
});
