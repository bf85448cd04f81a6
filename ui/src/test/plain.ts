// The environment of tests without a document: Node's own, with the code built as for the window. Vitest's `node`
// would take Svelte's server build, in which nothing reacts.

import type { Environment } from 'vitest/runtime';

export default {
  name: 'plain',
  viteEnvironment: 'client',
  setup: () => ({ teardown: () => undefined }),
} satisfies Environment;
