// How long a step still takes, from what its machines report. Says nothing where nothing is known.

import type { ProgressPart } from '../bindings';

/** Seconds a part still takes at its rate, where total and rate are known and nothing holds it back. */
export function partLeft(part: ProgressPart): number | null {
  if (part.total === null) return null;
  const rest = part.total - part.done;
  if (rest <= 0) return 0;
  if (part.held) return null;
  if (part.rate === null || part.rate <= 0) return null;
  return rest / part.rate;
}

/** Seconds until the slowest part is done; `null` as soon as one of them cannot be known. */
export function timeLeft(parts: readonly ProgressPart[]): number | null {
  if (parts.length === 0) return null;
  let longest = 0;
  for (const part of parts) {
    const left = partLeft(part);
    if (left === null) return null;
    longest = Math.max(longest, left);
  }
  return longest;
}
