// The kept measurements, the two that are compared, and the measurement under way. Lives as long as the
// window, so a measurement goes on while another screen is in view.

import {
  LIMITS,
  type BenchCase,
  type BenchEvent,
  type BenchResult,
  type Comparison,
  type Problem,
} from '../bindings';
import { asProblem, type Host } from '../host/host';
import { effectRoot } from '../kit/effectRoot.svelte';
import { wrongNumber } from '../kit/limits';
import { inOrder, proposedPair, toggled } from './choose';

/** The short one that validation runs as well, so that results can be compared. */
export const QUICK: Required<BenchCase> = LIMITS.quick;

/** The numbers of a case. */
export type CaseNumber = Exclude<keyof BenchCase, 'beside_others' | 'method'>;

/** Why a number of a case cannot be used, or `null`. */
export function wrongWith(part: CaseNumber, value: number | null): string | null {
  return value === null ? 'A whole number is needed.' : wrongNumber(value, LIMITS[part]);
}

/** How far a measurement is. */
export interface Measuring {
  done: number;
  total: number | null;
  doing: string;
  stopping: boolean;
}

export class Benchmarks {
  results = $state.raw<BenchResult[]>([]);
  /** Whether the list was read once. */
  ready = $state(false);
  /** Why the last thing asked for did not happen. */
  problem = $state.raw<Problem | null>(null);
  chosen = $state.raw<string[]>([]);
  comparison = $state.raw<Comparison | null>(null);
  measuring = $state.raw<Measuring | null>(null);
  /** What was measured last here, to be read out and found in the list. */
  fresh = $state<string | null>(null);

  /** Whether somebody chose what is marked. */
  touched = false;

  readonly #host: Host;
  #compared = 0;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Reads the list; the first time it also puts the telling pair side by side. */
  async load(): Promise<void> {
    try {
      this.results = (await this.#host.listBenchmarks()).toSorted((a, b) => b.at - a.at);
    } catch (thrown) {
      this.problem = asProblem(thrown);
      return;
    }
    const still = this.chosen.filter((id) => this.results.some((result) => result.id === id));
    // A mark somebody set stays; otherwise the telling pair is proposed, also after a run brought it.
    const chosen = this.touched && still.length > 0 ? still : proposedPair(this.results);
    this.ready = true;
    await this.choose(chosen);
  }

  /** The measurements that are marked, in the order they are compared. */
  readonly marked = $derived(
    inOrder(this.chosen, this.results).flatMap((id) => this.#find(id) ?? []),
  );

  async toggle(id: string): Promise<void> {
    this.touched = true;
    await this.choose(toggled(this.chosen, id));
  }

  async choose(ids: string[]): Promise<void> {
    this.chosen = ids;
    const turn = ++this.#compared;
    const [a, b] = inOrder(ids, this.results);
    if (a === undefined || b === undefined) {
      this.comparison = null;
      return;
    }
    try {
      const comparison = await this.#host.compareBenchmarks(a, b);
      // Somebody may have marked others while the host compared these.
      if (turn === this.#compared) this.comparison = comparison;
    } catch (thrown) {
      if (turn !== this.#compared) return;
      this.comparison = null;
      this.problem = asProblem(thrown);
    }
  }

  /** Measures what is served now. */
  async measure(measured: BenchCase, label: string): Promise<void> {
    if (this.measuring !== null) return;
    this.problem = null;
    this.measuring = { done: 0, total: null, doing: 'Getting ready', stopping: false };
    try {
      const result = await this.#host.runBenchmark(measured, label, (event) => this.#hear(event));
      this.fresh = result.id;
      // The new one is compared with what was marked last.
      this.touched = true;
      this.chosen = toggled(this.chosen, result.id);
      await this.load();
    } catch (thrown) {
      // What somebody stops has not failed.
      if (!this.measuring.stopping) this.problem = asProblem(thrown);
    } finally {
      this.measuring = null;
    }
  }

  /** Stops the measurement. The repeats that were made are kept. */
  async stop(): Promise<void> {
    if (this.measuring === null) return;
    this.measuring = { ...this.measuring, stopping: true };
    try {
      await this.#host.stopBenchmark();
    } catch (thrown) {
      this.problem = asProblem(thrown);
      if (this.measuring !== null) this.measuring = { ...this.measuring, stopping: false };
    }
  }

  async rename(id: string, label: string): Promise<void> {
    const name = label.trim();
    if (name === '' || name === this.#find(id)?.label) return;
    await this.#change(this.#host.renameBenchmark(id, name));
  }

  async remove(id: string): Promise<void> {
    await this.#change(this.#host.deleteBenchmark(id));
  }

  #find(id: string): BenchResult | undefined {
    return this.results.find((result) => result.id === id);
  }

  async #change(change: Promise<unknown>): Promise<void> {
    this.problem = null;
    try {
      await change;
      await this.load();
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  #hear(event: BenchEvent): void {
    if (this.measuring === null) return;
    const { done, total, doing } = event;
    this.measuring = { ...this.measuring, done, total, doing };
  }
}

const kept = new WeakMap<Host, Benchmarks>();

/** The measurements of this host; the same object each time. */
export function benchmarksOf(host: Host): Benchmarks {
  const known = kept.get(host) ?? effectRoot(() => new Benchmarks(host));
  kept.set(host, known);
  return known;
}
