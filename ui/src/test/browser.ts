// What every test in the browser needs: the app's own looks, matchers of the DOM, patience on a busy machine.

import '@testing-library/jest-dom/vitest';

import { cleanup, configure } from '@testing-library/svelte';
import { afterEach } from 'vitest';

import { setTheme } from '../theme/theme';

setTheme('light');
// What is awaited is awaited until it is there; only a fault takes this long.
configure({ asyncUtilTimeout: 15_000 });

// Vitest's globals are off, so the library cannot hook itself in.
afterEach(() => {
  cleanup();
  setTheme('light');
});
