import { expect, it } from 'vitest';

import type { NetworkPlan } from '../bindings';
import { defaults } from '../host/fake/plan';
import { adopted, anyWrong, parse, wrongAddress, wrongIn } from './addresses';

function plan(change: (plan: NetworkPlan) => void = () => undefined): NetworkPlan {
  const found = defaults(2).network;
  if (!found) throw new Error('two machines have a plan');
  change(found);
  return found;
}

function set(network: NetworkPlan, rail: number, end: number, address: string): void {
  const place = network.rails[rail]?.ends[end];
  if (!place) throw new Error('there is such an end');
  place.address = address;
}

it('has nothing against the plan that is proposed', () => {
  expect(anyWrong(wrongIn(plan()))).toBe(false);
});

it.each([
  ['', /needed/],
  ['fd00::1', /IPv6/],
  ['192.168.100.10/24', /Only the address/],
  ['192.168.100', /Not an IPv4/],
  ['192.168.100.256', /Not an IPv4/],
  ['192.168.100.010', /Not an IPv4/],
  ['spark-a', /Not an IPv4/],
  ['8.8.8.8', /public/],
  ['172.32.0.1', /public/],
  ['192.168.100.0', /subnet itself/],
  ['192.168.100.255', /everyone/],
])('refuses %s', (typed, says) => {
  expect(wrongAddress(typed, 24)).toMatch(says);
});

it.each([
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.254',
  '192.168.0.1',
  ' 192.168.1.2 ',
  '169.254.9.1',
])('takes %s', (typed) => {
  expect(wrongAddress(typed, 24)).toBeNull();
});

it('says which subnet the other end is in', () => {
  const wrong = wrongIn(plan((p) => set(p, 0, 1, '192.168.102.11')));
  expect(wrong.addresses[0]).toEqual([null, expect.stringContaining('192.168.100.0/24')]);
});

it('refuses one address twice, and one subnet for both rails', () => {
  expect(wrongIn(plan((p) => set(p, 0, 1, '192.168.100.10'))).addresses[0]?.[1]).toMatch(/same/);
  const both = wrongIn(
    plan((p) => {
      set(p, 1, 0, '192.168.100.20');
      set(p, 1, 1, '192.168.100.21');
    }),
  );
  expect(both.addresses[1]?.[0]).toMatch(/subnet of its own/);
  const wider = wrongIn(plan((p) => p.rails.forEach((rail) => (rail.prefix = 16))));
  expect(wider.addresses[1]?.[0], 'the prefix decides').toMatch(/subnet of its own/);
});

it.each([
  [1279, true],
  [1280, false],
  [9216, false],
  [9217, true],
  [1500.5, true],
])('frames of %s bytes', (mtu, refused) => {
  expect(wrongIn(plan((p) => (p.mtu = mtu))).mtu !== null).toBe(refused);
});

it('refuses a prefix without room for two, and does not judge addresses by it', () => {
  const wrong = wrongIn(plan((p) => p.rails.forEach((rail) => (rail.prefix = 32))));
  expect(wrong.prefixes.every((w) => w !== null)).toBe(true);
  expect(wrong.addresses.flat()).toEqual([null, null, null, null]);
});

it('reads the highest address as a number, not as a negative one', () => {
  expect(parse('255.255.255.255')).toBe(2 ** 32 - 1);
});

it('says whose addresses are kept, and nothing where new ones are planned', () => {
  expect(adopted(plan())).toBeNull();
  expect(adopted({ ...plan(), adopted: 'As NVIDIA Sync leaves them.' })).toMatch(/NVIDIA Sync/);
});
