// A run is watched by whoever asks first; the screen that asked may be left before it ends.

import { flushSync } from 'svelte';
import { describe, expect, it } from 'vitest';

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
