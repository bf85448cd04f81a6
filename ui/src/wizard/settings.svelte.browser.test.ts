// The form is drawn from what the engine says of its settings.

import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import type { Setting } from '../bindings';
import recorded from '../host/recorded/settings.json';
import SettingField from './SettingField.svelte';

function setting(id: string): Setting {
  const found = (recorded.settings as Setting[]).find((s) => s.id === id);
  if (!found) throw new Error(`the engine has no setting ${id}`);
  return found;
}

test('what is proposed is marked with its reason, and each may be chosen', async () => {
  const onchange = vi.fn();
  const choices: Record<string, Setting['value']> = $state({});
  const way = setting('mtp_way');
  if (way.kind.kind !== 'options') throw new Error('it is a choice among options');
  const [proposed, , overlay] = way.kind.options;
  render(SettingField, { setting: way, choices, onchange });
  const radio = screen.getByRole('radio', { name: proposed?.label });
  expect(radio).toBeChecked();
  expect(screen.getByText(proposed?.what ?? '-')).toBeVisible();

  await userEvent.click(screen.getByRole('radio', { name: overlay?.label }));
  expect(choices).toEqual({ mtp_way: overlay?.value });
  expect(onchange).toHaveBeenCalled();

  await userEvent.click(radio);
  expect(choices, 'what is proposed stays open to what the machines tell').toEqual({});
});

test('a number has the limits that the engine gave it', async () => {
  const context = setting('context');
  if (context.kind.kind !== 'integer') throw new Error('it is a number');
  const choices: Record<string, Setting['value']> = $state({});
  render(SettingField, { setting: context, choices, onchange: () => {} });
  const field = screen.getByRole('spinbutton', { name: context.label });
  expect(field).toHaveAttribute('min', String(context.kind.least));
  expect(field).toHaveAttribute('max', String(context.kind.most));
  await userEvent.clear(field);
  await userEvent.type(field, '4096');
  expect(choices).toEqual({ context: 4096 });
});
