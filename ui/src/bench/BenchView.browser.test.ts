// What a person meets: found by role and name, as a screen reader would.

import { render, screen, waitFor, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { expect, test } from 'vitest';

import { fakeHost } from '../host/fake';
import { afterSetup, compare } from '../host/fake/bench';
import { axeFaults } from '../test/axe';
import { problem } from '../test/problem';
import { Benchmarks, QUICK } from './benchmarks.svelte';
import { interval } from './figures';
import ComparisonView from './ComparisonView.svelte';
import Measure from './Measure.svelte';
import ResultList from './ResultList.svelte';
import { clearness } from './words';

async function serving(): Promise<Benchmarks> {
  const host = fakeHost('serving', { tickMs: 1 });
  await waitFor(async () => expect(await host.checkServing()).not.toBeNull());
  const bench = new Benchmarks(host);
  await bench.load();
  return bench;
}

test('a comparison shows each figure with both sides, the ratio and whether it is clear', async () => {
  const [mtp, plain] = afterSetup;
  if (!mtp || !plain) throw new Error('the set-up leaves two');
  const comparison = compare(plain, mtp);
  const { container } = render(ComparisonView, { comparison });
  const writing = screen.getByText('tg64').closest('div');
  const [first] = comparison.figures;
  expect(writing).toHaveTextContent(`Plain: ${plain.tg_tps.mean.toFixed(1)} ±`);
  expect(writing).toHaveTextContent(`${mtp.label}: ${mtp.tg_tps.mean.toFixed(1)} ±`);
  expect(writing).toHaveTextContent(`${first?.ratio.toFixed(2)} ×`);
  if (!first?.interval) throw new Error('three repeats have an interval');
  expect(writing).toHaveTextContent(clearness(first));
  expect(writing).toHaveTextContent(interval(first.interval));
  expect(
    container.querySelectorAll('.strip circle'),
    'a dot for each repeat of plain',
  ).toHaveLength(3 * plain.samples.length);
  const drafted = Math.round((mtp.acceptance?.rate ?? 0) * 100);
  expect(screen.getByText(new RegExp(`${drafted} % of the drafted tokens`))).toBeVisible();
  expect(comparison.differences.length).toBeGreaterThan(0);
  for (const { name } of comparison.differences)
    expect(screen.getByRole('row', { name: new RegExp(name) })).toBeVisible();
  await userEvent.click(screen.getByRole('switch', { name: 'Show as table' }));
  const table = within(screen.getByRole('region', { name: 'Figures as a table' }));
  expect(table.getAllByRole('row')).toHaveLength(7);
  const repeats = plain.tg_tps.values.map((value) => value.toFixed(1)).join(', ');
  expect(table.getByText(repeats)).toBeVisible();
  expect(await axeFaults(container)).toEqual([]);
});

test('two of the list are marked; another mark moves the comparison', async () => {
  const bench = await serving();
  const { container } = render(ResultList, { bench });
  const box = (name: string) => screen.getByRole('checkbox', { name });
  expect(box('Compare Plain')).toBeChecked();
  expect(box('Compare MTP, 3 tokens')).toBeChecked();
  await userEvent.click(box('Compare Before the driver update'));
  await waitFor(() => expect(bench.comparison?.a.label).toBe('Before the driver update'));
  expect(box('Compare Plain')).not.toBeChecked();
  expect(await axeFaults(container)).toEqual([]);
});

test('what is to be known of a measurement stands in its row', async () => {
  const bench = await serving();
  const [newest, ...others] = bench.results;
  if (!newest) throw new Error('the set-up leaves one');
  const ended = { ...problem('server-answer', 'Not measured.'), cause: 'The engine died.' };
  const notes = [{ kind: 'others' as const, says: 'Measured beside others.' }];
  bench.results = [{ ...newest, ended, notes }, ...others.map((one) => ({ ...one, notes: [] }))];
  render(ResultList, { bench });
  const list = screen.getByRole('list', { name: `Notes on ${newest.label}` });
  const said = within(list).getAllByRole('listitem');
  expect(said.map((line) => line.textContent)).toEqual([
    `It ended after ${newest.samples.length} of ${newest.case.runs} repeats. The engine died.`,
    'Measured beside others.',
  ]);
  expect(screen.getAllByRole('list', { name: /^Notes on/ })).toHaveLength(1);
});

test('a measurement is renamed, and deleted only after a question', async () => {
  const bench = await serving();
  render(ResultList, { bench });
  const user = userEvent.setup();
  await user.click(screen.getByRole('button', { name: 'Rename Plain' }));
  const field = await screen.findByRole('textbox', { name: 'Name' });
  await user.clear(field);
  await user.type(field, 'Bare{Enter}');
  expect(await screen.findByRole('rowheader', { name: /^Bare/ })).toBeVisible();
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  await user.click(screen.getByRole('button', { name: 'Delete Bare' }));
  await user.click(await screen.findByRole('button', { name: 'Delete it' }));
  await waitFor(() => expect(screen.queryByRole('rowheader', { name: /^Bare/ })).toBeNull());
});

test('a measurement shows how far it is and ends in the list', async () => {
  const bench = await serving();
  render(Measure, { bench, suggested: 'MTP, 3 tokens', silent: null });
  const before = bench.results.length;
  await userEvent.click(screen.getByRole('button', { name: 'Measure now' }));
  expect(await screen.findByRole('progressbar', { name: 'Measurement' })).toBeVisible();
  expect(screen.getByRole('button', { name: 'Stop' })).toBeVisible();
  await waitFor(() => expect(bench.results).toHaveLength(before + 1));
  expect(await screen.findByRole('button', { name: 'Measure now' })).toBeVisible();
});

test('a case out of bounds is not measured, and says so', async () => {
  const bench = await serving();
  render(Measure, { bench, suggested: 'Plain', silent: null });
  const user = userEvent.setup();
  await user.click(screen.getByText('Change what is measured'));
  const repeats = screen.getByRole('spinbutton', { name: 'Repeats' });
  await user.clear(repeats);
  await user.type(repeats, '99');
  expect(screen.getByText('From 1 to 20.')).toBeVisible();
  await user.click(screen.getByRole('button', { name: 'Measure now' }));
  expect(bench.measuring).toBeNull();
});

test('context, several requests at once and the method are measured as they were chosen', async () => {
  const bench = await serving();
  const measured: unknown[] = [];
  bench.measure = async (wanted) => void measured.push(wanted);
  const { container } = render(Measure, { bench, suggested: 'Plain', silent: null });
  const user = userEvent.setup();
  await user.click(screen.getByText('Change what is measured'));
  const fill = async (name: RegExp, value: string) => {
    const field = screen.getByRole('spinbutton', { name });
    await user.clear(field);
    await user.type(field, value);
  };
  await fill(/^Context/, '4096');
  await fill(/^At once/, '4');
  await user.click(screen.getByRole('radio', { name: /llama-benchy/ }));
  expect(await axeFaults(container)).toEqual([]);
  await user.click(screen.getByRole('button', { name: 'Measure now' }));
  expect(measured).toEqual([
    { ...QUICK, depth: 4096, concurrency: 4, method: 'llama-benchy', beside_others: false },
  ]);
});
