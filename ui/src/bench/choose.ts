// Which two measurements to put side by side.

import type { BenchResult } from '../bindings';
import { caseName, isMtp } from './figures';

/**
 * The pair that answers what MTP brings: the newest plain and the newest MTP of one run, else the newest of
 * each kind that measured the same, else the newest two. The plain (or older) one comes first.
 */
export function proposedPair(results: BenchResult[]): string[] {
  const newest = newestFirst(results);
  for (const mtp of newest.filter(isMtp)) {
    const plain = newest.find(
      (other) =>
        !isMtp(other) && mtp.run !== null && other.run === mtp.run && comparable(other, mtp),
    );
    if (plain !== undefined) return [plain.id, mtp.id];
  }
  for (const mtp of newest.filter(isMtp)) {
    const plain = newest.find((other) => !isMtp(other) && comparable(other, mtp));
    if (plain !== undefined) return [plain.id, mtp.id];
  }
  return newest
    .slice(0, 2)
    .map((result) => result.id)
    .reverse();
}

/** Marks one more or one less. A third mark takes the place of the oldest mark. */
export function toggled(chosen: string[], id: string): string[] {
  if (chosen.includes(id)) return chosen.filter((other) => other !== id);
  return [...chosen, id].slice(-2);
}

/** The order in which two are compared: plain before MTP, else the older before the newer. */
export function inOrder(chosen: string[], results: BenchResult[]): string[] {
  const found = results.filter((result) => chosen.includes(result.id));
  return found
    .toSorted((a, b) => Number(isMtp(a)) - Number(isMtp(b)) || a.at - b.at)
    .map((result) => result.id);
}

function comparable(a: BenchResult, b: BenchResult): boolean {
  return (
    caseName({ ...a.case, runs: 1 }) === caseName({ ...b.case, runs: 1 }) &&
    a.model === b.model &&
    a.simulated === b.simulated
  );
}

function newestFirst(results: BenchResult[]): BenchResult[] {
  return results.toSorted((a, b) => b.at - a.at);
}
