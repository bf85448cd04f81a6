// A recipe that somebody else wrote, from what is given to one that is kept: nothing of it counts before it was shown.

import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import AppWindow from '../App.svelte';
import { fakeHost, type FakeState } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';

const { imports } = RECORDED;
const [small, , big] = imports.reads;

function open(state: FakeState = 'serving', host: Partial<Host> = {}): Host {
  const settings = { theme: 'light', hub_endpoint: '', screen: 'models' };
  const whole = { ...fakeHost(state, { tickMs: 0, settings }), ...host };
  render(AppWindow, { host: whole });
  return whole;
}

async function toImport(user: ReturnType<typeof userEvent.setup>): Promise<void> {
  await user.click(await screen.findByRole('radio', { name: 'Import' }));
}

async function paste(user: ReturnType<typeof userEvent.setup>, text: string): Promise<void> {
  await toImport(user);
  await user.click(screen.getByRole('textbox', { name: 'Recipe or command' }));
  await user.paste(text);
  await user.click(screen.getByRole('button', { name: 'Read it' }));
}

test('what is pasted is shown part by part, kept by its hash, and its plan opens', async () => {
  const user = userEvent.setup();
  const asked: unknown[] = [];
  const host = open('serving', {});
  const keep = host.keepRecipe;
  host.keepRecipe = async (recipe, confirmation) => {
    asked.push([recipe, confirmation]);
    return keep(recipe, confirmation);
  };
  await paste(user, small?.text ?? '');
  const title = small?.view.title ?? '';
  expect(await screen.findByRole('heading', { name: title })).toHaveFocus();
  const fates = new Set(small?.view.lines.map((line) => line.fate));
  expect(screen.getAllByRole('region').filter((r) => r.dataset.fate)).toHaveLength(fates.size);
  const lines = small?.view.lines ?? [];
  const shown = screen.getAllByRole('region').filter((r) => r.dataset.fate);
  expect(shown.flatMap((r) => within(r).getAllByRole('listitem'))).toHaveLength(lines.length);
  expect(await axeFaults()).toEqual([]);
  expect(asked).toEqual([]);
  await user.click(screen.getByRole('button', { name: 'Keep and show its plan' }));
  expect(await screen.findByText(imports.listed.title, { selector: '.model p' })).toBeVisible();
  const given = { text: small?.text, image: null, source: { kind: 'pasted' }, replaces: null };
  expect(asked).toEqual([[given, small?.view.confirmation]]);
});

test('what stands in the way is said, and another image can take a missing one’s place', async () => {
  const user = userEvent.setup();
  open();
  await paste(user, big?.text ?? '');
  expect(await screen.findByText(/parts stand in the way/)).toBeVisible();
  expect(screen.queryByRole('button', { name: /^Keep/ })).toBeNull();
  const way = screen.getByRole('region', { name: 'In the way' });
  expect(within(way).getByText('--chat-template')).toBeVisible();
  await user.type(screen.getByRole('textbox', { name: 'Image' }), imports.reads[3]?.image ?? '');
  await user.click(screen.getByRole('button', { name: 'Read it with this image' }));
  const changed = await screen.findByRole('region', { name: 'Changed' });
  expect(within(changed).getByText(imports.reads[3]?.image ?? '')).toBeVisible();
  expect(screen.queryByRole('button', { name: /^Keep/ })).toBeNull();
  expect(await axeFaults()).toEqual([]);
});

test('what is no recipe is refused in words, and what was typed stays', async () => {
  const user = userEvent.setup();
  open();
  await paste(user, 'Hello.');
  expect(await screen.findByText(imports.unread.message)).toBeVisible();
  expect(screen.getByRole('textbox', { name: 'Recipe or command' })).toHaveValue('Hello.');
  await user.click(screen.getByRole('button', { name: /^Machines/ }));
  await user.click(screen.getByRole('button', { name: /^Models/ }));
  expect(screen.getByRole('textbox', { name: 'Recipe or command' })).toHaveValue('Hello.');
});

test('of a repository and of a folder one file is chosen; a private address is refused', async () => {
  const user = userEvent.setup();
  open();
  await toImport(user);
  await user.click(screen.getByRole('radio', { name: 'Address' }));
  const address = screen.getByRole('textbox', { name: 'Address' });
  await user.type(address, 'https://192.0.2.1/elsewhere');
  await user.click(screen.getByRole('button', { name: 'Fetch' }));
  expect(await screen.findByText(imports.elsewhere.message)).toBeVisible();
  await user.clear(address);
  await user.type(address, 'https://github.com/example/recipes{Enter}');
  const files = await screen.findByRole('region', { name: 'Files' });
  expect(within(files).getAllByRole('button')).toHaveLength(imports.files.files.length);
  expect(await axeFaults()).toEqual([]);
  await user.click(within(files).getByRole('button', { name: 'recipes/small-chat.yaml' }));
  expect(await screen.findByRole('heading', { name: small?.view.title })).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Back to the files' }));
  await user.click(screen.getByRole('radio', { name: 'File or folder' }));
  await user.click(screen.getByRole('button', { name: 'Choose a folder' }));
  await user.click(await screen.findByRole('button', { name: 'big-chat.yaml' }));
  expect(await screen.findByRole('heading', { name: big?.view.title })).toBeVisible();
});

test('a kept recipe is renamed, removed and brought back', async () => {
  const user = userEvent.setup();
  open();
  await paste(user, small?.text ?? '');
  await user.click(await screen.findByRole('button', { name: 'Keep only' }));
  await user.click(await screen.findByRole('radio', { name: 'Yours' }));
  const row = () => within(screen.getByRole('list', { name: 'Recipes' }));
  await user.click(row().getByText('What was imported'));
  expect(await row().findByRole('region', { name: 'Kept' })).toBeVisible();
  await user.click(row().getByRole('button', { name: 'Rename' }));
  const dialog = within(await screen.findByRole('dialog'));
  const name = dialog.getByRole('textbox', { name: 'Name' });
  await user.clear(name);
  await user.click(dialog.getByRole('button', { name: 'Rename' }));
  expect(await dialog.findByText(imports.unnamed.message)).toBeVisible();
  await user.type(name, 'For work{Enter}');
  expect(await row().findByRole('heading', { level: 2, name: 'For work' })).toBeVisible();
  await user.click(row().getByRole('button', { name: 'Remove' }));
  expect(await screen.findByText(/You keep none yet/)).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Undo' }));
  expect(await row().findByRole('heading', { level: 2, name: 'For work' })).toBeVisible();
});

test('a kept recipe is changed in its place, and a recipe of Tandem’s as a copy', async () => {
  const user = userEvent.setup();
  const sources: unknown[] = [];
  const host = open('serving', {});
  const keep = host.keepRecipe;
  host.keepRecipe = async (recipe, confirmation) => {
    sources.push([recipe.source, recipe.replaces]);
    return keep(recipe, confirmation);
  };
  const first = RECORDED.plans.recipes[0];
  await user.click(
    within(await screen.findByRole('group', { name: `More for ${first?.title}` })).getByRole(
      'button',
      { name: 'Change a copy' },
    ),
  );
  const typed = await screen.findByRole('textbox', { name: 'Recipe or command' });
  expect(typed).toHaveValue(imports.text);
  await user.click(screen.getByRole('button', { name: 'Read it' }));
  await user.click(await screen.findByRole('button', { name: 'Keep only' }));
  await user.click(await screen.findByRole('radio', { name: 'Yours' }));
  await user.click(await screen.findByRole('button', { name: 'Change' }));
  await user.click(await screen.findByRole('button', { name: 'Read it' }));
  await user.click(await screen.findByRole('button', { name: 'Keep only' }));
  await screen.findByRole('list', { name: 'Recipes' });
  expect(sources).toEqual([
    [{ kind: 'copy', of: first?.id }, null],
    [{ kind: 'pasted' }, imports.id],
  ]);
});

test('a launch is exported in every form, for each machine where they differ', async () => {
  const user = userEvent.setup();
  const saved: string[] = [];
  open('serving', {
    saveText: async (name, text) => {
      saved.push(`${name}: ${text.split('\n', 1)[0]}`);
      return true;
    },
  });
  await user.click((await screen.findAllByRole('button', { name: 'Export' }))[0] as HTMLElement);
  const dialog = within(await screen.findByRole('dialog'));
  expect(await dialog.findByRole('region', { name: 'Recipe (TOML)' })).toHaveTextContent('id =');
  await user.click(dialog.getByRole('radio', { name: 'docker run' }));
  expect(dialog.getByRole('region', { name: 'docker run' })).toHaveTextContent('docker run -d');
  await user.click(dialog.getByRole('radio', { name: 'Compose' }));
  await user.click(dialog.getByRole('radio', { name: 'spark-b' }));
  expect(dialog.getByRole('region', { name: 'Compose' })).toHaveTextContent('For spark-b');
  expect(await axeFaults()).toEqual([]);
  await user.click(dialog.getByRole('button', { name: 'Save' }));
  await user.click(dialog.getByRole('radio', { name: 'Script' }));
  await user.click(dialog.getByRole('button', { name: 'Save' }));
  const id = RECORDED.plans.recipes[0]?.id;
  expect(saved).toEqual([
    `${id}-spark-b.compose.yaml: # For spark-b.`,
    `${id}-spark-b.sh: #!/bin/sh`,
  ]);
});
