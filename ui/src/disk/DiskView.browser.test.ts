// What a person meets on the Disk screen: what takes room, checks with their time, repairs, deletions.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import AppWindow from '../App.svelte';
import type { CheckEvent } from '../bindings';
import { fakeHost, type FakeState } from '../host/fake';
import { problem } from '../host/fake/problems';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';

function open(state: FakeState, host: Partial<Host> = {}, frozen = false): Host {
  const fake = fakeHost(state, {
    frozen,
    tickMs: 0,
    settings: { theme: 'light', hub_endpoint: '', screen: 'disk' },
  });
  const all = { ...fake, ...host };
  render(AppWindow, { host: all });
  return all;
}

const deep = () =>
  screen.findByRole('button', { name: /^Deep check of .*4275532f.* on spark-bd26$/ });

test('both machines show their room, and what is the same on both is one row', async () => {
  open('pair');
  const first = within(await screen.findByRole('region', { name: 'spark-5c2d' }));
  const second = within(screen.getByRole('region', { name: 'spark-bd26' }));
  expect(first.getByText('2.6 TB free')).toBeVisible();
  expect(second.getByText('1.9 TB free')).toBeVisible();
  const models = within(screen.getByRole('region', { name: 'Models' }));
  expect(models.getAllByText('stepfun-ai/Step-3.7-Flash-NVFP4')).toHaveLength(2);
  expect(models.getAllByRole('button', { name: /^Quick check/ })).toHaveLength(4);
  const rest = within(screen.getByRole('region', { name: 'Unfinished and left over' }));
  expect(rest.getByText('It belongs to root.')).toBeVisible();
  expect(rest.getByText(/sudo chown -R/)).toBeVisible();
  expect(rest.getAllByText('Not on spark-5c2d.').length).toBeGreaterThan(0);
  expect(await axeFaults()).toEqual([]);
});

test('a deep check states its time first, finds the damage, and the repair mends it', async () => {
  const user = userEvent.setup();
  open('pair');
  await user.click(await deep());
  const dialog = within(await screen.findByRole('dialog'));
  expect(await dialog.findByText(/It will take about 27 s: 129 GB in 22 files/)).toBeVisible();
  await user.click(dialog.getByRole('button', { name: 'Check every byte' }));
  const shard = await screen.findByText(
    'model-00007-of-00013.safetensors',
    {},
    { timeout: 10_000 },
  );
  expect(shard).toBeVisible();
  expect(screen.getByText('One fault was found.')).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Repair' }));
  const mended = /One file was repaired; 10.0 GB were downloaded again/;
  expect(await screen.findByText(mended, {}, { timeout: 10_000 })).toBeVisible();
  expect(screen.queryByRole('button', { name: 'Repair' })).toBeNull();
}, 20_000);

test('a check can be stopped, and another cannot begin on the same machine meanwhile', async () => {
  const user = userEvent.setup();
  open('pair', {}, true);
  await user.click(await deep());
  await user.click(await screen.findByRole('button', { name: 'Check every byte' }));
  expect(await screen.findByText(/left$/)).toBeVisible();
  const quick = screen.getAllByRole('button', { name: /^Quick check of .* on spark-bd26$/ });
  for (const button of quick) expect(button).toHaveAttribute('aria-disabled', 'true');
  const other = screen.getAllByRole('button', { name: /^Quick check of .* on spark-5c2d$/ });
  for (const button of other) expect(button).not.toHaveAttribute('aria-disabled');
  await user.click(screen.getByRole('button', { name: 'Stop' }));
  expect(await screen.findByText('The check was stopped.')).toBeVisible();
});

test('a check that went on while Tandem was closed is found again, with its time left', async () => {
  const user = userEvent.setup();
  const host = open('checking', {}, true);
  const follows = vi.spyOn(host, 'followCheck');
  expect(await screen.findByRole('progressbar', { name: 'Deep check' })).toHaveAttribute(
    'aria-valuenow',
    '40',
  );
  expect(screen.getByText(/left$/)).toBeVisible();
  const quick = screen.getAllByRole('button', { name: /^Quick check of .* on spark-bd26$/ });
  for (const button of quick) expect(button).toHaveAttribute('aria-disabled', 'true');
  // Looking anew does not listen to it twice.
  await user.click(await screen.findByRole('button', { name: 'Refresh' }));
  await screen.findByRole('button', { name: 'Refresh' });
  expect(follows).toHaveBeenCalledTimes(1);
  await user.click(screen.getByRole('button', { name: 'Stop' }));
  expect(await screen.findByText('The check was stopped.')).toBeVisible();
});

test('a machine that does not answer is said beside its check, and no time left is', async () => {
  let hear: (event: CheckEvent) => void = () => undefined;
  open('checking', {
    followCheck: (_, listen) => {
      hear = listen;
      return new Promise(() => undefined);
    },
  });
  await waitFor(() => {
    hear({ kind: 'progress', done: 40e9, total: 80e9, rate: 4e9, doing: 'Hashing' });
    expect(screen.getByText(/10 s left$/)).toBeVisible();
  });
  hear({ kind: 'away' });
  expect(
    await screen.findByText('The machine does not answer now; it goes on there.'),
  ).toBeVisible();
  expect(screen.queryByText(/left$/)).toBeNull();
});

test('a deletion says what becomes free and what breaks, and Escape keeps it', async () => {
  const user = userEvent.setup();
  const host = open('pair');
  const remove = vi.spyOn(host, 'deleteItem');
  const button = await screen.findByRole('button', { name: /^Delete vLLM: .* on spark-5c2d$/ });
  await user.click(button);
  const dialog = within(await screen.findByRole('dialog'));
  expect(dialog.getByText(/1.9 GB become free on spark-5c2d/)).toBeVisible();
  expect(dialog.getByText(/compiles again, which takes minutes/)).toBeVisible();
  await user.keyboard('{Escape}');
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  expect(remove).not.toHaveBeenCalled();
  await user.click(button);
  await user.click(await screen.findByRole('button', { name: 'Delete it' }));
  expect(await screen.findByText(/1.9 GB are free again on spark-5c2d/)).toBeVisible();
  expect(screen.queryByRole('button', { name: /^Delete vLLM: .* on spark-5c2d$/ })).toBeNull();
});

test('what the server uses cannot be deleted, and says why', async () => {
  const user = userEvent.setup();
  const host = open('serving');
  const remove = vi.spyOn(host, 'deleteItem');
  await screen.findAllByText(/In use by the server that runs now/);
  const button = screen.getByRole('button', { name: /^Delete .*4275532f.* on spark-5c2d$/ });
  expect(button).toHaveAttribute('aria-disabled', 'true');
  expect(button).toHaveAccessibleDescription('It is in use by the server that runs now.');
  await user.click(button);
  expect(screen.queryByRole('dialog')).toBeNull();
  expect(remove).not.toHaveBeenCalled();
});

test('a machine that does not answer leaves the other one in view', async () => {
  open('unreachable');
  const second = within(await screen.findByRole('region', { name: 'spark-bd26' }));
  expect(second.getByText(/Nothing answers at/)).toBeVisible();
  expect(screen.getByText('2.6 TB free')).toBeVisible();
});

test('an empty disk and a failed look each say so', async () => {
  open('one');
  expect(await screen.findByText('No model is on the disk yet.')).toBeVisible();
  expect(screen.getByText(/The set-up downloads the model/)).toBeVisible();
});

test('where nothing can be looked at the reason stands there', async () => {
  const fails = problem('broken', 'The disks were not looked at.');
  open('pair', { disks: () => Promise.reject(fails) });
  expect(await screen.findByText('The disks were not looked at.')).toBeVisible();
});
