// The facts of both machines, line by line, with what differs marked.

import type { DockerAccess, Facts, MachineView } from '../bindings';
import { bytes, gib, number } from '../kit/format';

/** Where the repositories of the Hub are on a machine. */
export function hubOf(facts: Facts): string;
export function hubOf(facts: Facts | null): string | undefined;
export function hubOf(facts: Facts | null): string | undefined {
  return facts !== null
    ? (facts.hub ?? `${(facts.hf_home ?? '').replace(/\/+$/, '')}/hub`)
    : undefined;
}

/** One line of the table. */
export type FactLine = {
  name: string;
  /** A plain word for a name that is jargon. */
  means?: string;
  values: string[];
  /** Whether the machines should agree here and do not. */
  differs: boolean;
};

type Reader = {
  name: string;
  means?: string;
  read: (facts: Facts) => string;
  /** Figures that are never equal, like free memory, are not compared. */
  compare: boolean;
  /** What is compared, where that is less than what is shown. */
  by?: (facts: Facts) => string;
};

const DOCKER: Record<DockerAccess, string> = {
  missing: 'not installed',
  'not-running': 'installed, does not run',
  denied: 'closed to this user',
  open: 'open to this user',
};

const unknown = 'not known';

const READERS: Reader[] = [
  { name: 'Product', read: (f) => f.product ?? unknown, compare: true },
  { name: 'DGX OS', read: dgxOs, compare: true, by: (f) => f.dgx_os ?? unknown },
  { name: 'System', read: (f) => f.os || unknown, compare: true },
  { name: 'Kernel', read: (f) => f.kernel || unknown, compare: true },
  { name: 'GPU', read: (f) => f.gpu ?? unknown, compare: true },
  { name: 'Driver', means: 'of the GPU', read: (f) => f.driver ?? unknown, compare: true },
  {
    name: 'Firmware',
    means: 'of the network adapter',
    // While the adapter is switched off there is nothing to read, which is no difference.
    read: (f) => f.firmware ?? 'not to be read now',
    compare: true,
    by: (f) => f.firmware ?? '',
  },
  { name: 'GPU now', read: gpuNow, compare: false },
  { name: 'Memory', read: (f) => (f.memory_total ? gib(f.memory_total) : unknown), compare: true },
  {
    name: 'Free memory',
    read: (f) => (f.memory_available ? gib(f.memory_available) : unknown),
    compare: false,
  },
  {
    name: 'CMA',
    means: 'memory the kernel sets aside for the cable',
    read: (f) => (f.cma_total === null || f.cma_total === undefined ? unknown : gib(f.cma_total)),
    compare: true,
  },
  {
    name: 'Free disk',
    means: 'where the weights go',
    read: (f) => (f.disk_total ? `${bytes(f.disk_free ?? 0)} of ${bytes(f.disk_total)}` : unknown),
    compare: false,
  },
  { name: 'Docker', read: docker, compare: true },
  { name: 'Reached by', means: 'the management link', read: management, compare: false },
  { name: 'Rails', means: 'paths through the cable', read: rails, compare: true },
  { name: 'Frame size', means: 'MTU on the rails', read: mtu, compare: true },
];

function dgxOs(facts: Facts): string {
  if (!facts.dgx_os) return unknown;
  return facts.dgx_os_date ? `${facts.dgx_os}, ${facts.dgx_os_date}` : facts.dgx_os;
}

function docker(facts: Facts): string {
  if (!facts.docker) return unknown;
  const version = facts.docker_version ? `${facts.docker_version}, ` : '';
  return `${version}${DOCKER[facts.docker]}${facts.docker_snap ? ', from snap' : ''}`;
}

function gpuNow(facts: Facts): string {
  const { watts, clock_mhz, busy } = facts.gpu_now ?? {};
  const parts = [
    watts == null ? '' : `${number(Math.round(watts))} W`,
    clock_mhz == null ? '' : `${number(clock_mhz)} MHz`,
    busy == null ? '' : `${busy} % busy`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? unknown : parts.join(', ');
}

function management(facts: Facts): string {
  const card = (facts.interfaces ?? []).find((i) => i.name === facts.default_interface);
  if (!card) return facts.default_interface ?? unknown;
  return card.wireless ? `${card.name}, by radio only` : (card.name ?? unknown);
}

function carried(facts: Facts) {
  return (facts.interfaces ?? []).filter((i) => i.fabric && i.carrier);
}

function rails(facts: Facts): string {
  const found = carried(facts);
  if (found.length === 0) return 'none with a cable';
  const speed = Math.min(...found.map((i) => i.speed ?? Infinity));
  const at = Number.isFinite(speed) ? `, port speed ${number(speed / 1000)} Gb/s` : '';
  return `${found.length}${at}`;
}

function mtu(facts: Facts): string {
  const sizes = [...new Set(carried(facts).map((i) => i.mtu ?? 0))].sort((a, b) => a - b);
  return sizes.length === 0 ? 'none' : `${sizes.join(' and ')} bytes`;
}

/** The table for the machines that are there. A machine nobody looked at has no values to differ. */
export function factLines(machines: readonly MachineView[]): FactLine[] {
  return READERS.map(({ name, means, read, compare, by = read }) => {
    const values = machines.map((m) => (m.facts ? read(m.facts) : 'not read yet'));
    const seen = machines.flatMap((m) => (m.facts ? [by(m.facts)] : []));
    return {
      name,
      ...(means ? { means } : {}),
      values,
      differs: compare && new Set(seen.filter((v) => v !== '')).size > 1,
    };
  });
}
