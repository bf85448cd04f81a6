import { expect, test } from 'vitest';

import { RECORDED } from '../host/fake/recorded';
import { canBeChosen, found, over, availabilityWords } from './recipes';

const all = RECORDED.plans.recipes;

test('every typed word must occur, wherever', () => {
  expect(found(all, '')).toEqual(all);
  const one = found(all, ' qwen3.6  27B ');
  expect(one.length).toBeGreaterThan(0);
  expect(one.length).toBeLessThan(all.length);
  expect(one.every((r) => /qwen3\.6.*27b/i.test(`${r.id} ${r.title}`.replace('36', '3.6')))).toBe(
    true,
  );
  expect(found(all, 'no-such-model')).toEqual([]);
});

test('what cannot be chosen says why', () => {
  expect(all.filter(canBeChosen).length).toBeGreaterThan(10);
  for (const recipe of all) {
    if (!canBeChosen(recipe)) expect(availabilityWords(recipe), recipe.id).toMatch(/\.$/);
  }
});

test('machines are counted in words', () => {
  const recipe = all[0];
  if (!recipe) throw new Error('the catalogue is empty');
  expect(over({ ...recipe, least: 1, most: 1 })).toBe('one machine');
  expect(over({ ...recipe, least: 1, most: 2 })).toBe('1 or 2 machines');
  expect(over({ ...recipe, least: 2, most: 2 })).toBe('2 machines');
});
