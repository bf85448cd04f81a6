// The catalogue as it was read last, for the machines that were there then.

import type { ListedRecipe, Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';

export class Catalogue {
  /** Every recipe, in the order that the engine gives; `null` until the first answer. */
  all: ListedRecipe[] | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);

  constructor(readonly host: Host) {}

  /** Reads it anew. */
  async load(): Promise<void> {
    try {
      this.all = await this.host.recipes();
      this.problem = null;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }
}
