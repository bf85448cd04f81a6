// What a person meets on the disks under Models: what takes room, checks with their time, repairs, deletions.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import AppWindow from '../App.svelte';
import type { CheckEvent } from '../bindings';
import { fakeHost, type FakeState } from '../host/fake';
import { problem } from '../test/problem';
import { RECORDED } from '../host/fake/recorded';
import type { Host } from '../host/host';
import { bytes } from '../kit/format';
import { axeFaults } from '../test/axe';

const { disks, repaired, damaged, target } = RECORDED.disks;
const STOPPED = RECORDED.problems['check-stopped']?.message ?? '-';
const free = (machine: number) => `${bytes(disks[machine]?.disk?.free ?? 0)} free`;
const IMAGE = 'vllm/vllm-openai:stepfun37';
const image = disks[0]?.disk?.entries.find((e) => e.item.name === IMAGE)?.item;

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

const deep = () => screen.findByRole('button', { name: /^Deep check of .*4275532f.* on spark-b$/ });

test('both machines show their room, and what is the same on both is one row', async () => {
  open('pair');
  const first = within(await screen.findByRole('region', { name: 'spark-a' }));
  const second = within(screen.getByRole('region', { name: 'spark-b' }));
  expect(first.getByText(free(0))).toBeVisible();
  expect(second.getByText(free(1))).toBeVisible();
  const models = within(screen.getByRole('region', { name: 'Models' }));
  expect(models.getAllByText(target.repo)).toHaveLength(1);
  expect(models.getAllByRole('button', { name: /^Quick check/ })).toHaveLength(2);
  const rest = within(screen.getByRole('region', { name: 'Unfinished and left over' }));
  expect(rest.getAllByText('Not on spark-a.').length).toBeGreaterThan(0);
  expect(await axeFaults()).toEqual([]);
});

test('what belongs to another user says so, with the command that helps', async () => {
  const owned = structuredClone(disks);
  const entry = owned[1]?.disk?.entries.find((e) => e.item.kind === 'leftover');
  if (!entry) throw new Error('something was left over when the disks were recorded');
  entry.item.foreign = 'root';
  const fix = { sentence: 'Make it your own.', command: 'sudo chown -R "$USER": FOLDER' };
  entry.refused = problem('machine-unfit', 'It was not deleted.', { fix });
  open('pair', { disks: async () => owned });
  expect(await screen.findByText('It belongs to root.')).toBeVisible();
  expect(screen.getByText(/sudo chown -R/)).toBeVisible();
});

test('a deep check states its time first, finds the damage, and the repair mends it', async () => {
  const user = userEvent.setup();
  open('pair');
  await user.click(await deep());
  const dialog = within(await screen.findByRole('dialog'));
  expect(await dialog.findByText(/It will take about .* in \d+ files/)).toBeVisible();
  await user.click(dialog.getByRole('button', { name: 'Check every byte' }));
  const shard = await screen.findByText(
    damaged.receipt.faults[0]?.name ?? '',
    {},
    { timeout: 10_000 },
  );
  expect(shard).toBeVisible();
  expect(screen.getByText('One fault was found.')).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Repair' }));
  const again = bytes(repaired.receipt.fetched);
  const mended = new RegExp(`One file was repaired; ${again} were downloaded again`);
  expect(await screen.findByText(mended, {}, { timeout: 10_000 })).toBeVisible();
  expect(screen.queryByRole('button', { name: 'Repair' })).toBeNull();
}, 20_000);

test('a check can be stopped, and another cannot begin on the same machine meanwhile', async () => {
  const user = userEvent.setup();
  open('pair', {}, true);
  await user.click(await deep());
  await user.click(await screen.findByRole('button', { name: 'Check every byte' }));
  expect(await screen.findByText(/left$/)).toBeVisible();
  const quick = screen.getAllByRole('button', { name: /^Quick check of .* on spark-b$/ });
  for (const button of quick) expect(button).toHaveAttribute('aria-disabled', 'true');
  const other = screen.getAllByRole('button', { name: /^Quick check of .* on spark-a$/ });
  for (const button of other) expect(button).not.toHaveAttribute('aria-disabled');
  await user.click(screen.getByRole('button', { name: 'Stop' }));
  expect(await screen.findByText(STOPPED)).toBeVisible();
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
  const quick = screen.getAllByRole('button', { name: /^Quick check of .* on spark-b$/ });
  for (const button of quick) expect(button).toHaveAttribute('aria-disabled', 'true');
  // Looking anew does not listen to it twice.
  await user.click(await screen.findByRole('button', { name: 'Refresh' }));
  await screen.findByRole('button', { name: 'Refresh' });
  expect(follows).toHaveBeenCalledTimes(1);
  await user.click(screen.getByRole('button', { name: 'Stop' }));
  expect(await screen.findByText(STOPPED)).toBeVisible();
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
  const button = await screen.findByRole('button', { name: `Delete ${IMAGE} on spark-a` });
  await user.click(button);
  const dialog = within(await screen.findByRole('dialog'));
  expect(
    dialog.getByText(`${bytes(image?.frees ?? 0)} become free on spark-a`, { exact: false }),
  ).toBeVisible();
  expect(dialog.getByText(/The next start of a container from it pulls/)).toBeVisible();
  await user.keyboard('{Escape}');
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  expect(remove).not.toHaveBeenCalled();
  await user.click(button);
  await user.click(await screen.findByRole('button', { name: 'Delete it' }));
  expect(
    await screen.findByText(`${bytes(image?.frees ?? 0)} are free again on spark-a`, {
      exact: false,
    }),
  ).toBeVisible();
  expect(screen.queryByRole('button', { name: `Delete ${IMAGE} on spark-a` })).toBeNull();
});

test('what the server uses cannot be deleted, and says why', async () => {
  const user = userEvent.setup();
  const host = open('serving');
  const remove = vi.spyOn(host, 'deleteItem');
  await screen.findAllByText(/In use by the server that runs now/);
  const button = screen.getByRole('button', { name: /^Delete .*4275532f.* on spark-a$/ });
  expect(button).toHaveAttribute('aria-disabled', 'true');
  expect(button).toHaveAccessibleDescription('It is in use by the server that runs now.');
  await user.click(button);
  expect(screen.queryByRole('dialog')).toBeNull();
  expect(remove).not.toHaveBeenCalled();
});

test('a machine that does not answer leaves the other one in view', async () => {
  open('unreachable');
  const second = within(await screen.findByRole('region', { name: 'spark-b' }));
  expect(second.getByText(/did not answer\./)).toBeVisible();
  expect(screen.getByText(free(0))).toBeVisible();
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
