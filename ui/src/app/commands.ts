// The commands of the palette.

import { copyText } from '../kit/copy';
import { toasts } from '../kit/toasts.svelte';
import type { Session, ScreenName } from '../session/session.svelte';

export type Command = { name: string; keys?: string; go: () => void };

const NAMES: Record<ScreenName, string> = {
  setup: 'Go to Set-up',
  pair: 'Go to Machines',
  models: 'Go to Models',
  serve: 'Go to Serve',
  bench: 'Go to Benchmarks',
  chat: 'Go to Chat',
  runs: 'Go to all runs',
  settings: 'Go to Settings',
};

/** What can be done now. */
export function commandsOf(session: Session): Command[] {
  const all: Command[] = session.rail.map((screen, i) => ({
    name: NAMES[screen],
    keys: `Ctrl+${i + 1}`,
    go: () => session.go(screen),
  }));
  all.push(
    { name: NAMES.runs, go: () => session.go('runs') },
    { name: 'Go to the disks', go: () => session.go('models', { part: 'disks' }) },
  );
  for (const machine of session.machines)
    all.push({
      name: `Refresh ${machine.name}`,
      go: () =>
        void session.host
          .refreshMachine(machine.id)
          .catch(() => undefined)
          .then(() => session.refresh()),
    });
  all.push(
    { name: 'Light appearance', go: () => void session.theme('light') },
    { name: 'Dark appearance', go: () => void session.theme('dark') },
    { name: 'Appearance of the desktop', go: () => void session.theme('system') },
    { name: 'Copy the report of the last run', go: () => void copyLastReport(session) },
  );
  return all;
}

async function copyLastReport(session: Session): Promise<void> {
  const runs = await session.host.listRuns().catch(() => []);
  const last = runs[0];
  if (!last) return toasts.say('There is no run yet.');
  const report = await session.host.runReport(last.id).catch(() => null);
  const copied = report !== null && (await copyText(report));
  toasts.say(copied ? 'Copied the report.' : 'Could not copy the report.');
}
