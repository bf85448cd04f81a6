import { describe, expect, test, vi } from 'vitest';

import type { BenchEvent, BenchResult } from '../bindings';
import { afterSetup, compare, measured } from '../host/fake/bench';
import { problem } from '../host/fake/problems';
import type { Host } from '../host/host';
import { Benchmarks, QUICK, wrongWith } from './benchmarks.svelte';

/** A host that keeps what it is given and measures when it is told to. */
function bench(initial: BenchResult[] = afterSetup(10_000_000)) {
  let results = initial;
  let finish: (result: BenchResult) => void = () => {};
  let fail: (thrown: unknown) => void = () => {};
  let tell: (event: BenchEvent) => void = () => {};
  const host = {
    listBenchmarks: async () => results,
    compareBenchmarks: async (a: string, b: string) => {
      const [x, y] = [results.find((r) => r.id === a), results.find((r) => r.id === b)];
      if (!x || !y) throw problem('bad-input', 'There is no such measurement.');
      return compare(x, y);
    },
    runBenchmark: (_case: unknown, _label: string, heard: (event: BenchEvent) => void) => {
      tell = heard;
      return new Promise<BenchResult>((done, refused) => {
        finish = (result) => {
          results = [result, ...results];
          done(result);
        };
        fail = refused;
      });
    },
    stopBenchmark: vi.fn(async () => null),
    renameBenchmark: vi.fn(async () => null),
    deleteBenchmark: async (id: string) => {
      results = results.filter((r) => r.id !== id);
      return null;
    },
  };
  return {
    state: new Benchmarks(host as unknown as Host),
    host,
    finish: (result: BenchResult) => finish(result),
    fail: (thrown: unknown) => fail(thrown),
    tell: (event: BenchEvent) => tell(event),
  };
}

describe('what is compared', () => {
  test('plain against MTP stand side by side from the start', async () => {
    const { state } = bench();
    await state.load();
    expect(state.comparison?.a.label).toBe('Plain');
    expect(state.comparison?.b.label).toBe('MTP, 3 tokens');
  });

  test('a mark somebody set survives a new reading of the list', async () => {
    const old = measured('old', 'Old', 1, 900, 15);
    const { state } = bench([...afterSetup(10_000_000), old]);
    await state.load();
    await state.toggle('old');
    await state.load();
    expect(state.marked.map((result) => result.id)).toEqual(['old', 'bench-mtp']);
  });

  test('one mark compares nothing', async () => {
    const { state } = bench();
    await state.load();
    await state.toggle('bench-plain');
    expect(state.comparison).toBeNull();
    expect(state.marked).toHaveLength(1);
  });

  test('what is deleted is compared no more', async () => {
    const { state } = bench();
    await state.load();
    await state.remove('bench-mtp');
    expect(state.results.map((result) => result.id)).toEqual(['bench-plain']);
    expect(state.comparison).toBeNull();
    expect(state.problem).toBeNull();
  });

  test('an empty or unchanged name changes nothing', async () => {
    const { state, host } = bench();
    await state.load();
    await state.rename('bench-plain', '   ');
    await state.rename('bench-plain', 'Plain');
    expect(host.renameBenchmark).not.toHaveBeenCalled();
    await state.rename('bench-plain', ' Bare ');
    expect(host.renameBenchmark).toHaveBeenCalledWith('bench-plain', 'Bare');
  });
});

describe('a measurement', () => {
  test('says how far it is, and its result is compared with the last mark', async () => {
    const { state, tell, finish } = bench();
    await state.load();
    const going = state.measure(QUICK, 'By hand');
    expect(state.measuring).toMatchObject({ total: null });
    tell({ kind: 'progress', done: 2, total: 4, doing: 'Repeat 2 of 3' });
    expect(state.measuring).toMatchObject({ done: 2, total: 4, doing: 'Repeat 2 of 3' });
    finish(measured('new', 'By hand', 20_000_000, 1000, 28));
    await going;
    expect(state.measuring).toBeNull();
    expect(state.fresh).toBe('new');
    expect(state.marked.map((result) => result.id).toSorted()).toEqual(['bench-mtp', 'new']);
  });

  test('a stop is no failure', async () => {
    const { state, host, fail } = bench();
    const going = state.measure(QUICK, 'x');
    await state.stop();
    expect(host.stopBenchmark).toHaveBeenCalledOnce();
    expect(state.measuring?.stopping).toBe(true);
    fail(problem('timed-out', 'The measurement was stopped.'));
    await going;
    expect(state.problem).toBeNull();
    expect(state.measuring).toBeNull();
  });

  test('a failure is shown and measuring is possible again', async () => {
    const { state, fail } = bench();
    const going = state.measure(QUICK, 'x');
    fail(problem('connection-lost', 'The connection ended.'));
    await going;
    expect(state.problem?.code).toBe('connection-lost');
    expect(state.measuring).toBeNull();
  });
});

test('a case has bounds, and says them', () => {
  expect(wrongWith('runs', 3)).toBeNull();
  expect(wrongWith('runs', 0)).toBe('From 1 to 20.');
  expect(wrongWith('prompt_tokens', null)).toBe('A whole number is needed.');
  expect(wrongWith('prompt_tokens', 512.5)).toBe('A whole number is needed.');
});
