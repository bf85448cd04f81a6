// What is asked before the link is measured again, and what is not; and the way a person goes there.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import AppWindow from '../App.svelte';
import { fakeHost, type FakeState } from '../host/fake';
import type { Host } from '../host/host';
import { MeasureAgain } from './measure.svelte';

/** A host whose runs are only noted. */
function noting(state: FakeState) {
  const host = fakeHost(state, { tickMs: 0 });
  const startLink = vi.fn<Host['startLink']>(async () => 'run-9');
  return { host: { ...host, startLink }, startLink };
}

test('with the addresses there, measuring changes nothing and asks nothing', async () => {
  const { host, startLink } = noting('well');
  const link = new MeasureAgain(host);
  expect(await link.measure(false)).toBe('run-9');
  expect(link.asked).toBeNull();
  expect(startLink.mock.calls[0]?.[0].restart).toBe(false);
});

test('it asks before it writes addresses', async () => {
  const { host, startLink } = noting('pair');
  const link = new MeasureAgain(host);
  expect(await link.measure(false)).toBeNull();
  expect(startLink).not.toHaveBeenCalled();
  expect(link.asked?.plan.steps.map((s) => s.id)).toContain('network');
  link.leave();
  expect(await link.go(), 'a no stays a no').toBeNull();
  expect(startLink).not.toHaveBeenCalled();
});

test('it asks before it disturbs a server, and before it restarts anything', async () => {
  const { host, startLink } = noting('well');
  const link = new MeasureAgain(host);
  expect(await link.measure(true)).toBeNull();
  expect(link.asked?.request.restart).toBe(false);
  await link.restart();
  expect(link.asked?.request.restart).toBe(true);
  expect(startLink).not.toHaveBeenCalled();
  expect(await link.go()).toBe('run-9');
  expect(startLink.mock.calls[0]?.[0].restart).toBe(true);
  expect(link.asked).toBeNull();
});

test('why it cannot be is said, and it can be tried again', async () => {
  const { host } = noting('well');
  const gone = new Error('gone');
  const proposeLink = vi.fn<Host['proposeLink']>().mockRejectedValueOnce(gone);
  proposeLink.mockImplementation(host.proposeLink);
  const link = new MeasureAgain({ ...host, proposeLink });
  expect(await link.measure(false)).toBeNull();
  expect(link.problem?.cause).toBe('gone');
  expect(await link.measure(false)).toBe('run-9');
  expect(link.problem).toBeNull();
});

/** Whole windows take their time on a busy computer. */
const WINDOW = 20_000;
const SOON = { timeout: 10_000 };

function open(state: FakeState, at: 'setup' | 'pair'): Host {
  const host = fakeHost(state, {
    tickMs: 0,
    settings: { theme: 'light', hub_endpoint: '', screen: at },
  });
  render(AppWindow, { host });
  return host;
}

test(
  'one click from the plan to a verdict, and from there to the server',
  { timeout: WINDOW },
  async () => {
    const host = open('pair', 'setup');
    await userEvent.click(await screen.findByRole('button', { name: 'Link only' }));
    expect(
      await screen.findByRole('heading', { name: 'The link is addressed and measured.' }, SOON),
    ).toBeVisible();
    const result = within(screen.getByRole('region', { name: 'Result' }));
    expect(await result.findByText('187 Gb/s')).toBeVisible();
    expect(result.getByRole('button', { name: 'Measure again' })).toBeVisible();
    expect(screen.queryByText('Open chat')).toBeNull();
    expect((await host.listRuns())[0]?.procedure).toBe('link');
    await userEvent.click(result.getByRole('button', { name: 'Set up the server' }));
    expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
  },
);

test('a restart says what stops before it happens', { timeout: WINDOW }, async () => {
  const host = open('serving', 'pair');
  await userEvent.click(
    await screen.findByRole('button', { name: 'Restart both and measure again' }),
  );
  const dialog = within(await screen.findByRole('dialog'));
  expect(dialog.getByText(/is served now\. It stops/)).toBeVisible();
  expect(dialog.getByText(/other people's programs/)).toBeVisible();
  await userEvent.click(dialog.getByRole('button', { name: 'Cancel' }));
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  expect(await host.listRuns(), 'nothing was started').toHaveLength(1);

  await userEvent.click(screen.getByRole('button', { name: 'Restart both and measure again' }));
  const again = within(await screen.findByRole('dialog'));
  await userEvent.click(again.getByRole('button', { name: 'Restart both' }));
  expect(
    await screen.findByRole('heading', { name: /Both machines are back/ }, SOON),
  ).toBeVisible();
  expect((await host.overview()).serving, 'no server survives it').toBeNull();
});

test('beside a server measuring is asked about', { timeout: WINDOW }, async () => {
  open('serving', 'pair');
  await userEvent.click(await screen.findByRole('button', { name: 'Measure again' }));
  const dialog = within(await screen.findByRole('dialog'));
  expect(dialog.getByText(/answers are slower for half a minute/)).toBeVisible();
});
