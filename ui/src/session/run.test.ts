import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { RunSignal } from '../bindings';
import { fakeHost, type FakeState } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import { LOG_LINES, RunWatch } from './run.svelte';
import { headline } from '../run/words';
import { problem } from '../test/problem';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function watched(state: FakeState, frozen = true) {
  const host = fakeHost(state, { tickMs: frozen ? 10 : 100, frozen });
  await vi.advanceTimersByTimeAsync(1000);
  const runs = await host.listRuns();
  const watch = new RunWatch(host, runs[0]?.id ?? '');
  await watch.open();
  return watch;
}

/** "step N of M: title" of a recorded step. */
function placed(id: string): string {
  const { steps } = RECORDED.setup.plan;
  const at = steps.findIndex((s) => s.id === id);
  return `tep ${at + 1} of ${steps.length}: ${steps[at]?.title.toLowerCase()}`;
}

describe('a run that is watched', () => {
  it('shows the step that goes on, and how far each machine is', async () => {
    const watch = await watched('running');
    expect(watch.live).toBe(true);
    expect(watch.current?.plan.id).toBe('weights');
    expect(watch.progress.get('weights')?.map((p) => p.machine)).toEqual(['spark-a', 'spark-b']);
    expect(headline(watch)).toBe(`S${placed('weights')}`);
  });

  it('hears it to its end', async () => {
    const watch = await watched('running', false);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(watch.live).toBe(false);
    expect(watch.state.outcome).toBe('completed');
    expect(watch.steps.every((s) => s.place === 'done')).toBe(true);
  });

  it('stops where it failed, and goes on when told to', async () => {
    const watch = await watched('failed');
    expect(watch.current).toMatchObject({ plan: { id: 'weights' }, place: 'stopped' });
    expect(watch.current?.state.problem?.code).toBe('repository-missing');
    await watch.resume();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(watch.state.outcome).toBe('completed');
  });

  it('says at once that it was asked to cancel, and ends so', async () => {
    const watch = await watched('running', false);
    await watch.cancel();
    expect(watch.cancelling).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(watch.state.outcome).toBe('cancelled');
    expect(watch.cancelling).toBe(false);
  });

  it('takes everything back, last step first', async () => {
    const watch = await watched('cancelled');
    expect(watch.undoable[0]?.plan.id).toBe('weights');
    await watch.undo();
    await vi.advanceTimersByTimeAsync(5000);
    expect(watch.state.outcome).toBe('undone');
    expect(watch.undoable).toEqual([]);
    expect(headline(watch)).toBe('Everything is as it was before.');
  });

  it('says why it stopped where its end could not be written down', async () => {
    const host = fakeHost('running', { tickMs: 10, frozen: true });
    await vi.advanceTimersByTimeAsync(1000);
    let hear: (signal: RunSignal) => void = () => undefined;
    host.watchRun = (_id, _after, signals) => {
      hear = signals;
      return Promise.resolve(null);
    };
    const watch = new RunWatch(host, 'run-1');
    await watch.open();
    expect(watch.live).toBe(true);
    const why = problem('locked', 'The run stopped.');
    hear({ signal: 'stopped', problem: why });
    expect(watch.live).toBe(false);
    expect(watch.problem).toEqual(why);
    expect(watch.undoable.length).toBeGreaterThan(0);
  });

  it('tells an interrupted run from one that goes on', async () => {
    const watch = await watched('interrupted');
    expect(watch.live).toBe(false);
    expect(headline(watch)).toBe(`It was interrupted at s${placed('weights')}`);
  });

  it('names the step before which a run was interrupted', async () => {
    const watch = await watched('interrupted');
    const at = watch.steps.findIndex((s) => s.plan.id === 'weights');
    watch.state = {
      ...watch.state,
      steps: {
        ...watch.state.steps,
        weights: { ...watch.state.steps.weights!, status: 'waiting' },
      },
    };
    expect(watch.current).toBeNull();
    const named = `step ${at + 1} of ${watch.steps.length}: weights`;
    expect(headline(watch)).toBe(`It was interrupted before ${named}`);
  });

  it('keeps a bounded log', async () => {
    const host = fakeHost('running', { frozen: true, tickMs: 10 });
    await vi.advanceTimersByTimeAsync(100);
    host.stepLog = async () => Array.from({ length: LOG_LINES + 50 }, (_, i) => `line ${i}`);
    const watch = new RunWatch(host, 'run-1');
    await watch.open();
    await watch.readLog('weights');
    expect(watch.logs.get('weights')).toHaveLength(LOG_LINES);
    expect(watch.logs.get('weights')?.at(-1)).toBe(`line ${LOG_LINES + 49}`);
  });
});
