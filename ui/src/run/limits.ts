// What a download is held to: the numbers that can be kept, and the sentences for what is in force.

import { LIMITS, type FetchHours, type FetchLimits, type ProgressPart } from '../bindings';
import { number } from '../kit/format';
import type { Limits } from '../kit/limits';

/** Bytes in the megabyte that people type. */
export const MB = 1_000_000;

/** The rate of a download in MB/s, rounded up to what people type. */
export const RATE: Limits = {
  least: Math.ceil((LIMITS.bytes_per_second.least / MB) * 100) / 100,
  parts: true,
};

/** What is proposed where somebody asks for hours. */
export const NIGHT: FetchHours = { from: '23:00', to: '07:00' };

/** Why a download cannot be held to this, in a sentence; `null` if it can. */
export function wrongLimits(limits: FetchLimits): string | null {
  const rate = limits.bytes_per_second ?? null;
  if (rate !== null && rate < LIMITS.bytes_per_second.least) return 'The rate cannot be used.';
  const hours = limits.hours ?? null;
  if (hours && (hours.from === '' || hours.to === '' || hours.from === hours.to))
    return 'Two different times of the day are needed.';
  return null;
}

/** What is in force now, and what holds once that is over. */
export function inForce(
  limits: FetchLimits,
  parts: readonly ProgressPart[],
): { now: string; then: string | null } {
  const rate = limits.bytes_per_second ?? null;
  const hours = limits.hours ?? null;
  const line = rate === null ? null : `${number(rate / MB)} MB/s`;
  const clock = hours === null ? null : `${hours.from} to ${hours.to}`;
  const later = [line && `at up to ${line}`, clock && `from ${clock}`].filter((part) => part);
  const goesOn = later.length > 0 ? `Then it goes on ${later.join(', ')}.` : null;
  if (limits.paused) return { now: 'Paused by you.', then: goesOn };
  const waits = parts.map((p) => p.held ?? null).find((h) => h?.why === 'until');
  if (waits?.why === 'until')
    return {
      now: `Waits until ${waits.opens}, by the machine’s own clock.`,
      then: line && `Then at up to ${line}.`,
    };
  if (line) return { now: `Limited to ${line}.`, then: clock && `From ${clock} only.` };
  if (clock) return { now: `From ${clock} only.`, then: null };
  return { now: 'No limit.', then: null };
}
