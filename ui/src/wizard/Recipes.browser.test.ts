// Another model than the proposed one, as a person chooses it.

import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import { RECORDED } from '../host/fake/recorded';
import AppWindow from '../App.svelte';
import { fakeHost } from '../host/fake';
import { axeFaults } from '../test/axe';

const { other, recipes, pair } = RECORDED.plans;

test('two clicks from the plan to the plan of another model, which stays chosen', async () => {
  const user = userEvent.setup();
  render(AppWindow, { host: fakeHost('pair', { tickMs: 0 }) });
  expect(await screen.findByText(pair.title)).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Another model' }));
  const dialog = await screen.findByRole('dialog', { name: 'Choose a model' });
  const list = await within(dialog).findByRole('list', { name: 'Recipes' });
  expect(within(list).getAllByRole('heading')).toHaveLength(recipes.length);
  expect(await axeFaults(dialog)).toEqual([]);
  await user.type(within(dialog).getByRole('searchbox', { name: 'Search' }), other.title);
  const choose = { name: `Choose ${other.title}` };
  await user.click(within(dialog).getByRole('button', choose));
  expect(screen.queryByRole('dialog')).toBeNull();
  const title = await screen.findByText(other.title, { selector: '.model p' });
  expect(title).toBeVisible();
  await user.click(screen.getByRole('button', { name: /^Machines/ }));
  await user.click(screen.getByRole('button', { name: /^Set-up/ }));
  expect(await screen.findByText(other.title, { selector: '.model p' })).toBeVisible();
});
