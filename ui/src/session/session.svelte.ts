// What every screen shares: what is there (the overview), where one is, and how to get elsewhere.

import { getContext, setContext, untrack } from 'svelte';

import type { Overview, PairView, Problem, RunSummary, Serving, Settings } from '../bindings';
import { asProblem, type Host } from '../host/host';
import { effectRoot } from '../kit/effectRoot.svelte';
import { RunWatch } from './run.svelte';
import {
  asTextSize,
  asTheme,
  setTextSize,
  setTheme,
  type TextSize,
  type Theme,
} from '../theme/theme';

/** Every screen. The runs stand behind what they belong to and have no place on the rail. */
export const SCREENS = [
  'setup',
  'models',
  'serve',
  'chat',
  'bench',
  'pair',
  'runs',
  'settings',
] as const;
export type ScreenName = (typeof SCREENS)[number];

/** The parts of the Models screen. */
export const MODEL_PARTS = ['catalogue', 'disks', 'import'] as const;
export type ModelPart = (typeof MODEL_PARTS)[number];

/** What the next plan is made of: the proposed recipe, a chosen one, or what another run was asked for. */
export type Next = { of: 'proposal' } | { of: 'recipe'; id: string } | { of: 'run'; id: string };

export class Session {
  /** What surrounds every screen; `null` until the first answer. */
  overview: Overview | null = $state(null);
  /** Why the overview could not be had, if so. */
  problem: Problem | null = $state(null);
  /** What is known about the machines together; `null` until the first answer. */
  pair: PairView | null = $state.raw(null);
  /** The machines that `pair` was asked about, so that nothing is decided by what is known about others. */
  #pairOf: string | null = $state(null);
  screen: ScreenName = $state('setup');
  /** The part of Models that is looked at. */
  models: ModelPart = $state('catalogue');
  /** The run that is looked at among all runs. */
  openRun: string | null = $state(null);
  /** The run that the screen in view is about, so that nothing else offers the same buttons. */
  shownRun: string | null = $state(null);
  /** What is planned now; `null` where nobody asked for a plan. */
  next: Next | null = $state.raw(null);
  /** Why what is served does not serve any more, as it was asked last; `null` where it does. */
  fallen: Problem | null = $state.raw(null);
  /** Whether the first screen was chosen. */
  started = $state(false);
  /** The machines with which Set-up has led on to the plan. */
  #ledOn: string | null = null;
  settings: Settings = $state({ theme: 'system', hub_endpoint: '', screen: 'setup' });

  readonly machines = $derived(this.overview?.machines ?? []);
  /** Whether `pair` is about the machines that are there now. */
  readonly pairKnown = $derived(this.#pairOf === idsOf(this.overview));
  readonly serving: Serving | null = $derived(this.overview?.serving ?? null);
  readonly liveRun: RunSummary | null = $derived(this.overview?.live_run ?? null);
  readonly rehearsal = $derived(this.overview?.rehearsal ?? false);
  /** Whether nothing is left to set up. */
  readonly ready = $derived(this.overview?.ready ?? false);
  /** The screens on the rail, in its order; Ctrl and the place opens one. Set-up steps back once all is ready. */
  readonly rail: readonly ScreenName[] = $derived(
    this.ready
      ? ['models', 'serve', 'chat', 'bench', 'setup', 'pair', 'settings']
      : ['setup', 'models', 'serve', 'chat', 'bench', 'pair', 'settings'],
  );

  /** Runs that were looked at, by id: one watch each, however often screens come and go. */
  // Nothing is drawn from the map itself, so it need not be reactive.
  // eslint-disable-next-line svelte/prefer-svelte-reactivity
  readonly #watches = new Map<string, RunWatch>();
  /** The run that goes on, watched. */
  live: RunWatch | null = $state.raw(null);

  constructor(readonly host: Host) {}

  /** A run, watched. Opened anew where the first reading did not succeed. */
  watch(id: string): RunWatch {
    const kept = this.#watches.get(id);
    if (kept && untrack(() => kept.problem === null || kept.plan !== null)) return kept;
    const watch = kept ?? effectRoot(() => new RunWatch(this.host, id, () => void this.refresh()));
    this.#watches.set(id, watch);
    void watch.open();
    return watch;
  }

  /** Reads what is remembered and what is there. */
  async start(): Promise<void> {
    try {
      this.settings = await this.host.settings();
      setTheme(asTheme(this.settings.theme));
      setTextSize(asTextSize(this.settings.text_size));
      const last = SCREENS.find((name) => name === this.settings.screen);
      if (last) this.screen = last;
      // An earlier Tandem had a screen for the disks.
      else if (this.settings.screen === 'disk') this.go('models', { part: 'disks' });
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
    await this.host.watchOverview((overview) => this.setOverview(overview)).catch(() => undefined);
    // Why it could not be watched is what the question says.
    await this.refresh();
    // Where there is nothing yet, every other screen would be empty.
    if (this.machines.length === 0 && this.screen !== 'settings') this.screen = 'setup';
    else if (this.screen === 'setup') this.screen = this.#first();
    if (this.ready) this.#ledOn = machinesOf(this.overview);
    this.started = true;
  }

  /** Where one starts with machines: at what goes on or was interrupted, else at what they can serve. */
  #first(): ScreenName {
    const going = [this.liveRun, ...(this.overview?.interrupted ?? [])].find((run) => run !== null);
    if (going) return screenOf(going);
    return this.ready ? 'models' : 'setup';
  }

  /** Leads on from Set-up to the plan, once for these machines. Whether it did. */
  leadOn(): boolean {
    const who = machinesOf(this.overview);
    if (this.#ledOn === who) return false;
    this.#ledOn = who;
    this.go('serve');
    return true;
  }

  /** Asks whether what is served still stands. An answer about another server is not heard. */
  async checkServing(): Promise<void> {
    const asked = this.serving?.run;
    let fallen: Problem | null = null;
    try {
      await this.host.checkServing();
    } catch (thrown) {
      fallen = asProblem(thrown);
    }
    if (this.serving?.run === asked) this.fallen = fallen;
  }

  /** Shows a plan. */
  plan(next: Next): void {
    this.next = next;
    this.go('serve');
  }

  /** Asks anew what is there. */
  async refresh(): Promise<void> {
    try {
      this.#setOverview(await this.host.overview());
      this.problem = null;
      await this.#askPair();
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  /** Takes in an overview that another question answered with. */
  setOverview(overview: Overview): void {
    this.#setOverview(overview);
    void this.#askPair();
  }

  /** What is known about the machines together is asked with every overview. Without it the rest goes on. */
  async #askPair(): Promise<void> {
    const ids = idsOf(this.overview);
    const pair = await this.host.pair().catch(() => null);
    if (ids !== idsOf(this.overview)) return;
    this.pair = pair;
    this.#pairOf = ids;
  }

  #setOverview(overview: Overview): void {
    // What was asked for may arrive after a newer one that was sent.
    if (this.overview !== null && overview.revision < this.overview.revision) return;
    this.overview = overview;
    const id = overview.live_run?.id ?? null;
    if (id !== (this.live?.id ?? null)) this.live = id === null ? null : this.watch(id);
    // A watch from before the run was taken up again elsewhere (the banner) must begin to listen.
    if (this.live && !this.live.live && this.live.plan !== null) void this.live.open();
  }

  /** Shows a screen, and remembers it: a run among all runs, or a part of Models. */
  go(screen: ScreenName, at: { run?: string; part?: ModelPart } = {}): void {
    this.screen = screen;
    this.openRun = at.run ?? null;
    if (at.part) this.models = at.part;
    void this.remember({ screen });
  }

  /** Whether a recipe is marked. */
  isFavourite(recipe: string): boolean {
    return (this.settings.favourites ?? []).includes(recipe);
  }

  /** Marks a recipe, or takes the mark away. */
  async favour(recipe: string): Promise<void> {
    const others = (this.settings.favourites ?? []).filter((id) => id !== recipe);
    const favourites = this.isFavourite(recipe) ? others : [...others, recipe];
    await this.remember({ favourites });
  }

  /** Chooses how large text is, and remembers it. */
  async textSize(size: TextSize): Promise<void> {
    setTextSize(size);
    await this.remember({ text_size: size });
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

function idsOf(overview: Overview | null): string | null {
  return overview && `${overview.rehearsal} ${overview.machines.map((m) => m.id).join(' ')}`;
}

/** The machines, whichever comes first. */
function machinesOf(overview: Overview | null): string | null {
  return (
    overview &&
    `${overview.rehearsal} ${overview.machines
      .map((m) => m.id)
      .sort()
      .join(' ')}`
  );
}

/** The screen that a run belongs to. */
export function screenOf(run: { procedure: string }): ScreenName {
  return run.procedure === 'setup' ? 'serve' : 'setup';
}

const KEY = Symbol('session');

/** Puts the app's state where all components below find it. */
export function provideSession(session: Session): void {
  setContext(KEY, session);
}

/** The app's state. To be called while a component is being set up. */
export function useSession(): Session {
  const session = getContext<Session | undefined>(KEY);
  if (!session) throw new Error('no app was provided above this component');
  return session;
}
