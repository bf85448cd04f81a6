// A run is watched by whoever asks first; the screen that asked may be left before it ends.

import { flushSync } from 'svelte';
import { describe, expect, it, vi } from 'vitest';

import type { Host } from '../host/host';
import { fakeHost } from '../host/fake';
import { Session } from './session.svelte';
import { untilGone } from './watch.test.svelte';

describe('a run that is watched', () => {
  it('goes on when the screen that first asked for it is left', async () => {
    const host: Host = fakeHost('interrupted');
    const session = new Session(host);
    const run = (await host.listRuns())[0];
    if (!run) throw new Error('the fake has a run');
    const watch = untilGone(() => session.watch(run.id));
    await watch.open();
    flushSync();
    const before = watch.steps.map((s) => s.place);
    expect(before).toContain('stopped');
    await watch.resume();
    expect(watch.steps.map((s) => s.place)).toContain('active');
  });
});

describe('the overview', () => {
  it('comes by itself, and an answer that is older than it changes nothing', async () => {
    const host = fakeHost('pair', { tickMs: 0 });
    const session = new Session(host);
    await session.start();
    const before = session.overview;
    if (!before) throw new Error('it was asked for');
    // Somebody else than the window does it: nobody asks for the overview after that.
    await host.setHubToken('hf_x');
    await vi.waitFor(() => expect(session.overview?.hub_token).toBe(true));
    session.setOverview(before);
    expect(session.overview?.hub_token).toBe(true);
  });
});
