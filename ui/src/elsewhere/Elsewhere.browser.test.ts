// What is served, used by other programs: the address, the key, and the test of the key.

import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import AppWindow from '../App.svelte';
import { fakeHost } from '../host/fake';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';
import { KEY } from './snippets';

async function open(host: Partial<Host> = {}) {
  const user = userEvent.setup();
  const settings = { theme: 'light', hub_endpoint: '', screen: 'serve' };
  const whole = { ...fakeHost('serving', { tickMs: 0, settings }), ...host };
  render(AppWindow, { host: whole });
  await user.click(await screen.findByRole('radio', { name: 'Use it elsewhere' }));
  return { user, whole };
}

test('an address is opened only on request, and closed again', async () => {
  const { user, whole } = await open();
  const button = await screen.findByRole('button', { name: 'Open an address on this computer' });
  expect((await whole.access()).local).toBeNull();
  expect(screen.queryByRole('region', { name: 'Snippets' })).toBeNull();
  expect(await axeFaults()).toEqual([]);
  await user.click(button);
  expect(await screen.findByText(/^http:\/\/127\.0\.0\.1:\d+\/v1$/)).toBeVisible();
  expect(screen.getByRole('region', { name: 'curl' })).toHaveTextContent('/v1/chat/completions');
  expect(await axeFaults()).toEqual([]);
  await user.click(screen.getByRole('button', { name: 'Close it' }));
  expect(
    await screen.findByRole('button', { name: 'Open an address on this computer' }),
  ).toBeVisible();
});

test('the key is shown when it is asked for, and then stands in every snippet', async () => {
  const { user, whole } = await open();
  const key = (await whole.serverKey()) ?? '';
  await user.click(await screen.findByRole('button', { name: 'Open an address on this computer' }));
  await user.click(await screen.findByRole('radio', { name: 'OpenCode' }));
  expect(screen.getByRole('region', { name: 'OpenCode' })).toHaveTextContent(KEY);
  expect(document.body.textContent).not.toContain(key);
  await user.click(screen.getByRole('button', { name: 'Show the key' }));
  expect(await screen.findByText(key, { selector: 'dd code' })).toBeVisible();
  expect(screen.getByRole('region', { name: 'OpenCode' })).toHaveTextContent(key);
  await user.click(screen.getByRole('button', { name: 'Hide' }));
  expect(document.body.textContent).not.toContain(key);
});

test('the test of the traffic shows both answers, and says where the key does not guard', async () => {
  const { user } = await open();
  await user.click(await screen.findByRole('button', { name: 'Test traffic' }));
  expect(await screen.findByText('401')).toBeVisible();
  expect(screen.getByText('200')).toBeVisible();
  expect(screen.getByText(/Only who has the key gets an answer/)).toBeVisible();
});

test('a server without a key is told as one', async () => {
  const { user } = await open({
    testTraffic: async () => ({ without: 200, with: 200, guarded: false }),
    serverKey: async () => null,
  });
  await user.click(await screen.findByRole('button', { name: 'Test traffic' }));
  expect(await screen.findByText(/does not guard/)).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Show the key' }));
  expect(await screen.findByText('The server asks for none.')).toBeVisible();
});
