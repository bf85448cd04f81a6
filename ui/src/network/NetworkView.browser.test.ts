// What a person meets: the health of both machines, the coach on the way to the plan, the choices.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';

import AppWindow from '../App.svelte';
import { fakeHost, type FakeState } from '../host/fake';
import { standing } from '../host/fake/network';
import { RECORDED } from '../host/fake/recorded';
import type { Host } from '../host/host';
import { axeFaults } from '../test/axe';

function open(state: FakeState, at: 'setup' | 'pair', host: Partial<Host> = {}): Host {
  const fake = fakeHost(state, {
    frozen: true,
    tickMs: 0,
    settings: { theme: 'light', hub_endpoint: '', screen: at },
  });
  const all = { ...fake, ...host };
  render(AppWindow, { host: all });
  return all;
}

const found = (n: number) => RECORDED.neighbours.sparks[n]?.addresses[0] ?? '-';

test('findings stand the worst first, each with its meaning and its cure', async () => {
  open('no-cma', 'pair');
  const found = within(await screen.findByRole('region', { name: 'What was found' }));
  const items = found.getAllByRole('listitem');
  const known = standing('no-cma').pair.findings;
  expect(items.map((item) => item.dataset['state'])).toEqual(known.map((f) => f.state));
  expect(known[0]?.machine).toBe(1);
  expect(items[0]).toHaveTextContent('spark-b');
  expect(items[0]).toHaveTextContent('What to do');
  expect(screen.getByRole('heading', { level: 1 })).toHaveTextContent('spark-b needs attention');
  expect(screen.queryByText(/agree in everything/)).toBeNull();
  const differing = screen.getAllByRole('row').filter((row) => /differs/.test(row.textContent));
  expect(differing.map((row) => within(row).getByRole('rowheader').textContent)).toEqual([
    'Kernel',
    expect.stringMatching(/^CMA/),
  ]);
  expect(await axeFaults()).toEqual([]);
});

test('where all is well it says so, with the number in its range', async () => {
  open('well', 'pair');
  expect(await screen.findByText(/Nothing wrong was found on either machine/)).toBeVisible();
  expect(screen.getByText('They agree in everything that should agree.')).toBeVisible();
  const link = within(screen.getByRole('region', { name: 'Speed of the link' }));
  expect(link.getByText('187 Gb/s')).toBeVisible();
  expect(link.getByText('Expected: 175 to 200 Gb/s. It lies within.')).toBeVisible();
  expect(within(link.getByRole('table')).getAllByRole('row')).toHaveLength(8);
  expect(link.queryByText('Simulated')).toBeNull();
  expect(screen.getByRole('img', { name: /a plug in p1, outermost/ })).toBeVisible();
});

test('a rehearsed measurement is marked', async () => {
  open('rehearsal', 'pair');
  const link = within(await screen.findByRole('region', { name: 'Speed of the link' }));
  expect(link.getByText('Simulated')).toBeVisible();
});

test('the cable is coached before the plan, which follows by itself once it is in', async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true, advanceTimeDelta: 20 });
  try {
    open('plugging', 'setup');
    expect(await screen.findByText('Connect the cable')).toBeVisible();
    expect(screen.queryByRole('button', { name: 'Start' })).toBeNull();
    await vi.advanceTimersByTimeAsync(3100);
    await waitFor(() =>
      expect(document.querySelector('.coach')).toHaveAttribute('data-state', 'one-end'),
    );
    await vi.advanceTimersByTimeAsync(3100);
    expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
  } finally {
    vi.useRealTimers();
  }
});

test('a cable that is fine costs no click on the way to the plan', async () => {
  open('different-ports', 'setup');
  expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
  expect(screen.queryByText(/needs attention/)).toBeNull();
});

test('a slow cable can be gone on with', async () => {
  open('cable-100g', 'setup');
  await userEvent.click(await screen.findByRole('button', { name: 'Continue with this cable' }));
  expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
});

test('without an answer about the cable the plan is shown', async () => {
  open('no-cable', 'setup', { pair: async () => Promise.reject(new Error('gone')) });
  expect(await screen.findByRole('button', { name: 'Start' })).toBeVisible();
});

test('nothing asks the machines while a run works on them', async () => {
  const refreshMachine = vi.fn(async () => Promise.reject(new Error('not now')));
  const host = open('running', 'pair', { refreshMachine });
  const pair = vi.spyOn(host, 'pair');
  await screen.findByRole('region', { name: 'Cable' });
  await waitFor(() => expect(pair).toHaveBeenCalled());
  expect(refreshMachine).not.toHaveBeenCalled();
});

test('found machines fill the addresses by keyboard too, and what was filled in is typed over', async () => {
  open('empty', 'setup');
  const first = await screen.findByLabelText('Address of the first Spark');
  await waitFor(() => expect(first).toHaveValue(found(0)));
  expect(screen.getByLabelText('Address of the second Spark')).toHaveValue(found(1));
  await userEvent.keyboard('10.0.0.5');
  expect(first, 'typing replaces what Tandem filled in').toHaveValue('10.0.0.5');
  const spark = screen.getByRole('button', {
    name: new RegExp(`^${RECORDED.neighbours.sparks[1]?.name}`),
    pressed: true,
  });
  spark.focus();
  await userEvent.keyboard(' ');
  expect(screen.getByLabelText('Address of the second Spark')).toHaveValue('');
  screen.getByRole('button', { name: /^nas/ }).focus();
  await userEvent.keyboard('{Enter}');
  expect(screen.getByLabelText('Address of the second Spark')).toHaveValue('nas');
  expect(await axeFaults()).toEqual([]);
});

test('where none is found it says what to do', async () => {
  open('no-neighbours', 'setup');
  expect(await screen.findByText(/No machine announces itself here/)).toBeVisible();
  expect(screen.getByLabelText('Address of the first Spark')).toHaveValue('');
});

test('a wrong address is said beside its field, and the engine is not asked', async () => {
  const planSetup = vi.fn();
  open('pair', 'setup', { planSetup });
  await userEvent.click(await screen.findByText('Choices'));
  const address = screen.getByLabelText('Rail 1 on spark-b');
  await userEvent.clear(address);
  await userEvent.type(address, 'fd00::2');
  expect(address).toHaveAccessibleDescription(/IPv6/);
  const frames = screen.getByLabelText('Frame size (MTU)');
  await userEvent.clear(frames);
  expect(frames).toHaveAccessibleDescription('Type a number. Until then it stays at 9000.');
  await userEvent.type(frames, '99999');
  expect(frames).toHaveAccessibleDescription('From 1280 to 9216.');
  const start = screen.getByRole('button', { name: 'Start' });
  expect(start).toHaveAttribute('aria-disabled', 'true');
  expect(start).toHaveAccessibleDescription(/address of the private link/);
  expect(planSetup.mock.calls.map(([r]) => r.network.mtu)).not.toContain(99_999);
});
