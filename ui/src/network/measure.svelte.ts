// Measuring the link again, as it is or after a restart of both machines: what it would do, and its start.

import type { LinkView, Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';

export class MeasureAgain {
  /** What is under way here. */
  busy: 'measure' | 'restart' | null = $state(null);
  /** What would be done, waiting for a yes; `null` while nothing is asked. */
  asked: LinkView | null = $state.raw(null);
  /** Whether the question is in view. */
  open = $state(false);
  problem: Problem | null = $state.raw(null);

  constructor(readonly host: Host) {}

  /**
   * Measures as it is. Where that would change something first, or disturb a server, it is asked before. Gives
   * back the run, or `null` where none was started.
   */
  measure(serves: boolean): Promise<string | null> {
    return this.#guard('measure', async () => {
      const view = await this.host.proposeLink(false);
      if (!serves && isReady(view)) return this.host.startLink(view.request);
      this.#ask(view);
      return null;
    });
  }

  /** Asks whether both machines shall be restarted. */
  async restart(): Promise<void> {
    await this.#guard('restart', async () => {
      this.#ask(await this.host.proposeLink(true));
      return null;
    });
  }

  /** The yes to what was asked. */
  go(): Promise<string | null> {
    const view = this.asked;
    this.leave();
    if (view === null) return Promise.resolve(null);
    return this.#guard(view.request.restart ? 'restart' : 'measure', () =>
      this.host.startLink(view.request),
    );
  }

  /** The no. */
  leave(): void {
    this.open = false;
    this.asked = null;
  }

  #ask(view: LinkView): void {
    this.asked = view;
    this.open = true;
  }

  async #guard(
    what: 'measure' | 'restart',
    act: () => Promise<string | null>,
  ): Promise<string | null> {
    if (this.busy !== null) return null;
    this.busy = what;
    this.problem = null;
    try {
      return await act();
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return null;
    } finally {
      this.busy = null;
    }
  }
}

/** Whether measuring would change nothing on the machines: the addresses are there and nothing stands against it. */
function isReady(view: LinkView): boolean {
  return (view.request.network.adopted ?? null) !== null && view.problems.length === 0;
}
