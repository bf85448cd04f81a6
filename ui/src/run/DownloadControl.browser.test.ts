// What a person can do about a download that goes on, found by role and name.

import { render, screen, waitFor } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import AppWindow from '../App.svelte';
import { fakeHost, type FakeState } from '../host/fake';
import { recorded } from '../host/fake/problems';
import { RECORDED } from '../host/fake/recorded';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';

function open(state: FakeState, host: Partial<Host> = {}): Host {
  const settings = { theme: 'light', hub_endpoint: '', screen: 'setup' };
  const all = { ...fakeHost(state, { frozen: true, tickMs: 0, settings }), ...host };
  render(AppWindow, { host: all });
  return all;
}

const control = () => screen.findByRole('region', { name: 'Download' });

test('a download is paused and goes on, with words and without a time left', async () => {
  const user = userEvent.setup();
  const host = open('running');
  const holds = vi.spyOn(host, 'holdDownload');
  expect(await control()).toHaveTextContent('No limit.');
  expect(screen.getAllByText(/left$/).length).toBeGreaterThan(0);
  await user.click(screen.getByRole('button', { name: 'Pause' }));
  await waitFor(async () => expect(await control()).toHaveTextContent('Paused by you.'));
  expect(holds).toHaveBeenLastCalledWith(
    'run-1',
    expect.objectContaining({ paused: true, bytes_per_second: null }),
  );
  expect(screen.queryByText(/left$/)).toBeNull();
  expect(screen.queryByText(/MB\/s$/)).toBeNull();
  expect(screen.getByText(RECORDED.setup.held.paused[1]?.doing ?? '-')).toBeVisible();
  expect(screen.getByRole('heading', { level: 1 })).toHaveTextContent('weights, paused');
  await user.click(screen.getByRole('button', { name: 'Resume' }));
  await waitFor(async () => expect(await control()).toHaveTextContent('No limit.'));
  expect(screen.getAllByText(/left$/).length).toBeGreaterThan(0);
});

test('a rate and hours are set by keyboard alone, and the keyboard is where it was', async () => {
  const user = userEvent.setup();
  open('running');
  const fields = await screen.findByRole('button', { name: 'Rate, hours and Xet' });
  fields.focus();
  await user.keyboard('{Enter}');
  expect(fields).toHaveAttribute('aria-expanded', 'true');
  screen.getByRole('switch', { name: 'Limit the rate' }).focus();
  await user.keyboard(' ');
  const rate = screen.getByRole('spinbutton', { name: 'At most' });
  await user.clear(rate);
  await user.type(rate, '0');
  expect(screen.getByRole('button', { name: 'Apply' })).toHaveAccessibleDescription(
    'The rate cannot be used.',
  );
  await user.clear(rate);
  await user.type(rate, '20{Enter}');
  await waitFor(async () => expect(await control()).toHaveTextContent('Limited to 20 MB/s.'));
  expect(screen.queryByRole('button', { name: 'Apply' })).toBeNull();
  expect(fields).toHaveFocus();
  await user.keyboard('{Enter}');
  await user.click(screen.getByRole('switch', { name: 'Only at set hours' }));
  await user.click(screen.getByRole('button', { name: 'Apply' }));
  await waitFor(async () =>
    expect(await control()).toHaveTextContent('Waits until 23:00, by the machine’s own clock.'),
  );
  expect(await axeFaults()).toEqual([]);
});

test('what was left as it is stays, and a machine that cannot be told is named', async () => {
  const user = userEvent.setup();
  const fails = vi.fn(() => Promise.reject(recorded('unreachable', 'spark-b')));
  open('limited', { holdDownload: fails });
  expect(await control()).toHaveTextContent('Limited to 20 MB/s.');
  await user.click(screen.getByRole('button', { name: 'Rate, hours and Xet' }));
  await user.click(screen.getByRole('switch', { name: 'Limit the rate' }));
  await user.click(screen.getByRole('button', { name: 'Discard' }));
  expect(fails).not.toHaveBeenCalled();
  expect(await control()).toHaveTextContent('Limited to 20 MB/s.');
  await user.click(screen.getByRole('button', { name: 'Pause' }));
  expect(await screen.findByText(/did not answer/)).toBeVisible();
  expect(await control()).toHaveTextContent('Limited to 20 MB/s.');
});

test('only a download that goes on has a control', async () => {
  open('cancelled');
  expect(await screen.findByRole('button', { name: 'Resume' })).toBeVisible();
  expect(screen.queryByRole('region', { name: 'Download' })).toBeNull();
});
