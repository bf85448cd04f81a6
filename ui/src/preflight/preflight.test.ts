import { describe, expect, it } from 'vitest';

import type { MachineAhead, Survey } from '../bindings';
import { alike, disk, headline, measured, missing, stretches, tooSmall } from './words';

const survey = (over: Partial<Survey>): Survey => ({
  commit: 'c',
  files: 22,
  bytes: 129e9,
  weights: 128e9,
  here: 0,
  partial: 0,
  missing: 129e9,
  foreign: [],
  free: 3e12,
  rate: null,
  config: null,
  mtp_built_in: true,
  ...over,
});
const on = (over: Partial<Survey> | null): MachineAhead => ({
  id: 'a',
  name: 'spark-1',
  survey: over && survey(over),
  fit: null,
  problem: null,
});

describe('what is to be fetched', () => {
  it('is what the emptiest machine misses, and takes as long as the line needs for it', () => {
    const both = [on({ missing: 9e9, rate: 100e6 }), on({ missing: 129e9 })];
    expect(missing(both)).toBe(129e9);
    expect(headline(both, measured(both))).toBe('129 GB to download: about 22 min at 100 MB/s.');
  });

  it('is nothing where everything is here', () => {
    expect(headline([on({ missing: 0, here: 129e9 })], null)).toBe(
      'All weights are on the disks already.',
    );
  });

  it('is not guessed: neither the time without a rate nor the amount without a look', () => {
    expect(headline([on({})], null)).toBe('129 GB to download.');
    expect(headline([on(null)], null)).toBe('The disks could not be read.');
  });
});

describe('a disk', () => {
  it('is told in what is here, begun and missing', () => {
    expect(disk(survey({ here: 60e9, partial: 9e9, missing: 60e9, free: 1e12 }))).toBe(
      '60.0 GB here, 9.0 GB begun, 60.0 GB missing; 1.0 TB free',
    );
  });

  it('is too small only for what is missing', () => {
    expect(tooSmall(survey({ missing: 5e9, free: 9e9 }))).toBe(false);
    expect(tooSmall(survey({ missing: 9e9, free: 5e9 }))).toBe(true);
  });
});

it('the bar ends where the memory ends', () => {
  const parts = [
    { what: 'Weights', bytes: 60, how: '' },
    { what: 'KV cache', bytes: 60, how: '' },
  ];
  expect(stretches(parts, 100).map((s) => [s.from, s.to])).toEqual([
    [0, 0.6],
    [0.6, 1],
  ]);
});

it('machines of which the same is to be said share a line', () => {
  const fit = (says: string) => ({
    budget: 1,
    parts: [],
    verdict: 'fits' as const,
    says,
    requests: 1,
  });
  const of = (name: string, says: string | null) => ({
    ...on({}),
    name,
    fit: says === null ? null : fit(says),
  });
  const names = (all: MachineAhead[]) => alike(all).map((g) => g.names);
  expect(names([of('a', 'fits'), of('b', 'fits')])).toEqual([['a', 'b']]);
  expect(names([of('a', 'fits'), of('b', 'does not')])).toEqual([['a'], ['b']]);
  expect(names([of('a', null), of('b', 'fits')])).toEqual([['b']]);
});
