import '@testing-library/jest-dom/vitest';

import { cleanup } from '@testing-library/svelte';
import { afterEach } from 'vitest';

// Vitest's globals are off, so the library cannot hook itself in.
afterEach(() => cleanup());

// jsdom lays nothing out, so there is never a size to report.
globalThis.ResizeObserver ??= class {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
};

// Nor is there anything to scroll.
Element.prototype.scrollTo ??= () => undefined;
