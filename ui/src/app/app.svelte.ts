// What every screen shares: what is there (the overview), where one is, and how to get elsewhere.

import { getContext, setContext } from 'svelte';

import type { Overview, Problem, RunSummary, Serving, Settings } from '../bindings';
import { asProblem, type Host } from '../host/host';
import { asTheme, setTheme, type Theme } from '../theme/theme';

export const SCREENS = ['setup', 'pair', 'bench', 'chat', 'runs', 'settings'] as const;
export type ScreenName = (typeof SCREENS)[number];

export class App {
  /** What surrounds every screen; `null` until the first answer. */
  overview: Overview | null = $state(null);
  /** Why the overview could not be had, if so. */
  problem: Problem | null = $state(null);
  screen: ScreenName = $state('setup');
  /** The run that is looked at on the Runs screen. */
  openRun: string | null = $state(null);
  settings: Settings = $state({ theme: 'system', hub_endpoint: '', screen: 'setup' });

  readonly machines = $derived(this.overview?.machines ?? []);
  readonly serving: Serving | null = $derived(this.overview?.serving ?? null);
  readonly liveRun: RunSummary | null = $derived(this.overview?.live_run ?? null);
  readonly rehearsal = $derived(this.overview?.rehearsal ?? false);

  constructor(readonly host: Host) {}

  /** Reads what is remembered and what is there. */
  async start(): Promise<void> {
    try {
      this.settings = await this.host.settings();
      setTheme(asTheme(this.settings.theme));
      const last = SCREENS.find((name) => name === this.settings.screen);
      if (last) this.screen = last;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
    await this.refresh();
    // Where there is nothing yet, every other screen would be empty.
    if (this.machines.length === 0 && this.screen !== 'settings') this.screen = 'setup';
  }

  /** Asks anew what is there. */
  async refresh(): Promise<void> {
    try {
      this.overview = await this.host.overview();
      this.problem = null;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  /** Takes in an overview that another question answered with. */
  take(overview: Overview): void {
    this.overview = overview;
  }

  /** Shows a screen, and remembers it. */
  go(screen: ScreenName, run: string | null = null): void {
    this.screen = screen;
    this.openRun = run;
    void this.remember({ screen });
  }

  /** Chooses an appearance, and remembers it. */
  async theme(theme: Theme): Promise<void> {
    setTheme(theme);
    await this.remember({ theme });
  }

  /** Remembers choices. What cannot be remembered is no reason to disturb. */
  async remember(changed: Partial<Settings>): Promise<void> {
    this.settings = { ...this.settings, ...changed };
    await this.host.saveSettings($state.snapshot(this.settings)).catch(() => undefined);
  }
}

const KEY = Symbol('app');

/** Puts the app's state where all components below find it. */
export function provideApp(app: App): void {
  setContext(KEY, app);
}

/** The app's state. To be called while a component is being set up. */
export function useApp(): App {
  const app = getContext<App | undefined>(KEY);
  if (!app) throw new Error('no app was provided above this component');
  return app;
}
