// Where things stand on an axis that begins at zero.

/** An axis from 0 to `end` with marks at round numbers. */
export interface Axis {
  end: number;
  ticks: number[];
}

/** An axis that holds every value, with about `count` marks at 1, 2 or 5 times a power of ten. */
export function axis(values: number[], count = 4): Axis {
  const most = Math.max(0, ...values.filter(Number.isFinite));
  if (most === 0) return { end: 1, ticks: [0, 1] };
  const step = roundStep(most / count);
  const steps = Math.ceil(most / step - 1e-9);
  // Multiplied out each time, since adding 0.1 up drifts.
  const ticks = Array.from({ length: steps + 1 }, (_, i) => tidy(i * step));
  return { end: tidy(steps * step), ticks };
}

/** Pixels from the axis' beginning. */
export function place(value: number, end: number, width: number): number {
  if (!Number.isFinite(value) || end <= 0) return 0;
  return Math.min(Math.max(value / end, 0), 1) * width;
}

/**
 * Small shifts across the axis, so that repeats that came out alike do not cover each other. In order of
 * the values given.
 */
export function jitter(positions: number[], apart: number, shift: number): number[] {
  const placed: { at: number; by: number }[] = [];
  return positions.map((at) => {
    const taken = placed
      .filter((other) => Math.abs(other.at - at) < apart)
      .map((other) => other.by);
    const by = [0, shift, -shift, 2 * shift, -2 * shift].find((free) => !taken.includes(free)) ?? 0;
    placed.push({ at, by });
    return by;
  });
}

function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const times = [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10;
  return times * power;
}

function tidy(value: number): number {
  return Number(value.toPrecision(12));
}
