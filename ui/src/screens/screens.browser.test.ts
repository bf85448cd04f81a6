// Every screen as a whole, in the smallest window that it is made for: axe finds nothing, and nothing is cut.

import { render, screen, waitFor } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';
import { page } from 'vitest/browser';

import AppWindow from '../App.svelte';
import type { RunSummary } from '../bindings';
import { fakeHost, type FakeState } from '../host/fake';
import { recorded } from '../host/fake/problems';
import type { ScreenName } from '../session/session.svelte';
import { axeFaults } from '../test/axe';

const SCENES: [FakeState, ScreenName][] = [
  ['empty', 'setup'],
  ['pair', 'setup'],
  ['running', 'setup'],
  ['failed', 'setup'],
  ['interrupted', 'chat'],
  ['serving', 'models'],
  ['serving', 'serve'],
  ['pair', 'models'],
  ['serving', 'chat'],
  ['serving', 'bench'],
  ['serving', 'pair'],
  ['serving', 'runs'],
  ['rehearsal', 'settings'],
];

test.each(SCENES)('%s on %s', async (state, at) => {
  await page.viewport(1024, 700);
  const settings = { theme: 'light', hub_endpoint: '', screen: at };
  render(AppWindow, { host: fakeHost(state, { frozen: true, tickMs: 0, settings }) });
  await screen.findByRole('heading', { level: 1 });
  // What changes while axe looks is found faulty half-way.
  await waitFor(() => expect(screen.queryByText(/^(Reading|Making)/)).toBeNull());
  expect(await axeFaults()).toEqual([]);
  const cut = [...document.querySelectorAll('main, main *')].filter(
    (e) => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest('.scroll'),
  );
  expect(cut).toEqual([]);
});

test('with machines that work Set-up says that nothing is left, and leads on', async () => {
  await page.viewport(1024, 700);
  const user = userEvent.setup();
  render(AppWindow, { host: fakeHost('serving', { frozen: true, tickMs: 0 }) });
  await user.click(await screen.findByRole('button', { name: /^Set-up/ }));
  expect(await screen.findByText('Nothing is left to set up.')).toBeVisible();
  expect(await axeFaults()).toEqual([]);
  await user.click(screen.getByRole('button', { name: 'Choose a model' }));
  expect(await screen.findByRole('list', { name: 'Recipes' })).toBeVisible();
});

test('all runs are reached from what they belong to and from the palette', async () => {
  const user = userEvent.setup();
  const settings = { theme: 'light', hub_endpoint: '', screen: 'serve' };
  render(AppWindow, { host: fakeHost('serving', { frozen: true, tickMs: 0, settings }) });
  await user.click(await screen.findByRole('button', { name: 'All runs' }));
  expect(await screen.findByRole('heading', { name: 'One run so far' })).toBeVisible();
  await user.keyboard('{Control>}1{/Control}');
  expect(await screen.findByRole('list', { name: 'Recipes' })).toBeVisible();
  await user.keyboard('{Control>}k{/Control}');
  await user.keyboard('all runs{Enter}');
  expect(await screen.findByRole('heading', { name: 'One run so far' })).toBeVisible();
});

test('a server that ended behind Tandem’s back is told, with the way to start it again', async () => {
  await page.viewport(1024, 700);
  const user = userEvent.setup();
  const settings = { theme: 'light', hub_endpoint: '', screen: 'serve' };
  const fallen = { ...recorded('unmeasured'), code: 'server-died' as const };
  let asked = 0;
  const checkServing = async () => {
    asked += 1;
    throw fallen;
  };
  const host = fakeHost('serving', { frozen: true, tickMs: 0, settings });
  render(AppWindow, { host: { ...host, checkServing } });
  expect(
    await screen.findByRole('heading', { level: 1, name: /does not serve any more/ }),
  ).toBeVisible();
  expect(screen.getByText(fallen.message)).toBeVisible();
  expect(asked).toBe(1);
  expect(await axeFaults()).toEqual([]);
  await user.click(screen.getByRole('button', { name: 'Start it again' }));
  expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
});

test('after a start that failed, what worked before is one click away', async () => {
  const user = userEvent.setup();
  const settings = { theme: 'light', hub_endpoint: '', screen: 'serve' };
  const host = fakeHost('failed', { frozen: true, tickMs: 0, settings });
  const runs = await host.listRuns();
  const worked = {
    ...(runs[0] as RunSummary),
    id: 'run-0',
    title: 'Serve another over spark-a and spark-b',
    outcome: 'completed' as const,
  };
  const again: string[] = [];
  render(AppWindow, {
    host: {
      ...host,
      listRuns: async () => [...(await host.listRuns()), worked],
      planAgain: async (id: string) => {
        again.push(id);
        return host.proposeSetup();
      },
    },
  });
  await user.click(await screen.findByRole('button', { name: `Back to this (${worked.title})` }));
  expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
  expect(again).toEqual(['run-0']);
});
