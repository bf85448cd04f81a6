// What is wrong with typed addresses, said beside the field at once. The engine checks the same and more,
// since it knows what else is on both machines; this only spares the wait.

import { LIMITS, type NetworkPlan } from '../bindings';
import { wrongNumber } from '../kit/limits';

/** What is wrong with a plan, in the places where it is typed. */
export type Wrong = {
  /** By rail and end. */
  addresses: (string | null)[][];
  /** By rail. */
  prefixes: (string | null)[];
  mtu: string | null;
};

/** Looks at every typed value. */
export function wrongIn(plan: NetworkPlan): Wrong {
  const nets = plan.rails.map((rail) => rail.ends.map((end) => parse(end.address)));
  return {
    addresses: plan.rails.map((rail, r) =>
      rail.ends.map((end, e) => {
        const alone = wrongAddress(end.address, rail.prefix);
        if (alone !== null) return alone;
        const own = nets[r]?.[e] ?? null;
        if (own === null || !prefixIsFine(rail.prefix)) return null;
        return besides(own, r, e, nets, plan);
      }),
    ),
    prefixes: plan.rails.map((rail) =>
      prefixIsFine(rail.prefix)
        ? null
        : `A number from ${LIMITS.prefix.least} to ${LIMITS.prefix.most}; 24 is usual.`,
    ),
    mtu:
      wrongNumber(plan.mtu, LIMITS.mtu) === null
        ? null
        : `From ${LIMITS.mtu.least} to ${LIMITS.mtu.most} bytes; 9000 is best.`,
  };
}

/** Whose addresses these are, where good ones were on the ports already and are kept. */
export function adopted(plan: NetworkPlan & { adopted?: string | null }): string | null {
  return plan.adopted ?? null;
}

/** Whether anything is wrong. */
export function anyWrong(wrong: Wrong): boolean {
  return (
    wrong.mtu !== null ||
    wrong.prefixes.some((w) => w !== null) ||
    wrong.addresses.flat().some((w) => w !== null)
  );
}

/** What is wrong with one address for itself. */
export function wrongAddress(text: string, prefix: number): string | null {
  const typed = text.trim();
  if (typed === '') return 'An address is needed here.';
  if (typed.includes(':'))
    return 'This is IPv6. The private link uses IPv4, such as 192.168.100.10.';
  if (typed.includes('/'))
    return 'Only the address; the size of the subnet has a field of its own.';
  const own = parse(typed);
  if (own === null) return 'Not an IPv4 address. One looks like 192.168.100.10.';
  if (!isPrivate(own)) return 'A public address. Use a private one, such as 192.168.100.10.';
  // A subnet of two has neither a name nor a broadcast address of its own.
  if (!prefixIsFine(prefix) || prefix >= 31) return null;
  const host = own - network(own, prefix);
  if (host === 0) return 'This names the subnet itself. Use another last number.';
  if (host === 2 ** (32 - prefix) - 1)
    return 'This speaks to everyone in the subnet. Use another last number.';
  return null;
}

function besides(
  own: number,
  r: number,
  e: number,
  nets: (number | null)[][],
  plan: NetworkPlan,
): string | null {
  const prefix = plan.rails[r]?.prefix ?? 24;
  for (const [rail, ends] of nets.entries()) {
    const other = plan.rails[rail]?.prefix ?? 24;
    for (const [end, theirs] of ends.entries()) {
      // Said once, at the later of the two.
      if (theirs === null || rail > r || (rail === r && end >= e)) continue;
      if (theirs === own) return 'The same address stands above.';
      if (rail === r && network(theirs, prefix) !== network(own, prefix))
        return `Not in the same subnet as its other end, ${dotted(network(theirs, prefix))}/${prefix}.`;
      if (rail !== r && prefixIsFine(other) && overlap(own, prefix, theirs, other))
        return 'Each rail needs a subnet of its own, and this one is that of the rail above.';
    }
  }
  return null;
}

/** The 32 bits of an IPv4 address; `null` if it is none. Leading zeros mean octal to some and are refused. */
export function parse(text: string): number | null {
  const parts = text.trim().split('.');
  if (parts.length !== 4 || !parts.every((p) => /^(0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256))
    return null;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function network(address: number, prefix: number): number {
  const size = 2 ** (32 - prefix);
  return Math.floor(address / size) * size;
}

function overlap(a: number, prefixA: number, b: number, prefixB: number): boolean {
  const wider = Math.min(prefixA, prefixB);
  return network(a, wider) === network(b, wider);
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((bits) => Math.floor(address / 2 ** bits) % 256).join('.');
}

function isPrivate(address: number): boolean {
  const within = (text: string, prefix: number) =>
    network(address, prefix) === network(parse(text) ?? 0, prefix);
  return (
    within('10.0.0.0', 8) ||
    within('172.16.0.0', 12) ||
    within('192.168.0.0', 16) ||
    // Addresses that machines give themselves: a link that was set up so is left as it is.
    within('169.254.0.0', 16)
  );
}

function prefixIsFine(prefix: number): boolean {
  return wrongNumber(prefix, LIMITS.prefix) === null;
}
