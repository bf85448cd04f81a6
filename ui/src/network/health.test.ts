import { expect, it } from 'vitest';

import type { Finding } from '../bindings';
import { fakeHost, type FakeState } from '../host/fake';
import { asText, headline, ordered, whose } from './health';

async function known(state: FakeState) {
  const host = fakeHost(state, { frozen: true, tickMs: 0 });
  return { machines: (await host.overview()).machines, pair: await host.pair() };
}

const finding = (level: Finding['level'], machine: number | null): Finding => ({
  state: `${level}-${machine}`,
  level,
  machine,
  title: 'So it is.',
  meaning: 'This is what it means.',
  cure: '',
});

it('puts the worst first, and what concerns both before one of them', () => {
  const given = [
    finding('note', null),
    finding('bad', 1),
    finding('warning', null),
    finding('bad', 0),
    finding('bad', null),
  ];
  expect(ordered(given).map((f) => f.state)).toEqual([
    'bad-null',
    'bad-0',
    'bad-1',
    'warning-null',
    'note-null',
  ]);
  expect(given[0]?.state, 'what was given stays as it was').toBe('note-null');
});

it('says whom it is about', async () => {
  const { machines } = await known('pair');
  expect(whose(finding('bad', 1), machines)).toBe('spark-b');
  expect(whose(finding('bad', null), machines)).toBe('both machines');
  expect(whose(finding('bad', null), machines.slice(0, 1))).toBe('');
  expect(asText(finding('bad', 1), machines)).toBe(
    'Will not work, spark-b: So it is.\nThis is what it means.',
  );
});

it('calls the machines well only where nothing needs attention', async () => {
  const { machines, pair } = await known('well');
  expect(headline(machines, pair, [])).toEqual({
    title: 'Both machines are well',
    says: 'They agree in everything that should agree.',
  });
  expect(headline(machines, pair, ['kernel']).says).toMatch(/differ in kernel/);
  expect(headline([], null, []).title).toBe('No machine is here yet');
});

it.each([
  ['unreachable', 'spark-b needs attention', /^spark-b does not answer\./],
  ['no-cma', 'spark-b needs attention', /^One thing could be better/],
  ['pair', 'The pair needs attention', /^One thing could be better\.$/],
  ['one-end', 'The cable needs attention', undefined],
  ['hot-plug', 'The link needs attention', undefined],
] as const)('says what needs attention: %s', async (state, title, says) => {
  const { machines, pair } = await known(state);
  const top = headline(machines, pair, []);
  expect(top.title).toBe(title);
  if (says) expect(top.says).toMatch(says);
  expect(top.says ?? '', 'it never agrees in everything then').not.toMatch(/agree/);
});

it('does not say that machines agree while one was never looked at', async () => {
  const { machines, pair } = await known('well');
  const [a, b] = machines;
  if (!a || !b) throw new Error('two are there');
  expect(headline([a, { ...b, facts: null }], { ...pair, cabling: null }, []).says).toBeUndefined();
});
