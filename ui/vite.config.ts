import { svelte } from '@sveltejs/vite-plugin-svelte';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

/** Tests that draw something; they run in a real browser, all others without one. */
const DRAWN = 'src/**/*.browser.test.ts';

/** KaTeX names each font in three formats, and every web view reads the first. */
const oneFormat = {
  name: 'one-format-of-fonts',
  enforce: 'pre' as const,
  transform(code: string, id: string) {
    if (!id.includes('katex') || !id.endsWith('.css')) return null;
    return code.replace(/,url\([^)]*\.(?:woff|ttf)\) format\("[a-z]+"\)/g, '');
  },
};

export default defineConfig({
  plugins: [svelte(), oneFormat],
  clearScreen: false,
  server: { port: 5173, strictPort: true },
  build: {
    target: 'es2022',
    // The window's content policy forbids `data:` fonts, so nothing is inlined.
    assetsInlineLimit: 0,
  },
  // Without this condition Vitest resolves Svelte's server build, which cannot mount a component.
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'plain',
          include: ['src/**/*.test.ts'],
          exclude: [DRAWN],
          environment: './src/test/plain.ts',
        },
      },
      {
        extends: true,
        // Built before the first test: what is found later reloads the page under a test that runs.
        optimizeDeps: {
          include: [
            '@testing-library/jest-dom/vitest',
            '@testing-library/svelte',
            '@testing-library/user-event',
            'axe-core',
            'bits-ui',
            'katex',
            'lowlight',
            'markdown-it',
            'markdown-it-cjk-friendly',
          ],
        },
        test: {
          name: 'browser',
          include: [DRAWN],
          setupFiles: ['./src/test/browser.ts'],
          // A machine that has other work takes its time, and that is no fault.
          testTimeout: 60_000,
          fileParallelism: false,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            viewport: { width: 1280, height: 800 },
            provider: playwright({
              launchOptions: {
                executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
                // Chromium's sandbox does not start as root, and what is opened is our own page.
                args: ['--no-sandbox'],
              },
              contextOptions: { reducedMotion: 'reduce' },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
    ],
  },
});
