import { expect, test } from 'vitest';

import type { ListedRecipe, MachineDisk } from '../bindings';
import { RECORDED } from '../host/fake/recorded';
import {
  availabilityWords,
  canBeChosen,
  found,
  headline,
  holders,
  holderWords,
  over,
  type Known,
  type Wanted,
} from './recipes';

const all = RECORDED.plans.recipes;
const unknown: Known = { isFavourite: () => false, holders: () => [] };
const any: Wanted = { typed: '', show: 'all', abilities: [] };
const typed = (text: string) => found(all, { ...any, typed: text }, unknown);

test('every typed word must occur, wherever', () => {
  expect(found(all, any, unknown)).toEqual(all);
  const one = typed(' qwen3.6  27B ');
  expect(one.length).toBeGreaterThan(0);
  expect(one.length).toBeLessThan(all.length);
  expect(one.every((r) => /qwen3\.6.*27b/i.test(`${r.id} ${r.title}`.replace('36', '3.6')))).toBe(
    true,
  );
  expect(typed('no-such-model')).toEqual([]);
});

test('of several abilities all are wanted', () => {
  const both = found(all, { ...any, abilities: ['pictures', 'tools'] }, unknown);
  expect(both.length).toBeGreaterThan(0);
  expect(both.every((r) => r.pictures && r.tools)).toBe(true);
  expect(both.length).toBeLessThan(found(all, { ...any, abilities: ['tools'] }, unknown).length);
});

test('what is marked comes first among its like, and never before what can be chosen', () => {
  const fitting = all.filter(canBeChosen);
  const marked = [fitting.at(-1), all.find((r) => !canBeChosen(r))].map((r) => r?.id);
  const known: Known = { ...unknown, isFavourite: (id) => marked.includes(id) };
  const sorted = found(all, any, known);
  expect(sorted[0]?.id).toBe(marked[0]);
  expect(sorted[fitting.length]?.id).toBe(marked[1]);
  expect(found(all, { ...any, show: 'favourites' }, known).map((r) => r.id)).toEqual(marked);
});

test('what lies on the disks is known by its repository', () => {
  const recipe = all[0] as ListedRecipe;
  const disk = (name: string, repo: string | null, kind = 'revision') =>
    ({ name, disk: { entries: [{ item: { kind, name: repo } }] } }) as unknown as MachineDisk;
  const unread = { name: 'spark-c', disk: null } as unknown as MachineDisk;
  const disks = [disk('spark-a', recipe.repo), disk('spark-b', recipe.repo, 'unfinished'), unread];
  expect(holders(recipe, disks)).toEqual(['spark-a']);
  expect(holderWords(['spark-a'], 2)).toBe('Weights on spark-a');
  expect(holderWords(['spark-a', 'spark-b'], 2)).toBe('Weights on both machines');
  expect(holderWords([], 2)).toBeNull();
  const known: Known = { ...unknown, holders: (r) => (r === recipe ? ['spark-a'] : []) };
  expect(found(all, { ...any, show: 'on-disk' }, known)).toEqual([recipe]);
});

test('what cannot be chosen says why', () => {
  expect(all.filter(canBeChosen).length).toBeGreaterThan(10);
  for (const recipe of all) {
    if (!canBeChosen(recipe)) expect(availabilityWords(recipe), recipe.id).toMatch(/\.$/);
  }
});

test('the sentence at the top counts what can be served here', () => {
  const can = all.filter(canBeChosen);
  expect(headline(all, ['spark-a', 'spark-b']).title).toBe(
    `${can.length} recipes can be served on these machines`,
  );
  expect(headline(can.slice(0, 1), ['spark-a']).title).toBe('One recipe can be served on spark-a');
  expect(headline(all, []).title).toMatch(/for two Sparks$/);
});

test('machines are counted in words', () => {
  const recipe = all[0];
  if (!recipe) throw new Error('the catalogue is empty');
  expect(over({ ...recipe, least: 1, most: 1 })).toBe('one machine');
  expect(over({ ...recipe, least: 1, most: 2 })).toBe('1 or 2 machines');
  expect(over({ ...recipe, least: 2, most: 2 })).toBe('2 machines');
});
