import { expect, it } from 'vitest';

import type { LinkReport } from '../bindings';
import { fakeHost, type FakeState } from '../host/fake';
import { asText, expected, reduced, rows, scale, standing } from './verdict';

async function report(state: FakeState): Promise<LinkReport> {
  const found = (await fakeHost(state, { frozen: true, tickMs: 0 }).pair()).link;
  if (!found) throw new Error('it was measured');
  return found;
}

it('says how the number stands to what is normal', async () => {
  expect(standing(await report('well'))).toBe('Expected: 175 to 200 Gb/s. It lies within.');
  expect(standing(await report('hot-plug'))).toBe('Expected: 184 to 200 Gb/s.');
  const more = await report('well');
  more.verdict.gbps = 230;
  expect(standing(more)).toMatch(/^More than expected/);
  more.verdict.gbps = null;
  expect(standing(more)).toBe('Expected: 175 to 200 Gb/s.');
  expect(expected(null, null)).toBe('not known');
});

it.each(['well', 'hot-plug', 'socket-fallback', 'cable-100g'] as const)(
  'has room on the scale for all of %s, in even steps',
  async (state) => {
    const found = await report(state);
    const { end, ticks } = scale(found);
    expect(end).toBeGreaterThan(found.verdict.expected_high ?? 0);
    expect(end).toBeGreaterThan(found.verdict.gbps ?? 0);
    expect(ticks.at(-1)).toBe(end);
    expect(ticks.length).toBeLessThan(8);
  },
);

it('names rails from one, and directions by machine', async () => {
  const found = await report('well');
  const list = rows(found, ['spark-a', 'spark-b']);
  expect(list[1]).toEqual({
    method: 'rdma',
    rail: '1',
    direction: 'spark-b to spark-a',
    gbps: '109',
  });
  expect(list.at(-1)).toMatchObject({ rail: 'all', direction: 'both ways' });
});

it('copies without the names of machines, and says when it means nothing', async () => {
  const text = asText(await report('hot-plug'));
  expect(text).toContain('26.3 Gb/s by RDMA');
  expect(text).toContain('What to do: Leave the cable in both machines and restart both.');
  expect(text).not.toContain('spark-');
  expect(asText(await report('rehearsal'))).toContain('simulated');
});

it('tells the road of an all-reduce and what it carried by size', async () => {
  const good = (await report('well')).all_reduce;
  if (!good) throw new Error('there was one');
  expect(reduced(good, false)).toBe(
    'NCCL over RDMA (rocep1s0f1, roceP2p1s0f1): 9.9 Gb/s at 1 MiB, 136 Gb/s at 16 MiB, 162 Gb/s at 256 MiB, 187 Gb/s at 1 GiB',
  );
  const sockets = await report('socket-fallback');
  expect(asText(sockets)).toContain('All-reduce: NCCL over TCP sockets: 2.9 Gb/s at 1 MiB');
  expect(reduced({ ...good, rdma: null, devices: [], sizes: [] }, false)).toBe('NCCL: ');
  expect(reduced({ ...good, backend: 'gloo' }, false)).toMatch(/^Gloo over TCP: 9.9/);
  expect(asText(await report('hot-plug'))).not.toContain('All-reduce');
});
