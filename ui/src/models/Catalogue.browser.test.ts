// The catalogue as a person uses it: search, marks, whether a model fits, and the way to a chat with it.

import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import { RECORDED } from '../host/fake/recorded';
import AppWindow from '../App.svelte';
import { fakeHost, type FakeState } from '../host/fake';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';
import { canBeChosen } from './recipes';

const { other, recipes, pair } = RECORDED.plans;

function open(state: FakeState, at = 'models', host: Partial<Host> = {}): Host {
  const settings = { theme: 'light', hub_endpoint: '', screen: at };
  const whole = { ...fakeHost(state, { tickMs: 0, settings }), ...host };
  render(AppWindow, { host: whole });
  return whole;
}

const list = () => screen.findByRole('list', { name: 'Recipes' });
const names = async () =>
  within(await list())
    .getAllByRole('heading', { level: 2 })
    .map((h) => h.textContent);

test('two clicks from the plan to the plan of another model, which stays chosen', async () => {
  const user = userEvent.setup();
  open('pair', 'setup');
  expect(await screen.findByText(pair.title, { selector: '.model p' })).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Another model' }));
  expect(await names()).toHaveLength(recipes.length);
  await user.type(screen.getByRole('searchbox', { name: 'Search' }), other.title);
  await user.click(screen.getByRole('button', { name: `Choose ${other.title}` }));
  expect(await screen.findByText(other.title, { selector: '.model p' })).toBeVisible();
  await user.click(screen.getByRole('button', { name: /^Machines/ }));
  await user.click(screen.getByRole('button', { name: /^Serve/ }));
  expect(await screen.findByText(other.title, { selector: '.model p' })).toBeVisible();
});

test('who has machines that work starts here, and is three clicks from a chat with any model', async () => {
  const user = userEvent.setup();
  const host = open('serving', 'setup');
  const title = /recipes can be served on these machines/;
  expect(await screen.findByRole('heading', { level: 1, name: title })).toBeVisible();
  const rail = within(screen.getByRole('navigation', { name: 'Screens' }));
  expect(rail.getAllByRole('button')).toHaveLength(7);
  expect(rail.getAllByRole('button')[0]).toHaveTextContent('Models');
  expect(rail.getAllByRole('button')[4]).toHaveTextContent('Set-up');
  await user.click(await screen.findByRole('button', { name: `Choose ${other.title}` }));
  await user.click(await screen.findByRole('button', { name: 'Start' }));
  await user.click(await screen.findByRole('button', { name: 'Open chat' }));
  expect(await screen.findByRole('textbox', { name: 'Message' })).toHaveFocus();
  expect((await host.listRuns()).length).toBe(2);
});

test('from the first screen with two known machines a chat with another recipe is at most four clicks away', async () => {
  const user = userEvent.setup();
  open('pair', 'setup');
  let clicks = 0;
  const click = async (name: string) => {
    await user.click(await screen.findByRole('button', { name }));
    clicks += 1;
  };
  expect(await screen.findByText(pair.title, { selector: '.model p' })).toBeVisible();
  await click('Another model');
  await click(`Choose ${other.title}`);
  await click('Start');
  await click('Open chat');
  expect(await screen.findByRole('textbox', { name: 'Message' })).toHaveFocus();
  expect(clicks).toBeLessThanOrEqual(4);
});

test('a mark puts a recipe first and is remembered; without a match the way back is said', async () => {
  const user = userEvent.setup();
  const host = open('serving');
  const last = recipes.filter(canBeChosen).at(-1)?.title ?? '';
  await user.click(await screen.findByRole('radio', { name: 'Favourites' }));
  expect(await screen.findByText(/You marked none yet/)).toBeVisible();
  await user.click(screen.getByRole('radio', { name: 'All' }));
  const mark = await screen.findByRole('button', { name: `Favourite: ${last}` });
  mark.focus();
  await user.keyboard(' ');
  expect((await names())[0]).toBe(last);
  expect(screen.getByRole('button', { name: `Favourite: ${last}` })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  expect((await host.settings()).favourites).toHaveLength(1);
  await user.click(screen.getByRole('radio', { name: 'Favourites' }));
  expect(await names()).toEqual([last]);
  await user.type(screen.getByRole('searchbox', { name: 'Search' }), 'no-such-model');
  expect(await screen.findByText(/No recipe is like that/)).toBeVisible();
});

test('whether it fits is reckoned with its arithmetic, where one asks', async () => {
  const user = userEvent.setup();
  open('serving');
  const row = (await list()).querySelector('li');
  await user.click(within(row as HTMLElement).getByText('Will it fit?'));
  const answer = within(row as HTMLElement);
  expect(await answer.findByText(/It fits|They fit|fit/, { selector: 'p.small' })).toBeVisible();
  await user.click(answer.getByText('The arithmetic'));
  expect(answer.getByRole('rowheader', { name: /^Weights/ })).toBeVisible();
  expect(await axeFaults()).toEqual([]);
});

test('what lies on the disks is a part of the models, by keyboard too', async () => {
  const user = userEvent.setup();
  open('serving');
  (await screen.findByRole('radio', { name: 'Catalogue' })).focus();
  await user.keyboard('{ArrowRight}');
  expect(await screen.findByRole('heading', { name: 'Container images' })).toBeVisible();
});

test('without a machine the catalogue can be read and nothing can be chosen', async () => {
  const user = userEvent.setup();
  open('empty', 'settings');
  await user.click(await screen.findByRole('button', { name: /^Models/ }));
  expect(await names()).toHaveLength(recipes.length);
  expect(screen.queryByRole('button', { name: /^Choose/ })).toBeNull();
  expect(screen.getByRole('button', { name: 'Add machines' })).toBeVisible();
});
