// A machine's address is changed in place, and Remove says what can then not be undone.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import AppWindow from '../App.svelte';
import { fakeHost } from '../host/fake';
import { RECORDED } from '../host/fake/recorded';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';

function open(host: Partial<Host> = {}): Host {
  const settings = { theme: 'light', hub_endpoint: '', screen: 'pair' };
  const all = { ...fakeHost('pair', { frozen: true, tickMs: 0, settings }), ...host };
  render(AppWindow, { host: all });
  return all;
}

test('an address is changed and shown, and what stands against it stays beside the form', async () => {
  const user = userEvent.setup();
  const host = open();
  const changes = vi.spyOn(host, 'changeMachine');
  const [machine] = (await host.overview()).machines;
  const name = machine?.name ?? '-';
  await user.click(await screen.findByRole('button', { name: `Edit ${name}` }));
  const form = within(screen.getByRole('form', { name: `Edit ${name}` }));
  expect(await axeFaults()).toEqual([]);
  const address = form.getByRole('textbox', { name: 'Address' });
  await user.clear(address);
  await user.type(address, '192.0.2.7');
  await user.type(form.getByLabelText('Password'), 'wrong');
  await user.click(form.getByRole('button', { name: 'Save' }));
  expect(await form.findByRole('alert')).toBeVisible();
  await user.clear(form.getByLabelText('Password'));
  await user.type(form.getByRole('textbox', { name: 'Folder of the models' }), '/data/hub');
  await user.click(form.getByRole('button', { name: 'Save' }));
  await waitFor(() => expect(screen.queryByRole('form', { name: `Edit ${name}` })).toBeNull());
  expect(changes).toHaveBeenLastCalledWith(
    machine?.id,
    expect.objectContaining({ address: '192.0.2.7', password: null, cache: '/data/hub' }),
  );
  expect(screen.getByText(/@192\.0\.2\.7/)).toBeVisible();
});

test('Remove names the runs that can be undone only while the machine is here', async () => {
  const user = userEvent.setup();
  const { summary } = RECORDED.setup;
  const host = open({ undosOfMachine: () => Promise.resolve([summary]) });
  const [machine] = (await host.overview()).machines;
  await user.click(await screen.findByRole('button', { name: `Remove ${machine?.name ?? '-'}` }));
  const dialog = within(await screen.findByRole('dialog'));
  expect(dialog.getByText(summary.title)).toBeVisible();
});
