import { expect, it } from 'vitest';

import { pair } from '../host/fake/machines';
import { factLines } from './facts';

const differing = (machines: Parameters<typeof factLines>[0]) =>
  factLines(machines)
    .filter((line) => line.differs)
    .map((line) => line.name);

it('marks what should agree and does not, and nothing else', () => {
  expect(differing(pair())).toEqual(['Driver']);
});

it('finds no difference to a machine nobody looked at', () => {
  const [a, b] = pair();
  expect(differing([a, { ...b, facts: null }])).toEqual([]);
});
