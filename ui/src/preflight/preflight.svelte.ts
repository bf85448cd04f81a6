// Asks what lies ahead, once for each set of choices, and measures the line once.

import type { MachineAhead, Problem, SetupRequest } from '../bindings';
import { asProblem, type Host } from '../host/host';
import { asked, measured } from './words';

export class Preflight {
  machines: MachineAhead[] | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);
  /** The rate as it was measured last, in bytes per second. */
  rate: number | null = $state(null);
  looking = $state(false);

  #for = '';
  #asked = 0;

  constructor(readonly host: Host) {}

  /** Looks where these choices were not read yet; measures the line where it was not and is asked for. */
  async look(request: SetupRequest, measures = true): Promise<void> {
    const now = asked(request);
    if (now === this.#for) return;
    this.#for = now;
    await this.#ask(request, measures && this.rate === null);
  }

  /** Looks again, and measures the line where that is asked for. */
  async again(request: SetupRequest, measures = true): Promise<void> {
    this.#for = asked(request);
    await this.#ask(request, measures);
  }

  async #ask(request: SetupRequest, measure: boolean): Promise<void> {
    this.#asked += 1;
    const mine = this.#asked;
    this.looking = true;
    try {
      const machines = await this.host.ahead(request, measure);
      if (mine !== this.#asked) return;
      this.machines = machines;
      this.problem = null;
      this.rate = measured(machines) ?? this.rate;
    } catch (thrown) {
      if (mine === this.#asked) this.problem = asProblem(thrown);
    } finally {
      if (mine === this.#asked) this.looking = false;
    }
  }
}
