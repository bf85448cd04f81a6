import { describe, expect, test } from 'vitest';

import { RECORDED } from '../host/fake/recorded';
import type { Serving } from '../bindings';
import { MODELS_OWN } from '../host/own';
import { changes, levelsOf, typedNumber } from './controls';

const serving = (over: Partial<Serving>): Serving => ({
  ...(RECORDED.served.overview.serving as Serving),
  pictures: false,
  reasoning: null,
  ...over,
});
const values = (of: Serving | null): string[] => levelsOf(of).map(({ value }) => value);

test.each([
  ['', [null, null]],
  ['0,5', [0.5, null]],
  [' 0.5 ', [0.5, null]],
  ['3', [3, 'From 0 to 2.']],
  ['warm', [null, 'Type a number, or nothing.']],
])('%j is typed', (typed, expected) => {
  expect(typedNumber(typed, { least: 0, most: 2, parts: true })).toEqual(expected);
});

test('a count has no fraction', () => {
  expect(typedNumber('1.5', { least: 0, most: 9 })[1]).toBe('A whole number is needed.');
});

describe('levels of reasoning', () => {
  test('are those of the recipe, and off where the recipe can switch it', () => {
    const levels = ['low', 'high'];
    const switched = serving({ reasoning: { switch: 'enable_thinking', levels } });
    expect(values(switched)).toEqual(['', 'off', 'low', 'high']);
    expect(values(serving({ reasoning: { switch: null, levels } }))).toEqual(['', 'low', 'high']);
    expect(values(serving({ reasoning: { switch: null, levels: [] } }))).toEqual([]);
  });

  test('there are none where the model does not reason, and where nothing is served', () => {
    expect(values(serving({}))).toEqual([]);
    expect(values(null)).toEqual([]);
  });

  test('what an earlier Tandem launched can be asked not to', () => {
    expect(values(serving({ pictures: null }))).toEqual(['', 'off']);
  });
});

test('what differs from the model’s own is counted', () => {
  expect(changes(MODELS_OWN)).toBe(0);
  const sampling = { ...MODELS_OWN.sampling, temperature: 0, stop: ['END'] };
  expect(changes({ ...MODELS_OWN, system: 'Be brief.', level: 'low', sampling })).toBe(3);
});
