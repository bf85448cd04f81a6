// What the chat costs while an answer streams and when a conversation opens, and whether it lets go of the end. Prints one
// line a figure. The store is not a part of the opening: its pages are as large as the app's.
// Usage: node tools/chat/run.mjs [shape …]; needs Chromium (CHROMIUM=/usr/bin/chromium).
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';
import { build, preview } from 'vite';

const shapes = process.argv.slice(2);
const SHAPES = ['mixed', 'code', 'list', 'paragraph', 'table'];
const SECONDS = 20;

const root = new URL('.', import.meta.url).pathname;
const configFile = new URL('../../vite.config.ts', import.meta.url).pathname;
const outDir = join(tmpdir(), 'tandem-chat-speed');
await build({
  configFile,
  root,
  base: './',
  logLevel: 'error',
  build: { outDir, emptyOutDir: true },
});
const server = await preview({
  configFile,
  root,
  build: { outDir },
  preview: { port: 0 },
  logLevel: 'error',
});
const base = server.resolvedUrls.local[0];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});

async function open(query) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.on('pageerror', (error) => {
    throw error;
  });
  await page.goto(`${base}?${new URLSearchParams(query)}`);
  await page.waitForSelector('body[data-ready]');
  return page;
}

/** Seconds of the main thread in tasks of any kind. */
async function busy(session) {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find((m) => m.name === 'TaskDuration').value;
}

// Opening, the median of five windows each.
if (shapes.length === 0 || shapes.includes('open')) {
  const opened = {};
  for (const count of [10, 10_000]) {
    const tries = [];
    for (let n = 0; n < 5; n += 1) {
      const page = await open({ before: count });
      const session = await page.context().newCDPSession(page);
      const ms = await page.evaluate(() => window.open());
      await session.send('HeapProfiler.collectGarbage');
      const { usedSize } = await session.send('Runtime.getHeapUsage');
      tries.push({ ms, mb: usedSize / 1e6 });
      await page.close();
    }
    tries.sort((a, b) => a.ms - b.ms);
    opened[count] = tries[2];
    console.log(
      `bench chat_open_${count} ${tries[2].ms.toFixed(0)} ms, ${tries[2].mb.toFixed(1)} MB`,
    );
  }
  console.log(`bench chat_open_10000_vs_10 ${(opened[10_000].ms / opened[10].ms).toFixed(2)}`);
}

for (const shape of SHAPES.filter((s) => shapes.length === 0 || shapes.includes(s))) {
  const page = await open({ shape, rate: 400, tokens: 400 * SECONDS });
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const before = await busy(session);
  const { seconds, frames } = await page.evaluate(async () => {
    const frames = [];
    let last = performance.now();
    let going = true;
    const frame = (now) => {
      frames.push(now - last);
      last = now;
      if (going) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    const began = performance.now();
    await window.stream();
    going = false;
    return { seconds: (performance.now() - began) / 1000, frames };
  });
  const share = ((await busy(session)) - before) / seconds;
  frames.sort((a, b) => a - b);
  const p99 = frames[Math.floor(frames.length * 0.99)];
  console.log(`bench chat_stream_core_${shape} ${(share * 100).toFixed(1)} % of a core`);
  console.log(
    `bench chat_stream_frame_p99_${shape} ${p99.toFixed(1)} ms (${seconds.toFixed(1)} s)`,
  );
  await page.close();
}

// Every act upwards lets go, and the view stays where it was put.
const ACTS = {
  wheel: (page) => page.mouse.wheel(0, -20),
  'wheel far': (page) => page.mouse.wheel(0, -400),
  ArrowUp: (page) => page.keyboard.press('ArrowUp'),
  PageUp: (page) => page.keyboard.press('PageUp'),
  bar: (page) => page.evaluate(() => (document.querySelector('[role=log]').scrollTop -= 20)),
  Home: (page) => page.keyboard.press('Home'),
};
let let_go = 0;
let tries = 0;
for (const rate of shapes.includes('open') ? [] : [27, 60, 400]) {
  for (const [name, act] of Object.entries(ACTS)) {
    for (let n = 0; n < 3; n += 1) {
      const page = await open({ shape: 'mixed', rate, tokens: 100_000, per: n + 1 });
      const log = page.locator('[role=log]');
      await page.evaluate(() => void window.stream());
      await page.waitForFunction(
        () => {
          const log = document.querySelector('[role=log]');
          return log && log.scrollHeight > log.clientHeight + 500;
        },
        null,
        { timeout: 120_000 },
      );
      await log.hover();
      await log.focus();
      await act(page);
      await page.waitForTimeout(300);
      const at = await log.evaluate((e) => e.scrollTop);
      const was = await log.evaluate((e) => e.scrollHeight);
      await page.waitForFunction(
        (was) => document.querySelector('[role=log]').scrollHeight > was + 60,
        was,
        { timeout: 120_000 },
      );
      const later = await log.evaluate((e) => e.scrollTop);
      tries += 1;
      if (Math.abs(later - at) < 2) let_go += 1;
      else console.log(`followed on after ${name} at ${rate} tokens/s`);
      await page.close();
    }
  }
}
if (tries > 0) console.log(`bench chat_lets_go ${let_go} of ${tries}`);
await browser.close();
await server.close();
