// The plan before it runs: the choices as they are typed, and what the engine says to them.

import type { PlanView, Problem, SetupRequest } from '../bindings';
import { asProblem, type Host } from '../host/host';
import type { Next } from '../session/session.svelte';
import { unfit } from './unfit';

/** How long typing must rest before the engine is asked, in milliseconds. */
const REST = 250;

export class PlanReview {
  /** The choices as they stand in the form. */
  request: SetupRequest | null = $state(null);
  /** What the engine said last. */
  view: PlanView | null = $state.raw(null);
  /** Why the engine could not be asked, or the start did not happen. */
  problem: Problem | null = $state.raw(null);
  /** Whether the answer belongs to the choices in view. */
  fresh = $state(false);
  starting = $state(false);

  readonly problems: Problem[] = $derived([
    ...(this.problem ? [this.problem] : []),
    ...(this.view?.problems ?? []),
  ]);

  /** Why the engine is not asked about the choices in view: something in them is said to be wrong in place. */
  readonly unfit: string | null = $derived(this.request ? unfit(this.request) : null);

  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;

  constructor(readonly host: Host) {}

  /** Asks for the sensible choices, or for those of another run. */
  async make(next: Next): Promise<void> {
    clearTimeout(this.#timer);
    const view = await this.#ask(() => {
      switch (next.of) {
        case 'proposal':
          return this.host.proposeSetup();
        case 'recipe':
          return this.host.proposeRecipe(next.id);
        case 'run':
          return this.host.planAgain(next.id);
      }
    });
    this.#show(view, true);
  }

  /** To be called after each change of `request`. */
  changed(): void {
    this.fresh = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.check(), REST);
  }

  /** Asks what the choices in view would do. */
  async check(): Promise<void> {
    clearTimeout(this.#timer);
    if (!this.request || this.unfit !== null) return;
    const request = $state.snapshot(this.request);
    this.#show(await this.#ask(() => this.host.planSetup(request)), false);
  }

  /** Why it cannot be started; `null` if it can. */
  readonly held: string | null = $derived.by(() => {
    if (!this.view) return 'The plan is still being made.';
    if (this.unfit !== null) return this.unfit;
    if (!this.fresh) return 'The choices are being checked.';
    if (this.problems.some((p) => p.severity === 'error' || p.severity === 'broken'))
      return 'Something stands against it. Look above.';
    if (this.view.plan.steps.length === 0) return 'There is nothing to do.';
    return null;
  });

  /** Starts it; gives back the run, or `null` where that did not happen. */
  async start(): Promise<string | null> {
    if (this.held !== null || !this.request || this.starting) return null;
    this.starting = true;
    try {
      return await this.host.startSetup($state.snapshot(this.request));
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return null;
    } finally {
      this.starting = false;
    }
  }

  /** Why the cable alone cannot be begun with; `null` if it can. What stands against a server does not count. */
  readonly linkHeld: string | null = $derived.by(() => {
    if (!this.view || !this.request) return 'The plan is still being made.';
    if (this.unfit !== null) return this.unfit;
    if (!this.fresh) return 'The choices are being checked.';
    return null;
  });

  /** Starts with the cable alone; gives back the run, or `null` where that did not happen. */
  async startLink(): Promise<string | null> {
    const request = $state.snapshot(this.request);
    if (this.linkHeld !== null || !request?.network || this.starting) return null;
    this.starting = true;
    try {
      const { machines, network } = request;
      return await this.host.startLink({ machines, network, restart: false });
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return null;
    } finally {
      this.starting = false;
    }
  }

  async #ask(question: () => Promise<PlanView>): Promise<PlanView | null> {
    this.#asked += 1;
    const mine = this.#asked;
    try {
      const view = await question();
      if (mine !== this.#asked) return null;
      this.problem = null;
      return view;
    } catch (thrown) {
      if (mine === this.#asked) this.problem = asProblem(thrown);
      return null;
    }
  }

  #show(view: PlanView | null, choices: boolean): void {
    if (!view) return;
    this.view = view;
    this.fresh = true;
    if (choices) this.request = structuredClone(view.request);
  }
}
