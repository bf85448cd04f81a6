import { expect, test } from 'vitest';

import { budgetLine, budgetMore, budgetNotice } from './budget';

const budget = { window: 262_144, prompt: 1234, counted: true, answer: 8192, left_out: 0 };

test('what is taken and what is left stand in words', () => {
  expect(budgetLine(budget)).toBe('1,234 of 262,144 tokens');
  expect(budgetMore(budget)).toBe('The answer may have 8,192 tokens.');
  expect(budgetNotice(budget)).toBeNull();
});

test('an estimate is told to be one', () => {
  const estimated = { ...budget, counted: false };
  expect(budgetLine(estimated)).toBe('about 1,234 of 262,144 tokens');
  expect(budgetMore(estimated)).toContain('estimates');
});

test('what will not be sent is told before it is sent', () => {
  expect(budgetNotice({ ...budget, left_out: 1 })).toMatch(/^The first message of/);
  expect(budgetNotice({ ...budget, left_out: 12 })).toMatch(/^The first 12 messages of/);
  expect(budgetNotice({ ...budget, prompt: 300_000, answer: 0 })).toContain('300,000 tokens');
});
