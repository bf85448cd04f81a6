// Whether a download stands still because somebody wants it to.

import type { ProgressPart } from '../bindings';

/** Whether everything that is left waits by order: then nothing moves, and nothing is wrong. */
export function isPaused(parts: readonly ProgressPart[]): boolean {
  const left = parts.filter((p) => p.total === null || p.done < p.total);
  return left.length > 0 && left.every((p) => (p.held ?? null) !== null);
}
