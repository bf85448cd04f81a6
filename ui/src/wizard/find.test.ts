import { expect, it, vi } from 'vitest';

import type { Neighbour } from '../bindings';
import { fakeHost } from '../host/fake';
import { AddMachines } from './addMachines.svelte';
import { choices, leads, obvious, typedAs, whereWords } from './find';

const one = (more: Partial<Neighbour> = {}): Neighbour => ({
  name: 'spark-5c2d',
  addresses: ['192.168.1.41', '192.168.100.10'],
  port: 22,
  user: null,
  spark: true,
  by: 'mdns',
  added: false,
  ...more,
});

function hostWith(neighbours: Neighbour[]) {
  return { ...fakeHost('empty', { tickMs: 0 }), neighbours: async () => neighbours };
}

const nas = one({ name: 'nas', addresses: ['192.168.1.7'], spark: false });
const other = one({ name: 'spark-bd26', addresses: ['192.168.1.42'] });

it('offers Sparks first and leaves out what is added', () => {
  const offered = choices([nas, other, one({ added: true }), one()]);
  expect(offered.map((n) => n.name)).toEqual(['spark-5c2d', 'spark-bd26', 'nas']);
});

it('knows which are meant only where there are exactly as many Sparks as asked for', () => {
  expect(obvious([one(), other, nas], 2)?.map((n) => n.name)).toEqual(['spark-5c2d', 'spark-bd26']);
  expect(obvious([one(), nas], 2)).toBeNull();
  expect(obvious([one(), other, one({ name: 'spark-9f73' })], 2)).toBeNull();
  expect(obvious([other, nas], 1)?.map((n) => n.name)).toEqual(['spark-bd26']);
});

it('types an address, with a port where it is another, and an alias as it is', () => {
  expect(typedAs(one())).toBe('192.168.1.41');
  expect(typedAs(one({ port: 2222 }))).toBe('192.168.1.41:2222');
  expect(typedAs(one({ addresses: ['fd00::1'], port: 2222 }))).toBe('[fd00::1]:2222');
  expect(typedAs(one({ addresses: ['lab', '192.168.1.41'], by: 'ssh-config' }))).toBe('lab');
  expect(whereWords(one({ addresses: ['spark-5c2d', '192.168.1.41'] }))).toBe('192.168.1.41');
  expect(whereWords(one())).toBe('192.168.1.41 and 1 more');
});

it('knows a machine by any of its addresses and names', () => {
  for (const typed of ['192.168.1.41', '192.168.100.10', 'SPARK-5C2D', 'spark-5c2d.local'])
    expect(leads(typed, one()), typed).toBe(true);
  expect(leads('', one())).toBe(false);
  expect(leads('192.168.1.42', one())).toBe(false);
  expect(leads('192.168.1.41:2222', one())).toBe(false);
});

it('fills both addresses where two Sparks are plainly meant', async () => {
  const form = new AddMachines(hostWith([nas, other, one()]), 0);
  expect(form.found).toBeNull();
  await form.look();
  expect(form.entries.map((e) => e.address)).toEqual(['192.168.1.41', '192.168.1.42']);
  expect(form.missing).toBeNull();
  expect(form.found?.map((n) => form.chosenFor(n))).toEqual([0, 1, null]);
});

it('fills nothing over what was typed meanwhile', async () => {
  const form = new AddMachines(hostWith([one(), other]), 0);
  const offering = form.look();
  form.entries[1].address = '10.0.0.9';
  await offering;
  expect(form.entries.map((e) => e.address)).toEqual(['', '10.0.0.9']);
});

it('fills nothing where it is not plain', async () => {
  const form = new AddMachines(hostWith([one(), nas]), 0);
  await form.look();
  expect(form.entries.map((e) => e.address)).toEqual(['', '']);
});

it('chooses for the next free place, and takes back', async () => {
  const form = new AddMachines(hostWith([one(), nas]), 0);
  await form.look();
  form.choose(nas);
  form.choose(one());
  expect(form.entries.map((e) => e.address)).toEqual(['192.168.1.7', '192.168.1.41']);
  form.choose(nas);
  expect(form.entries.map((e) => e.address)).toEqual(['', '192.168.1.41']);
});

it('keeps two users apart', async () => {
  const form = new AddMachines(hostWith([one({ user: 'ada' }), { ...other, user: 'bob' }]), 0);
  await form.look();
  expect(form.same).toBe(false);
  expect(form.entries.map((e) => form.userOf(e))).toEqual(['ada', 'bob']);
});

it('goes on without an answer', async () => {
  const host = {
    ...hostWith([]),
    neighbours: vi.fn().mockRejectedValue(new Error('no network')),
  };
  const form = new AddMachines(host, 0);
  await form.look();
  expect(form.found).toEqual([]);
  expect(form.looking).toBe(false);
});
