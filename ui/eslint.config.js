import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

import { noColours } from './colours.js';
import { forbidden } from './layers.js';

const tauri = {
  group: ['@tauri-apps/*'],
  message: 'Only src/host speaks to Tauri; ask the Host instead.',
};
const src = new URL('./src', import.meta.url);

/** What each folder of src must not import: see layers.js. Tests may mount the whole window. */
const layers = forbidden(src).map(({ folder, others }) => ({
  files: [`src/${folder}/**/*.{ts,svelte}`],
  ignores: ['src/host/tauri.ts', 'src/host/host.ts', '**/*.test.ts'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          tauri,
          {
            regex: `^(\\.\\./)+((${others.join('|')})/|App\\.svelte$)`,
            message: `src/${folder} lies below it or beside it: see layers.js.`,
          },
        ],
      },
    ],
  },
}));

export default ts.config(
  { ignores: ['dist', 'node_modules', 'src/bindings.ts'] },
  js.configs.recommended,
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    rules: {
      // TypeScript checks names itself, and knows types that ESLint does not.
      'no-undef': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'svelte/require-each-key': 'error',
      'svelte/no-at-html-tags': 'error',
    },
  },
  {
    files: ['src/**/*.svelte'],
    plugins: { tandem: { rules: { 'no-colours': noColours } } },
    rules: { 'tandem/no-colours': 'error' },
  },
  {
    files: ['src/**/*.{ts,svelte}'],
    ignores: ['src/host/tauri.ts', 'src/host/host.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [tauri] }] },
  },
  ...layers,
);
