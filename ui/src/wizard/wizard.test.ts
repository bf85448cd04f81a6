import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { fakeHost } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import { AddMachines } from './addMachines.svelte';
import { bare, port } from './address';
import { PlanReview } from './plan.svelte';

describe('addresses', () => {
  it.each([
    ['spark-a', 'spark-a', 22],
    [' 192.168.1.5:2222 ', '192.168.1.5', 2222],
    ['[fe80::1]:2200', 'fe80::1', 2200],
    ['fe80::1', 'fe80::1', 22],
    ['spark:', 'spark', null],
    ['spark:99999', 'spark', null],
  ])('%s', (typed, address, at) => {
    expect(bare(typed)).toBe(address);
    expect(port(typed)).toBe(at);
  });
});

describe('adding both machines', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function filled(second: string, password = 'secret') {
    const host = fakeHost('empty', { tickMs: 0 });
    const form = new AddMachines(host, 0);
    const [a, b] = form.entries;
    a.address = 'spark-a';
    b.address = second;
    a.password = password;
    const reading = form.readKeys();
    await vi.advanceTimersByTimeAsync(100);
    await reading;
    return { host, form };
  }

  it('reads both keys at once, accepts both with one yes, and forgets the password', async () => {
    const { host, form } = await filled('spark-b');
    expect(form.stage).toBe('keys');
    expect(form.entries.map((e) => e.probe?.fingerprint.slice(0, 7))).toEqual([
      'SHA256:',
      'SHA256:',
    ]);
    const adding = form.accept();
    await vi.advanceTimersByTimeAsync(100);
    await adding;
    expect(form.stage).toBe('done');
    expect((await host.overview()).machines).toHaveLength(2);
    expect(form.entries.map((e) => e.password)).toEqual(['', '']);
  });

  it('stays in the form with the problem beside the machine that does not answer', async () => {
    const { form } = await filled('nowhere');
    expect(form.stage).toBe('form');
    expect(form.entries.map((e) => e.problem?.code)).toEqual([undefined, 'unreachable']);
  });

  it('asks who signs in where nobody knows', async () => {
    const form = new AddMachines(fakeHost('empty', { tickMs: 0 }), 0);
    form.entries[0].address = '10.0.0.9';
    const reading = form.readKeys();
    await vi.advanceTimersByTimeAsync(100);
    await reading;
    expect(form.stage).toBe('form');
    expect(form.entries[0].problem?.code).toBe('bad-input');
    form.entries[0].user = 'ada';
    const again = form.readKeys();
    await vi.advanceTimersByTimeAsync(100);
    await again;
    expect(form.stage).toBe('keys');
    expect(form.userOf(form.entries[1])).toBe('ada');
  });

  it('asks about a key unless the person’s own ssh knows every one', async () => {
    const known = await filled('spark-b.known');
    expect(known.form.stage).toBe('keys');
    expect(known.form.vouched).toBe(false);
    known.form.back();
    known.form.entries[0].address = 'spark-a.known';
    const reading = known.form.readKeys();
    await vi.advanceTimersByTimeAsync(100);
    await reading;
    expect(known.form.vouched).toBe(true);
  });

  it('refuses the same address twice before anything is asked', () => {
    const form = new AddMachines(fakeHost('empty'), 0);
    expect(form.missing).toMatch(/first/);
    form.entries[0].address = 'spark-a';
    expect(form.missing).toBeNull();
    form.entries[1].address = 'SPARK-A ';
    expect(form.missing).toMatch(/same/);
  });

  it('tries again with what is left after a wrong password', async () => {
    const { host, form } = await filled('spark-b', 'wrong');
    const first = form.accept();
    await vi.advanceTimersByTimeAsync(100);
    await first;
    expect(form.stage).toBe('form');
    expect(form.entries.map((e) => e.problem?.code)).toEqual(['wrong-password', 'wrong-password']);
    form.entries[0].password = 'secret';
    const reading = form.readKeys();
    await vi.advanceTimersByTimeAsync(100);
    await reading;
    const second = form.accept();
    await vi.advanceTimersByTimeAsync(100);
    await second;
    expect((await host.overview()).machines).toHaveLength(2);
  });
});

describe('the plan', () => {
  it('holds Start until the choices in view are checked, and while something stands against them', async () => {
    const review = new PlanReview(fakeHost('pair'));
    expect(review.held).toMatch(/being made/);
    await review.make({ of: 'proposal' });
    expect(review.held).toBeNull();
    const [refused] = RECORDED.plans.refused;
    if (review.request) review.request.choices = refused?.request.choices;
    review.changed();
    expect(review.held).toMatch(/being checked/);
    await review.check();
    expect(review.problems).toEqual(refused?.problems);
    expect(review.held).toMatch(/stands against/);
    expect(await review.start()).toBeNull();
  });

  it('gives back the run it started', async () => {
    const review = new PlanReview(fakeHost('pair', { tickMs: 1000 }));
    await review.make({ of: 'proposal' });
    expect(await review.start()).toBe('run-1');
  });

  it('starts the cable alone with the choices in view, whatever stands against a server', async () => {
    const host = fakeHost('pair', { tickMs: 1000 });
    const startLink = vi.fn<typeof host.startLink>(async () => 'run-7');
    const review = new PlanReview({ ...host, startLink });
    expect(review.linkHeld).toMatch(/being made/);
    await review.make({ of: 'proposal' });
    const request = review.request;
    const end = request?.network?.rails[0]?.ends[0];
    if (!request || !end) throw new Error('there is a link');
    request.choices = RECORDED.plans.refused[1]?.request.choices;
    end.address = '192.168.100.20';
    review.changed();
    expect(review.linkHeld).toMatch(/being checked/);
    await review.check();
    expect(review.held).toMatch(/stands against/);
    expect(await review.startLink()).toBe('run-7');
    const [started] = startLink.mock.calls[0] ?? [];
    expect(started?.network.rails[0]?.ends[0]?.address).toBe('192.168.100.20');
    expect(started?.restart).toBe(false);
  });
});
