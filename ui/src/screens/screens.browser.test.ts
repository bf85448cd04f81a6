// Every screen as a whole, in the smallest window that it is made for: axe finds nothing, and nothing is cut.

import { render, screen, waitFor } from '@testing-library/svelte';
import { expect, test } from 'vitest';
import { page } from 'vitest/browser';

import AppWindow from '../App.svelte';
import { fakeHost, type FakeState } from '../host/fake';
import type { ScreenName } from '../session/session.svelte';
import { axeFaults } from '../test/axe';

const SCENES: [FakeState, ScreenName][] = [
  ['empty', 'setup'],
  ['pair', 'setup'],
  ['running', 'setup'],
  ['failed', 'setup'],
  ['interrupted', 'chat'],
  ['serving', 'setup'],
  ['serving', 'chat'],
  ['serving', 'bench'],
  ['serving', 'disk'],
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
  await waitFor(() => expect(screen.queryByText(/^Reading/)).toBeNull());
  expect(await axeFaults()).toEqual([]);
  const cut = [...document.querySelectorAll('main, main *')].filter(
    (e) => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest('.scroll'),
  );
  expect(cut).toEqual([]);
});
