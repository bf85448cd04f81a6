import { expect, test } from 'vitest';

import type { ConversationSummary } from '../bindings';
import { byDay, dayOf } from './days';

const now = new Date(2026, 10, 27, 0, 30).getTime();
const day = 86_400_000;

test('a day is the calendar’s, not the last 24 hours', () => {
  expect(dayOf(now - 20 * 60_000, now)).toBe('Today');
  expect(dayOf(now - 40 * 60_000, now)).toBe('Yesterday');
  expect(dayOf(now - 3 * day, now)).toBe('Last 7 days');
  expect(dayOf(now - 20 * day, now)).toBe('Last 30 days');
  expect(dayOf(now - 60 * day, now)).toBe('September 2026');
  expect(dayOf(now + day, now), 'a clock that was set back').toBe('Today');
});

test('what is pinned stands apart', () => {
  const of = (id: string, updated_at: number, pinned = false): ConversationSummary => ({
    id,
    title: id,
    updated_at,
    pinned,
    archived: false,
  });
  const groups = byDay([of('p', now - 90 * day, true), of('a', now), of('b', now - day)], now);
  expect(groups.map(({ name, list }) => [name, list.map(({ id }) => id)])).toEqual([
    ['Pinned', ['p']],
    ['Today', ['a']],
    ['Yesterday', ['b']],
  ]);
});
