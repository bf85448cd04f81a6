import { describe, expect, it } from 'vitest';

import type { ProgressPart } from '../bindings';
import { inForce, wrongLimits } from './limits';
import { isPaused } from '../session/paused';
import { timeLeft } from './timeleft';

const part = (more: Partial<ProgressPart> = {}): ProgressPart => ({
  machine: 'spark-a',
  done: 50,
  total: 100,
  unit: 'bytes',
  rate: 10,
  doing: 'Fetching',
  ...more,
});
const waits = part({ held: { why: 'until', opens: '23:00' } });

describe('what is in force', () => {
  it.each([
    [{}, [part()], 'No limit.', null],
    [{ bytes_per_second: 20_000_000 }, [part()], 'Limited to 20 MB/s.', null],
    [{ bytes_per_second: 500_000 }, [part()], 'Limited to 0.5 MB/s.', null],
    [{ paused: true }, [part()], 'Paused by you.', null],
    [
      { paused: true, bytes_per_second: 2_500_000, hours: { from: '23:00', to: '07:00' } },
      [waits],
      'Paused by you.',
      'Then it goes on at up to 2.5 MB/s, from 23:00 to 07:00.',
    ],
    [
      { hours: { from: '23:00', to: '07:00' }, bytes_per_second: 5_000_000 },
      [part(), waits],
      'Waits until 23:00, by the machine’s own clock.',
      'Then at up to 5 MB/s.',
    ],
    [{ hours: { from: '23:00', to: '07:00' } }, [part()], 'From 23:00 to 07:00 only.', null],
  ])('%o', (limits, parts, now, then) => {
    expect(inForce(limits, parts)).toEqual({ now, then });
  });
});

describe('what cannot be kept', () => {
  it.each([
    [{}, null],
    [{ bytes_per_second: 100_000 }, null],
    [{ bytes_per_second: 1 }, 'The rate cannot be used.'],
    [{ hours: { from: '', to: '07:00' } }, 'Two different times of the day are needed.'],
    [{ hours: { from: '07:00', to: '07:00' } }, 'Two different times of the day are needed.'],
  ])('%o', (limits, wrong) => {
    expect(wrongLimits(limits)).toBe(wrong);
  });
});

it('rests once all that is left is held back, and has no time left then', () => {
  expect(isPaused([part(), waits])).toBe(false);
  expect(isPaused([waits, part({ done: 100 })])).toBe(true);
  expect(isPaused([part({ done: 100 })])).toBe(false);
  expect(isPaused([])).toBe(false);
  expect(timeLeft([part(), waits])).toBeNull();
});
