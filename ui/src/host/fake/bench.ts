// Recorded measurements, and the recorded comparison of any two of them.

import type { BenchResult, Comparison } from '../../bindings';
import { recorded } from './problems';
import { RECORDED } from './recorded';

const { list, compared, before, run } = RECORDED.benches;

/** What a set-up leaves, the latest first. */
export const afterSetup = list.filter((r) => r.id !== before && r.id !== run);

/** A measurement by hand; `earlier` is the one before it. */
export function byHand(at: number, earlier = false): BenchResult {
  const found = list.find((r) => r.id === (earlier ? before : run));
  if (!found) throw new Error('a measurement by hand was recorded');
  return { ...structuredClone(found), at };
}

/** The recorded result that one of the fake's was made of. */
const source = (result?: BenchResult) => result?.id.split('@')[0];

/** Two measurements side by side. */
export function compare(a?: BenchResult, b?: BenchResult): Comparison {
  const found = compared.find((c) => c.a === source(a) && c.b === source(b));
  if (!a || !b || !found) throw recorded('no-measurement');
  return { ...structuredClone(found), a, b };
}
