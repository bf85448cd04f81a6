import { describe, expect, test, vi } from 'vitest';

import type { BenchEvent, BenchResult } from '../bindings';
import { afterSetup, byHand, compare } from '../host/fake/bench';
import { problem } from '../test/problem';
import type { Host } from '../host/host';
import { Benchmarks, QUICK, wrongWith } from './benchmarks.svelte';

const [MTP, PLAIN] = afterSetup as [BenchResult, BenchResult];

/** A host that keeps what it is given and measures when it is told to. */
function bench(initial: BenchResult[] = afterSetup) {
  let results = initial;
  let finish: (result: BenchResult) => void = () => {};
  let fail: (thrown: unknown) => void = () => {};
  let tell: (event: BenchEvent) => void = () => {};
  const host = {
    listBenchmarks: async () => results,
    compareBenchmarks: async (a: string, b: string) => {
      const [x, y] = [results.find((r) => r.id === a), results.find((r) => r.id === b)];
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
    expect(state.comparison?.a.label).toBe(PLAIN.label);
    expect(state.comparison?.b.label).toBe(MTP.label);
  });

  test('a mark somebody set survives a new reading of the list', async () => {
    const old = byHand(1, true);
    const { state } = bench([...afterSetup, old]);
    await state.load();
    await state.toggle(old.id);
    await state.load();
    expect(state.marked.map((result) => result.id)).toEqual([old.id, MTP.id]);
  });

  test('one mark compares nothing', async () => {
    const { state } = bench();
    await state.load();
    await state.toggle(PLAIN.id);
    expect(state.comparison).toBeNull();
    expect(state.marked).toHaveLength(1);
  });

  test('what is deleted is compared no more', async () => {
    const { state } = bench();
    await state.load();
    await state.remove(MTP.id);
    expect(state.results.map((result) => result.id)).toEqual([PLAIN.id]);
    expect(state.comparison).toBeNull();
    expect(state.problem).toBeNull();
  });

  test('an empty or unchanged name changes nothing', async () => {
    const { state, host } = bench();
    await state.load();
    await state.rename(PLAIN.id, '   ');
    await state.rename(PLAIN.id, PLAIN.label);
    expect(host.renameBenchmark).not.toHaveBeenCalled();
    await state.rename(PLAIN.id, ' Bare ');
    expect(host.renameBenchmark).toHaveBeenCalledWith(PLAIN.id, 'Bare');
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
    const fresh = byHand(Date.now());
    finish(fresh);
    await going;
    expect(state.measuring).toBeNull();
    expect(state.fresh).toBe(fresh.id);
    expect(state.marked.map((result) => result.id).toSorted()).toEqual(
      [MTP.id, fresh.id].toSorted(),
    );
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
