import { expect, test } from 'vitest';

import { RECORDED } from '../host/fake/recorded';
import { fileName, FORMS, formsOf, isPerMachine, textOf } from './forms';

const { exported } = RECORDED.imports;

test('every form has a text, for each machine where that differs', () => {
  expect(exported.machines.map((m) => m.name)).toEqual(['spark-a', 'spark-b']);
  for (const form of FORMS) {
    expect(textOf(exported, form, 0), form).not.toBe('');
    expect(textOf(exported, form, 0) === textOf(exported, form, 1), form).toBe(!isPerMachine(form));
  }
  expect(textOf(exported, 'script', 7)).toBe('');
  expect(formsOf(exported)).toEqual([...FORMS]);
  expect(formsOf({ ...exported, machines: [] })).toEqual(['toml']);
});

test('no name of a file leads elsewhere', () => {
  expect(fileName('../../etc/x', 'toml', undefined)).toBe('etc-x.toml');
  expect(fileName('qwen', 'script', 'a/b c')).toBe('qwen-a-b-c.sh');
  expect(fileName('…', 'compose', '..')).toBe('recipe-machine.compose.yaml');
});
