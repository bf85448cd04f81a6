// Takes a picture of every screen in every state of the fake host, light and dark, large and small, and runs axe
// on each. Usage: node tools/shots.mjs <folder> [name filter]; needs Chromium (CHROMIUM=/usr/bin/chromium).
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';
import { build, preview } from 'vite';

const [folder = 'shots', only = ''] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const press = (name) => async (page) => page.getByRole('button', { name }).click();

const to = (name) => async (page) =>
  page
    .getByRole('heading', { name, exact: true })
    .evaluate((heading) => heading.scrollIntoView({ block: 'start' }));

const { reads } = JSON.parse(
  readFileSync(new URL('../src/host/recorded/imports.json', import.meta.url), 'utf8'),
);
/** Opens the import, and reads a text there where one is given. */
const imports = (text) => async (page) => {
  await page.getByRole('radio', { name: 'Import' }).click({ force: true });
  if (text === undefined) return;
  await page.getByLabel('Recipe or command').fill(text);
  await page.getByRole('button', { name: 'Read it' }).click();
};

const SCENES = [
  { name: 'first-start', fake: 'empty' },
  {
    name: 'host-keys',
    fake: 'empty',
    act: async (page) => {
      await page.getByLabel('Address of the first Spark').fill('spark-a');
      await page.getByLabel('Address of the second Spark').fill('spark-b');
      await page.getByLabel('Password', { exact: true }).fill('secret');
      await page.getByRole('button', { name: 'Read both host keys' }).click();
      await page.getByRole('button', { name: 'Accept and add both' }).waitFor();
    },
  },
  {
    name: 'add-problem',
    fake: 'empty',
    act: async (page) => {
      await page.getByLabel('Address of the first Spark').fill('spark-a');
      await page.getByLabel('Address of the second Spark').fill('nowhere');
      await page.getByRole('button', { name: 'Read both host keys' }).click();
      await page.getByRole('alert').first().waitFor();
    },
  },
  { name: 'plan-one', fake: 'one' },
  { name: 'plan', fake: 'pair' },
  {
    name: 'plan-choices',
    fake: 'pair',
    act: async (page) => {
      await page.getByText('Choices', { exact: true }).click();
      await page.getByLabel('Rendezvous port').fill('8000');
      await page.getByRole('alert').first().waitFor();
    },
  },
  {
    name: 'plan-models',
    fake: 'pair',
    act: async (page) => {
      await page.getByRole('button', { name: 'Another model' }).click();
      await page.getByRole('list', { name: 'Recipes' }).waitFor();
    },
  },
  {
    name: 'plan-network',
    fake: 'well',
    act: async (page) => {
      await page.getByText('Choices', { exact: true }).click();
      await page.getByLabel('Rail 1 on spark-b').fill('192.168.102.11');
      await page.getByLabel('Frame size (MTU)').fill('90000');
      await page.getByText('Private network', { exact: true }).first().scrollIntoViewIfNeeded();
    },
  },
  {
    name: 'run',
    fake: 'running',
    act: async (page) => page.getByRole('button', { name: 'Log and commands of Weights' }).click(),
  },
  { name: 'run-loading', fake: 'loading' },
  { name: 'run-failed', fake: 'failed' },
  { name: 'run-password', fake: 'password' },
  { name: 'run-cancelled', fake: 'cancelled' },
  { name: 'run-interrupted', fake: 'interrupted' },
  { name: 'undo', fake: 'failed', act: press('Undo') },
  { name: 'finished', fake: 'serving', screen: 'serve' },
  {
    name: 'elsewhere',
    fake: 'serving',
    screen: 'serve',
    act: async (page) => {
      await page.getByRole('radio', { name: 'Use it elsewhere' }).click({ force: true });
    },
  },
  {
    name: 'elsewhere-open',
    fake: 'serving',
    screen: 'serve',
    act: async (page) => {
      await page.getByRole('radio', { name: 'Use it elsewhere' }).click({ force: true });
      await page.getByRole('button', { name: 'Test traffic' }).click();
      await page.getByRole('button', { name: 'Show the key' }).click();
      await page.getByRole('radio', { name: 'OpenCode' }).click({ force: true });
    },
  },
  { name: 'setup-done', fake: 'serving', act: press(/^Set-up/) },
  { name: 'models', fake: 'serving' },
  {
    name: 'models-fit',
    fake: 'serving',
    act: async (page) => {
      await page.getByText('Will it fit?').first().click();
      await page.getByText('The arithmetic').first().click();
    },
  },
  { name: 'import', fake: 'serving', act: imports() },
  { name: 'import-shown', fake: 'serving', act: imports(reads[0].text) },
  { name: 'import-held', fake: 'serving', act: imports(reads[2].text) },
  { name: 'import-refused', fake: 'serving', act: imports('Hello.') },
  {
    name: 'import-fetching',
    fake: 'serving',
    tick: 500,
    act: async (page) => {
      await imports()(page);
      await page.getByRole('radio', { name: 'Address' }).click({ force: true });
      await page.getByLabel('Address').last().fill('https://github.com/example/recipes');
      await page.getByRole('button', { name: 'Fetch' }).click();
    },
  },
  {
    name: 'import-files',
    fake: 'serving',
    act: async (page) => {
      await imports()(page);
      await page.getByRole('radio', { name: 'File or folder' }).click({ force: true });
      await page.getByRole('button', { name: 'Choose a folder' }).click();
      await page.getByRole('region', { name: 'Files' }).waitFor();
    },
  },
  {
    name: 'import-kept',
    fake: 'serving',
    act: async (page) => {
      await imports(reads[0].text)(page);
      await page.getByRole('button', { name: 'Keep only' }).click();
      await page.getByRole('radio', { name: 'Yours' }).click({ force: true });
      await page.getByText('What was imported').click();
    },
  },
  {
    name: 'export',
    fake: 'serving',
    act: async (page) => {
      await page.getByRole('button', { name: 'Export' }).first().click();
      await page.getByRole('radio', { name: 'docker run' }).click({ force: true });
    },
  },
  {
    name: 'models-favourite',
    fake: 'serving',
    act: async (page) => {
      await page
        .getByRole('button', { name: /^Favourite/ })
        .nth(4)
        .click();
      await page.getByRole('button', { name: 'Tools' }).click();
    },
  },
  {
    name: 'link-verdict',
    fake: 'pair',
    act: async (page) => {
      await page.getByRole('button', { name: 'Link only' }).click();
      await page
        .getByRole('heading', { name: 'The link is addressed and measured.' })
        .waitFor({ timeout: 30_000 });
    },
  },
  {
    name: 'restart-asked',
    fake: 'serving',
    screen: 'pair',
    act: press('Restart both and measure again'),
  },
  { name: 'machines', fake: 'pair', screen: 'pair' },
  { name: 'machines-unreachable', fake: 'unreachable', screen: 'pair' },
  { name: 'machines-password', fake: 'password', screen: 'pair' },
  { name: 'health', fake: 'no-cma', screen: 'pair' },
  { name: 'health-well', fake: 'well', screen: 'pair' },
  ...['one-rail', 'cable-100g', 'different-ports', 'two-cables', 'no-cable'].map((fake) => ({
    name: `cable-${fake}`,
    fake,
    screen: 'pair',
    act: to('Cable'),
  })),
  ...['well', 'hot-plug', 'socket-fallback', 'rehearsal'].map((fake) => ({
    name: `link-${fake}`,
    fake,
    screen: 'pair',
    act: to('Speed of the link'),
  })),
  { name: 'coach-none', fake: 'no-cable' },
  { name: 'coach-one-end', fake: 'one-end' },
  { name: 'coach-slow', fake: 'cable-100g' },
  {
    name: 'found',
    fake: 'empty',
    act: async (page) => page.getByRole('button', { name: /nas/ }).waitFor(),
  },
  {
    name: 'found-none',
    fake: 'no-neighbours',
    act: async (page) => page.getByText('No machine announces itself').waitFor(),
  },
  { name: 'disk', fake: 'pair', screen: 'disk' },
  { name: 'disk-serving', fake: 'serving', screen: 'disk' },
  { name: 'disk-none', fake: 'one', screen: 'disk' },
  { name: 'disk-unreachable', fake: 'unreachable', screen: 'disk' },
  {
    name: 'disk-asks',
    fake: 'pair',
    screen: 'disk',
    act: async (page) => {
      await page
        .getByRole('button', { name: /^Deep check of .* on spark-b$/ })
        .first()
        .click();
      await page.getByText(/It will take about/).waitFor();
    },
  },
  {
    name: 'disk-checking',
    fake: 'pair',
    screen: 'disk',
    act: async (page) => {
      await page
        .getByRole('button', { name: /^Deep check of .* on spark-b$/ })
        .first()
        .click();
      await page.getByRole('button', { name: 'Check every byte' }).click();
      await page.getByText(/left$/).waitFor();
    },
  },
  {
    name: 'disk-damaged',
    fake: 'pair',
    screen: 'disk',
    moving: true,
    act: async (page) => {
      await page
        .getByRole('button', { name: /^Deep check of .* on spark-b$/ })
        .first()
        .click();
      await page.getByRole('button', { name: 'Check every byte' }).click();
      await page.getByRole('button', { name: 'Repair' }).waitFor();
    },
  },
  {
    name: 'disk-delete',
    fake: 'pair',
    screen: 'disk',
    act: async (page) =>
      page
        .getByRole('button', { name: /^Delete stepfun.* on spark-a$/ })
        .first()
        .click(),
  },
  { name: 'bench', fake: 'serving', screen: 'bench' },
  {
    name: 'bench-change',
    fake: 'serving',
    screen: 'bench',
    act: async (page) => page.getByText('Change what is measured').click(),
  },
  { name: 'chat', fake: 'serving', screen: 'chat' },
  {
    name: 'chat-settings',
    fake: 'serving',
    screen: 'chat',
    act: async (page) => {
      await press('Settings of the answer')(page);
      await page.getByLabel('Temperature').fill('3');
    },
  },
  {
    name: 'chat-shortcuts',
    fake: 'serving',
    screen: 'chat',
    act: async (page) => page.keyboard.press('Control+/'),
  },
  {
    name: 'chat-open',
    fake: 'serving',
    screen: 'chat',
    act: async (page) => {
      await page.locator('button.open').last().click();
      await page.getByRole('article', { name: 'Model' }).last().hover();
    },
  },
  { name: 'runs', fake: 'serving', screen: 'runs' },
  { name: 'settings', fake: 'rehearsal', screen: 'settings' },
  { name: 'rehearsal', fake: 'rehearsal-running' },
  { name: 'palette', fake: 'serving', act: async (page) => page.keyboard.press('Control+k') },
];

const LOOKS = [
  { theme: 'light', width: 1280, height: 800 },
  { theme: 'dark', width: 1280, height: 800 },
  { theme: 'light', width: 1024, height: 700 },
  { theme: 'dark', width: 1024, height: 700 },
];

mkdirSync(folder, { recursive: true });
// The built window, as it ships, in a folder of its own so that nobody's `dist` is disturbed.
const outDir = join(tmpdir(), 'tandem-shots');
await build({ logLevel: 'error', build: { outDir, emptyOutDir: true } });
const server = await preview({ build: { outDir }, preview: { port: 0 }, logLevel: 'error' });
const base = server.resolvedUrls.local[0];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
let faults = 0;
for (const look of LOOKS) {
  const page = await browser.newPage({ viewport: { width: look.width, height: look.height } });
  page.on('pageerror', (error) => {
    faults += 1;
    console.log(`  error on the page: ${error.message}`);
  });
  for (const scene of SCENES.filter((s) => s.name.includes(only))) {
    const query = new URLSearchParams({
      fake: scene.fake,
      theme: look.theme,
      screen: scene.screen ?? 'setup',
      tick: String(scene.tick ?? 5),
      ...(scene.moving ? {} : { frozen: '' }),
    });
    await page.goto(`${base}?${query}`);
    await page.locator('h1').waitFor({ timeout: 90_000 });
    await page.evaluate(() => document.fonts.ready);
    await page.waitForTimeout(350);
    if (scene.act) await scene.act(page);
    await page.waitForTimeout(150);
    const name = `${scene.name}-${look.theme}-${look.width}`;
    await page.screenshot({ path: join(folder, `${name}.png`) });
    const wide = await page.evaluate(
      () =>
        [...document.querySelectorAll('main, main *')].filter(
          (e) => e.getBoundingClientRect().right > innerWidth + 1,
        ).length,
    );
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run());
    for (const violation of found.violations) {
      faults += 1;
      console.log(`  ${violation.id}: ${violation.help}`);
      for (const node of violation.nodes.slice(0, 4))
        console.log(`    ${node.target.join(' ')}  ${node.any[0]?.message ?? ''}`);
    }
    if (wide > 0) faults += 1;
    console.log(`${name}${wide > 0 ? `  ${wide} elements are cut at the right` : ''}`);
  }
  await page.close();
}
await browser.close();
await server.close();
console.log(faults === 0 ? 'clean' : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;
