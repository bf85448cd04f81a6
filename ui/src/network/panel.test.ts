import { expect, it } from 'vitest';

import { fakeHost, type FakeState } from '../host/fake';
import {
  cableCarries,
  cableIsFine,
  cables,
  carries,
  described,
  extent,
  hang,
  portAt,
} from './panel';

async function cabling(state: FakeState) {
  const found = (await fakeHost(state, { frozen: true, tickMs: 0 }).pair()).cabling;
  if (!found) throw new Error('machines were looked at');
  return found;
}

it('hangs one cable between the ports that are used', async () => {
  const same = cables(await cabling('well'));
  expect(same).toEqual([
    {
      from: { panel: 0, port: 'p1' },
      to: { panel: 1, port: 'p1' },
      rails: [true, true],
      wanted: false,
    },
  ]);
  const other = cables(await cabling('different-ports'));
  expect(other.map((c) => [c.from.port, c.to.port])).toEqual([['p0', 'p1']]);
  expect(cables(await cabling('two-cables')).map((c) => c.from.port)).toEqual(['p0', 'p1']);
});

it('breaks the rail that is down, and only that', async () => {
  const found = await cabling('one-rail');
  const [cable] = cables(found);
  if (!cable) throw new Error('there is a cable');
  expect(cable.rails).toEqual([true, false]);
  expect(carries(cable, found.panels)).toBe('1 of 2 rails up, port speed 200 Gb/s');
});

it('shows where to plug in: the outermost ports, or the one where the other end is', async () => {
  expect(cables(await cabling('no-cable'))).toMatchObject([
    { from: { port: 'p1' }, to: { port: 'p1' }, wanted: true },
  ]);
  const end = await cabling('one-end');
  const [a] = end.panels;
  a?.ports.forEach((p) => (p.plugged = p.port === 'p0'));
  expect(cables(end)).toMatchObject([{ from: { port: 'p0' }, to: { port: 'p0' }, wanted: true }]);
});

it('says the slowest port speed', async () => {
  const found = await cabling('cable-100g');
  const [cable] = cables(found);
  expect(cable && carries(cable, found.panels)).toBe('both rails up, port speed 100 Gb/s');
});

it('draws no cable for one machine, for three, or where the adapter is missing', async () => {
  expect(cables(await cabling('one'))).toEqual([]);
  const found = await cabling('well');
  const third = { ...found, panels: [...found.panels, ...found.panels.slice(0, 1)] };
  expect(cables({ ...third, state: 'not-a-pair' })).toEqual([]);
  expect(cables({ ...(await cabling('no-cable')), state: 'adapter-missing' })).toEqual([]);
});

it('keeps every part of the drawing inside it', async () => {
  const found = await cabling('two-cables');
  const { width, height } = extent(2);
  for (const cable of cables(found))
    cable.rails.forEach((_, rail) => {
      const numbers = (hang(cable, rail).match(/[\d.]+/g) ?? []).map(Number);
      const [x1 = 0, y1 = 0, , dip = 0] = numbers;
      // A curve with both handles at one depth hangs three quarters of the way down to it.
      expect(y1 + 0.75 * (dip - y1)).toBeLessThan(height);
      expect(x1).toBeGreaterThan(0);
      expect(Math.max(...numbers.filter((_, i) => i % 2 === 0))).toBeLessThan(width);
    });
  expect(portAt(1, 'p1').left + 64).toBeLessThan(width);
});

it('tells the drawing in words', async () => {
  expect(described(await cabling('one-end'))).toBe(
    'Rear panels, seen from behind. spark-a: a plug in p1, outermost. spark-b: the adapter is switched off, no plug is seen.',
  );
});

it('lets the set-up go on with a slow link, but not without one', () => {
  expect(cableIsFine('different-ports')).toBe(true);
  expect(cableIsFine('slow')).toBe(false);
  expect(cableCarries('slow')).toBe(true);
  for (const state of ['no-cable', 'one-end', 'adapter-missing', 'not-a-pair'] as const)
    expect(cableCarries(state)).toBe(false);
});
