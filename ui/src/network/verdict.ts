// A measured link: the scale it is drawn on, the single measurements, and the words for its state.

import type { AllReduce, LinkReport, LinkState, Method } from '../bindings';
import { number } from '../kit/format';
import { axis, type Axis } from '../kit/scale';

/** A state in a few words. */
export const STATE: Record<LinkState, string> = {
  good: 'As it should be',
  'one-rail': 'Only one rail carries',
  'cable100-g': 'A 100G cable',
  'hot-plug': 'Held back since the cable was plugged in',
  'socket-fallback': 'Sockets instead of RDMA',
  slow: 'Slower than expected',
};

/** How it was measured, with a plain word for what is jargon. */
export const METHOD: Record<Method, { name: string; means: string }> = {
  rdma: { name: 'RDMA', means: 'memory to memory, by ib_write_bw' },
  tcp: { name: 'TCP', means: 'ordinary connections, by Tandem’s own program' },
  'all-reduce': { name: 'All-reduce', means: 'what the model does, between two containers' },
};

/** `187 Gb/s`; a number that nobody measured is said to be none. */
export function speed(gbps: number | null): string {
  return gbps === null ? 'not known' : `${number(gbps)} Gb/s`;
}

/** `180 to 196 Gb/s`. */
export function expected(low: number | null, high: number | null): string {
  if (low === null && high === null) return 'not known';
  if (high === null) return `at least ${speed(low)}`;
  if (low === null) return `up to ${speed(high)}`;
  return `${number(low)} to ${speed(high)}`;
}

/** How the measured number stands to the range. */
export function standing(report: LinkReport): string {
  const { gbps, expected_low, expected_high } = report.verdict;
  const range = expected(expected_low, expected_high);
  if (gbps === null) return `Expected: ${range}.`;
  if (expected_low !== null && gbps < expected_low) return `Expected: ${range}.`;
  if (expected_high !== null && gbps > expected_high) return `More than expected: ${range}.`;
  return `Expected: ${range}. It lies within.`;
}

/** A scale that holds everything that is drawn on it, and never less than 10 Gb/s. */
export function scale(report: LinkReport): Axis {
  const { gbps, expected_high } = report.verdict;
  // With room beyond the range, so that it is seen to end.
  return axis([gbps ?? 0, (expected_high ?? 0) * 1.05, 10], 5);
}

/** One line of the table. */
export type Row = { method: Method; rail: string; direction: string; gbps: string };

/** The single measurements, in words. Of a simulated all-reduce only that it worked is worth telling. */
export function rows(report: LinkReport, names: readonly string[]): Row[] {
  const name = (i: number) => names[i] ?? `machine ${i + 1}`;
  const shown = report.measured.filter((m) => !(report.simulated && m.method === 'all-reduce'));
  return shown.map((m) => ({
    method: m.method,
    rail: m.rail === null ? 'all' : `${m.rail + 1}`,
    direction: m.from === null ? 'both ways' : `${name(m.from)} to ${name(1 - m.from)}`,
    gbps: m.gbps === null ? 'not known' : number(m.gbps),
  }));
}

/** `64 MiB`: messages of a collective come in powers of two. */
function message(bytes: number): string {
  const mib = bytes / 2 ** 20;
  return mib >= 1024 ? `${number(mib / 1024)} GiB` : `${number(mib)} MiB`;
}

/** What an all-reduce went over, and what it carried by the size of its messages. */
export function reduced(all: AllReduce, simulated: boolean): string {
  if (simulated) return 'The containers exchange data. No speed is given for a simulated one.';
  const over = all.devices.length > 0 ? ` (${all.devices.join(', ')})` : '';
  const transports = {
    true: `NCCL over RDMA${over}`,
    false: 'NCCL over TCP sockets',
    null: 'NCCL',
  };
  const transport = all.backend === 'gloo' ? 'Gloo over TCP' : transports[`${all.rdma}`];
  const sizes = all.sizes.map((s) => `${speed(s.bus_gbps)} at ${message(s.size)}`);
  return `${transport}: ${sizes.join(', ')}`;
}

/** The measurement as one would paste it into a forum: no addresses, no names of machines. */
export function asText(report: LinkReport): string {
  const { verdict } = report;
  const simulated = report.simulated ? ' (simulated, means nothing)' : '';
  const lines = [
    `Link of two DGX Sparks: ${speed(verdict.gbps)} by ${METHOD[verdict.method].name}${simulated}`,
    `${STATE[verdict.state]}. ${standing(report)}`,
    verdict.says,
    verdict.cure === '' ? '' : `What to do: ${verdict.cure}`,
    ...rows(report, ['a', 'b']).map(
      (r) => `${METHOD[r.method].name}, rail ${r.rail}, ${r.direction}: ${r.gbps} Gb/s`,
    ),
    report.all_reduce ? `All-reduce: ${reduced(report.all_reduce, report.simulated)}` : '',
  ];
  return lines.filter((line) => line !== '').join('\n');
}
