// The facts of both machines, line by line, with what differs marked.

import type { DockerAccess, Facts, MachineView } from '../bindings';
import { bytes, gib, number } from '../kit/format';

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
  { name: 'DGX OS', read: (f) => f.dgx_os ?? unknown, compare: true },
  { name: 'System', read: (f) => f.os || unknown, compare: true },
  { name: 'Kernel', read: (f) => f.kernel || unknown, compare: true },
  { name: 'GPU', read: (f) => f.gpu ?? unknown, compare: true },
  { name: 'Driver', read: (f) => f.driver ?? unknown, compare: true },
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
  { name: 'Docker', read: (f) => (f.docker ? DOCKER[f.docker] : unknown), compare: true },
  { name: 'Rails', means: 'paths through the cable', read: rails, compare: true },
  { name: 'Frame size', means: 'MTU on the rails', read: mtu, compare: true },
];

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
  return READERS.map(({ name, means, read, compare }) => {
    const values = machines.map((m) => (m.facts ? read(m.facts) : 'not looked at yet'));
    const seen = machines.flatMap((m) => (m.facts ? [read(m.facts)] : []));
    return {
      name,
      ...(means ? { means } : {}),
      values,
      differs: compare && new Set(seen).size > 1,
    };
  });
}
