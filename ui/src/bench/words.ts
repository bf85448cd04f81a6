// What may be said about a difference, in the fewest words.

import type { FigureDifference } from '../bindings';

/** Whether a difference is one, and which way. */
export function clearness(line: FigureDifference): string {
  if (line.ratio <= 0) return 'not known';
  if (!line.clear) return 'not beyond chance';
  const more = line.ratio > 1;
  if (line.figure === 'ttft_s') return more ? 'longer' : 'shorter';
  return more ? 'faster' : 'slower';
}
