// How the figures of a measurement are written: always with a unit, never with more digits than they hold.

import type { BenchCase, BenchResult, Spread } from '../bindings';

/** The figures of a measurement, in the order they are shown. */
export const FIGURES = ['tg_tps', 'pp_tps', 'ttft_s'] as const;
export type FigureName = (typeof FIGURES)[number];

/** The short name that owners compare by, and what it means. */
export const NAMES: Record<FigureName, { plain: string; short: string; unit: string }> = {
  tg_tps: { plain: 'Token generation', short: 'tg', unit: 'tokens/s' },
  pp_tps: { plain: 'Prompt processing', short: 'pp', unit: 'tokens/s' },
  ttft_s: { plain: 'Time to first token', short: 'TTFT', unit: 's' },
};

/** `tg128`, `pp2048 @ d4096`, `tg128 (c4)`, `TTFT`: the figure with the size it was measured at. */
export function shortName(figure: FigureName, measured: BenchCase): string {
  const at = placeName(measured);
  if (figure === 'tg_tps') return `tg${measured.generate_tokens}${at}`;
  if (figure === 'pp_tps') return `pp${measured.prompt_tokens}${at}`;
  return `${NAMES[figure].short}${at}`;
}

/** ` @ d4096 (c4)`: at which depth and with how many requests at once; nothing of the usual ones. */
function placeName({ depth = 0, concurrency = 1 }: BenchCase): string {
  return `${depth > 0 ? ` @ d${depth}` : ''}${concurrency > 1 ? ` (c${concurrency})` : ''}`;
}

export function isFigure(name: string): name is FigureName {
  return (FIGURES as readonly string[]).includes(name);
}

/** A rate or a time, rounded to what is worth reading. */
export function number(value: number, figure: FigureName): string {
  if (!Number.isFinite(value)) return '–';
  if (figure === 'ttft_s') return value.toFixed(digitsOfSeconds(value));
  if (value >= 1000) return grouped(Math.round(value));
  return value.toFixed(value < 100 ? 1 : 0);
}

/** `31.2 ± 0.4`, or only the mean where a single repeat leaves nothing to spread; `–` without any. */
export function withSpread(spread: Spread, figure: FigureName): string {
  if (spread.values.length === 0) return '–';
  if (spread.values.length === 1) return number(spread.mean, figure);
  return `${number(spread.mean, figure)} ± ${spreadNumber(spread.std, spread.mean, figure)}`;
}

// The spread gets the digits of its mean, so that both end at the same place.
function spreadNumber(std: number, mean: number, figure: FigureName): string {
  if (figure === 'ttft_s') return std.toFixed(digitsOfSeconds(mean));
  return mean < 100 ? std.toFixed(1) : grouped(Math.round(std));
}

/** `1.41 ×`; a ratio of 0 stands for "cannot be told". */
export function ratio(value: number): string {
  return value > 0 && Number.isFinite(value) ? `${value.toFixed(2)} ×` : '–';
}

/** `1.38 to 1.46 ×`, the interval in which the ratio lies; nothing where too few repeats tell one. */
export function interval(of: [number, number] | null): string {
  return of === null ? '' : `${of[0].toFixed(2)} to ${of[1].toFixed(2)} ×`;
}

/** `62 %`. */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** `pp512 · tg64 · 3 repeats`, `pp2048 · tg128 @ d4096 (c4) · 5 repeats · as llama-benchy`. */
export function caseName(measured: BenchCase): string {
  const repeats = measured.runs === 1 ? '1 repeat' : `${measured.runs} repeats`;
  const method = measured.method === 'llama-benchy' ? ' · as llama-benchy' : '';
  return `pp${measured.prompt_tokens} · tg${measured.generate_tokens}${placeName(measured)} · ${repeats}${method}`;
}

/** Whether drafts were checked while it was measured. */
export function isMtp(result: BenchResult): boolean {
  return result.acceptance !== null;
}

// Below a second the milliseconds are what repeats differ by.
function digitsOfSeconds(seconds: number): number {
  if (seconds < 1) return 3;
  return seconds < 10 ? 2 : 1;
}

/** Thousands are kept apart by a narrow space that does not break. */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}
