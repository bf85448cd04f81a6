// The commands of the palette.

import { copyText } from '../kit/copy';
import { toasts } from '../kit/toasts.svelte';
import type { App, ScreenName } from './app.svelte';

export type Act = { name: string; keys?: string; go: () => void };

const NAMES: [ScreenName, string][] = [
  ['setup', 'Go to Set-up'],
  ['pair', 'Go to Machines'],
  ['disk', 'Go to Disk'],
  ['bench', 'Go to Benchmarks'],
  ['chat', 'Go to Chat'],
  ['runs', 'Go to Runs'],
  ['settings', 'Go to Settings'],
];

/** What can be done now. */
export function actsOf(app: App): Act[] {
  const acts: Act[] = NAMES.map(([screen, name], i) => ({
    name,
    keys: `Ctrl+${i + 1}`,
    go: () => app.go(screen),
  }));
  for (const machine of app.machines)
    acts.push({
      name: `Look at ${machine.name} anew`,
      go: () =>
        void app.host
          .refreshMachine(machine.id)
          .catch(() => undefined)
          .then(() => app.refresh()),
    });
  acts.push(
    { name: 'Light appearance', go: () => void app.theme('light') },
    { name: 'Dark appearance', go: () => void app.theme('dark') },
    { name: 'Appearance of the desktop', go: () => void app.theme('system') },
    { name: 'Copy the report of the last run', go: () => void copyLastReport(app) },
  );
  return acts;
}

async function copyLastReport(app: App): Promise<void> {
  const runs = await app.host.listRuns().catch(() => []);
  const last = runs[0];
  if (!last) return toasts.say('There is no run yet.');
  const report = await app.host.runReport(last.id).catch(() => null);
  const copied = report !== null && (await copyText(report));
  toasts.say(copied ? 'Copied the report.' : 'Could not copy the report.');
}
