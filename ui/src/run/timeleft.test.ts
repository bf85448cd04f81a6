import { expect, it } from 'vitest';

import type { ProgressPart } from '../bindings';
import { timeLeft } from './timeleft';

const part = (done: number, total: number | null, rate: number | null): ProgressPart => ({
  machine: 'spark-a',
  done,
  total,
  unit: 'bytes',
  rate,
  doing: 'Downloading',
});

it('waits for the slowest machine', () => {
  expect(timeLeft([part(50, 100, 10), part(0, 100, 10)])).toBe(10);
});

it('counts a finished machine as nothing left, even without a rate', () => {
  expect(timeLeft([part(100, 100, null), part(90, 100, 5)])).toBe(2);
});

it.each([[[]], [[part(0, null, 10)]], [[part(0, 100, null)]], [[part(0, 100, 0)]]])(
  'says nothing where it cannot know: %o',
  (parts) => {
    expect(timeLeft(parts)).toBeNull();
  },
);
