import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

/** Imports go screens -> subjects -> run, problem -> kit -> host; each layer names what is above it. */
function layer(folder, above) {
  return {
    files: [`src/${folder}/**/*.{ts,svelte}`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            tauri,
            {
              group: above.map((name) => `**/${name}/**`),
              message: `src/${folder} lies below it.`,
            },
          ],
        },
      ],
    },
  };
}

const tauri = {
  group: ['@tauri-apps/*'],
  message: 'Only src/host speaks to Tauri; ask the Host instead.',
};
const subjects = ['machines', 'network', 'pair', 'wizard', 'chat', 'bench'];

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
    files: ['src/**/*.{ts,svelte}'],
    ignores: ['src/host/tauri.ts', 'src/host/host.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [tauri] }] },
  },
  layer('kit', ['screens', 'app', 'run', 'problem', ...subjects]),
  layer('problem', ['screens', 'app', 'run', ...subjects]),
  layer('run', ['screens', ...subjects]),
);
