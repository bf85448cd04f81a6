import { expect, it } from 'vitest';

import { standing } from '../host/fake/network';
import { factLines } from './facts';

const pair = (state: string) => standing(state).machines;

const differing = (machines: Parameters<typeof factLines>[0]) =>
  factLines(machines)
    .filter((line) => line.differs)
    .map((line) => line.name);

it('marks what should agree and does not, and nothing else', () => {
  expect(differing(pair('pair'))).toEqual(['Driver']);
});

it('finds no difference to a machine nobody looked at', () => {
  const [a, b] = pair('pair');
  if (!a || !b) throw new Error('two were recorded');
  expect(differing([a, { ...b, facts: null }])).toEqual([]);
});
