// What the fake host knows of cable and network: the ports of both machines, what they mean, what the link
// carries, and who else is on the network. One story for each state of the cable that people meet.

import type {
  AllReduce,
  CableState,
  Cabling,
  Facts,
  Finding,
  Interface,
  LinkReport,
  MachineView,
  Measured,
  Neighbour,
  PairView,
  Panel,
} from '../../bindings';

/** States of cable and network, besides those that a run makes. */
export const NETWORK_STATES = [
  'well',
  'plugging',
  'no-cable',
  'one-end',
  'one-rail',
  'cable-100g',
  'different-ports',
  'two-cables',
  'hot-plug',
  'socket-fallback',
  'no-cma',
  'no-neighbours',
  'plain-neighbours',
] as const;

/** What a port of a machine shows: Mb/s of the twins that are up. */
type Ports = { p0?: [number, number]; p1?: [number, number] } | 'off';

const FULL: [number, number] = [200_000, 200_000];

/** The ports of both machines in a state. */
function portsOf(state: string, plugged: number): [Ports, Ports] {
  switch (state) {
    case 'no-cable':
      return ['off', 'off'];
    case 'plugging':
      return [plugged > 0 ? { p1: FULL } : 'off', plugged > 1 ? { p1: FULL } : 'off'];
    case 'one-end':
      return [{ p1: FULL }, 'off'];
    case 'one-rail':
      return [{ p1: FULL }, { p1: [200_000, 0] }];
    case 'cable-100g':
      return [{ p1: [100_000, 100_000] }, { p1: [100_000, 100_000] }];
    case 'different-ports':
      return [{ p0: FULL }, { p1: FULL }];
    case 'two-cables':
      return [
        { p0: FULL, p1: FULL },
        { p0: FULL, p1: FULL },
      ];
    default:
      return [{ p1: FULL }, { p1: FULL }];
  }
}

/** The fabric interfaces of a machine whose ports are so. A machine that switched its adapter off has none. */
function fabric(ports: Ports): Interface[] {
  if (ports === 'off') return [];
  return (['p0', 'p1'] as const).flatMap((port, f) =>
    ['enp1s0', 'enP2p1s0'].map((device, twin) => {
      const speed = ports[port]?.[twin] ?? 0;
      return {
        name: `${device}f${f}n${port}`,
        port,
        fabric: true,
        carrier: speed > 0,
        up: true,
        speed: speed > 0 ? speed : null,
        mtu: 1500,
        mac: `4c:bb:47:2f:fb:9${f + 2 * twin}`,
        ipv4: [],
        rdma: `${device.replace('en', 'roce')}f${f}`,
        rdma_state: speed > 0 ? 'ACTIVE' : 'DOWN',
        lanes: { now: 4, most: 4 },
      };
    }),
  );
}

/** The facts of a machine as they are in a state. `plugged` is how many ends were plugged in meanwhile. */
export function factsIn(state: string, index: number, facts: Facts, plugged = 0): Facts {
  const ports = portsOf(state, plugged)[index] ?? { p1: FULL };
  const others = (facts.interfaces ?? []).filter((i) => !i.fabric);
  const changed: Facts = {
    ...facts,
    interfaces: [...others, ...fabric(ports)],
    firmware: ports === 'off' ? null : '28.45.4028',
    hotplug: true,
  };
  const alike = (NETWORK_STATES as readonly string[]).includes(state) && state !== 'no-cma';
  if (alike) changed.driver = '580.159.03';
  if (state === 'no-cma' && index === 1)
    Object.assign(changed, { kernel: '7.0.0-1019-nvidia', cma_total: 0 });
  return changed;
}

/** The rear panel as these facts show it. */
function panel(facts: Facts): Panel {
  const cards = (facts.interfaces ?? []).filter((i) => i.fabric);
  return {
    machine: facts.hostname ?? '',
    powered: cards.length > 0,
    management: (facts.interfaces ?? []).some((i) => i.name === 'enP7s7' && i.carrier),
    ports: ['p0', 'p1'].map((port) => {
      const twins = cards.filter((i) => i.port === port);
      return {
        port,
        plugged: twins.some((i) => i.carrier),
        twins: twins.map((i) => ({
          interface: i.name ?? '',
          carrier: i.carrier ?? false,
          speed: i.speed ?? null,
          rdma: i.rdma_state === 'ACTIVE',
        })),
      };
    }),
  };
}

function stateOf(panels: Panel[]): CableState {
  const [a, b] = panels;
  if (!a || !b) return panels.some((p) => p.ports.some((q) => q.plugged)) ? 'one-end' : 'no-cable';
  const used = [a, b].map((p) => p.ports.filter((q) => q.plugged));
  if (used.every((list) => list.length === 0)) return 'no-cable';
  if (used.some((list) => list.length === 0)) return 'one-end';
  const twins = used.flat().flatMap((port) => port.twins);
  if (twins.some((t) => !t.carrier)) return 'one-rail';
  if (twins.some((t) => (t.speed ?? 0) < 200_000)) return 'slow';
  if (used.every((list) => list.length === 2)) return 'two-cables';
  return used[0]?.[0]?.port === used[1]?.[0]?.port ? 'good' : 'different-ports';
}

const PLACE: Record<string, string> = {
  p0: 'the port beside the RJ45 jack',
  p1: 'the outermost port',
};

/** What the ports show, in the words of a coach. */
function cabling(panels: Panel[]): Cabling {
  const state = stateOf(panels);
  const [a, b] = panels.map((p) => p.machine);
  const at = panels.map((p) => PLACE[p.ports.find((q) => q.plugged)?.port ?? 'p1'] ?? '');
  const said: Record<CableState, [seen: string, next: string]> = {
    good: [`One cable joins \`${a}\` and \`${b}\`, and both of its rails run at 200 Gb/s.`, ''],
    'different-ports': [
      `The cable runs from ${at[0]} of \`${a}\` to ${at[1]} of \`${b}\`. It works as well as with the same port.`,
      'Nothing needs to change. Should you move it one day, use the same port on both.',
    ],
    'two-cables': [
      'Two cables join the machines. The second adds about 5 percent.',
      'One of them is enough. Tandem uses the rails of one.',
    ],
    'no-cable': [
      'No machine sees a plug, and both have switched their network adapter off to save power.',
      'Push the cable into the outermost port of both machines, with the tab up, until it clicks. That takes up to a minute to show here.',
    ],
    'one-end': [
      `\`${a}\` sees a plug in ${at[0]}, \`${b}\` sees none.`,
      `Push the other end into ${at[0]} of \`${b}\`, with the tab up, until it clicks.`,
    ],
    'one-rail': [
      `Only one of the two paths through the cable is up on \`${b}\`.`,
      'Pull the plug out on both machines, push it back until it clicks, and restart both with the cable in.',
    ],
    slow: [
      'The cable carries 100 Gb/s, half of what the ports can do.',
      'Use a 200G cable, for example Amphenol NJAAKK-N911. With this one it works, at half the speed.',
    ],
    'adapter-missing': [
      `\`${b}\` still has no adapter after a restart with the cable in.`,
      'Shut it down, take it off the mains for a minute, and start it with the cable in.',
    ],
    'not-a-pair': [
      'These machines stand in a ring.',
      'Tandem sets up two machines joined by one cable. Unplug the others first.',
    ],
  };
  const [seen, next] = said[state];
  return { state, seen, next, panels };
}

function found(
  level: Finding['level'],
  state: string,
  machine: number | null,
  title: string,
  meaning: string,
  cure: string,
): Finding {
  return { level, state, machine, title, meaning, cure };
}

function findings(machines: MachineView[]): Finding[] {
  const [a, b] = machines;
  const list: Finding[] = [];
  machines.forEach((m, i) => {
    if (m.facts?.cma_total === 0)
      list.push(
        found(
          'bad',
          'kernel-without-cma',
          i,
          `The kernel of ${m.name} sets no memory aside for the cable.`,
          'Kernel `7.0.0-1019-nvidia` is known for it: the two machines cannot reach each other’s memory, and the server would end soon after its start.',
          'Start `6.17.0-1031-nvidia` from the boot menu, or add `kho=off` to the kernel’s command line, and restart.',
        ),
      );
  });
  if (a?.facts && b?.facts && a.facts.driver !== b.facts.driver)
    list.push(
      found(
        'warning',
        'drivers-differ',
        null,
        'The machines run different GPU drivers.',
        `\`${a.facts.driver}\` on ${a.name}, \`${b.facts.driver}\` on ${b.name}. Both serve one model together, and two drivers may compute with different programs.`,
        'Update the older one in DGX Dashboard, then restart it.',
      ),
    );
  if (machines.some((m) => m.facts?.kernel?.startsWith('7.0')) && machines.length > 1)
    list.push(
      found(
        'note',
        'kernels-differ',
        null,
        'The machines run different kernels.',
        'That happens when one was updated and the other was not. It works as a rule.',
        '',
      ),
    );
  return list;
}

/** An all-reduce of NCCL's by the size of its messages in MiB. */
const nccl = (rdma: boolean, sizes: [mib: number, gbps: number][]): AllReduce => ({
  backend: 'nccl',
  torch: '2.11.0+cu130',
  rdma,
  devices: rdma ? ['rocep1s0f1', 'roceP2p1s0f1'] : [],
  sizes: sizes.map(([mib, gbps]) => ({
    size: mib * 2 ** 20,
    count: 20,
    seconds: (mib * 2 ** 20 * 8) / gbps / 1e9,
    algorithm_gbps: gbps,
    bus_gbps: gbps,
    wrong: 0,
  })),
  stand_in: false,
});

const both = (gbps: number[], method: Measured['method']): Measured[] => [
  { method, rail: 0, from: 0, gbps: gbps[0] ?? null },
  { method, rail: 0, from: 1, gbps: gbps[1] ?? null },
  { method, rail: 1, from: 0, gbps: gbps[2] ?? null },
  { method, rail: 1, from: 1, gbps: gbps[3] ?? null },
];

/** A measurement of the link, as it comes out in a state; `null` where none was made. */
function measuredIn(state: string, simulated: boolean, at: number): LinkReport | null {
  const healthy: Measured[] = [
    ...both([109.3, 109.1, 111.7, 111.2], 'rdma'),
    { method: 'rdma', rail: null, from: 0, gbps: 196.08 },
    { method: 'rdma', rail: null, from: 1, gbps: 195.4 },
  ];
  const report = (
    measured: Measured[],
    verdict: LinkReport['verdict'],
    all_reduce: AllReduce | null = null,
  ): LinkReport => ({ measured, verdict, simulated, at, all_reduce });
  switch (state) {
    case 'well':
    case 'serving':
    case 'different-ports':
    case 'rehearsal':
      return report(
        [...healthy, { method: 'all-reduce', rail: null, from: null, gbps: 186.9 }],
        {
          state: 'good',
          gbps: 186.9,
          method: 'all-reduce',
          expected_low: 180,
          expected_high: 196,
          says: 'The link carries what two Sparks can exchange.',
          cure: '',
        },
        simulated
          ? null
          : nccl(true, [
              [1, 9.9],
              [16, 136],
              [256, 161.6],
              [1024, 186.9],
            ]),
      );
    case 'hot-plug':
      return report(
        [
          ...both([13.2, 13.2, 13.1, 13.2], 'rdma'),
          { method: 'rdma', rail: null, from: 0, gbps: 26.3 },
          { method: 'rdma', rail: null, from: 1, gbps: 26.4 },
        ],
        {
          state: 'hot-plug',
          gbps: 13.2,
          method: 'rdma',
          expected_low: 105,
          expected_high: 112,
          says: 'Each rail carries about 13 Gb/s. That is the state of a cable that was plugged in while the machines ran; every other status looks perfect.',
          cure: 'Leave the cable in and restart both machines. Nothing else is known to help.',
        },
      );
    case 'socket-fallback':
      return report(
        [...healthy, { method: 'all-reduce', rail: null, from: null, gbps: 16.1 }],
        {
          state: 'socket-fallback',
          gbps: 16.1,
          method: 'all-reduce',
          expected_low: 180,
          expected_high: 196,
          says: 'The cable is fine, but the containers exchange data over ordinary sockets, at a twelfth of the speed.',
          cure: 'Start the containers with `/dev/infiniband`, which Tandem does by itself when it starts the server.',
        },
        nccl(false, [
          [1, 2.9],
          [16, 13.2],
          [256, 16.1],
          [1024, 16.1],
        ]),
      );
    case 'cable-100g':
      return report(both([91.8, 92.1, 91.9, 92], 'rdma'), {
        state: 'cable100-g',
        gbps: 92,
        method: 'rdma',
        expected_low: 180,
        expected_high: 196,
        says: 'The link carries what a 100G cable carries.',
        cure: 'Use a 200G cable, for example Amphenol NJAAKK-N911.',
      });
    default:
      return null;
  }
}

/** What is known about the machines together. */
export function pairView(state: string, machines: MachineView[], now: number): PairView {
  const seen = machines.flatMap((m) => (m.facts && m.reachable !== false ? [m.facts] : []));
  return {
    findings: findings(machines),
    cabling: seen.length > 0 ? cabling(seen.map(panel)) : null,
    link:
      machines.length > 1
        ? measuredIn(
            state,
            machines.some((m) => m.facts?.simulated),
            now - 38 * 60_000,
          )
        : null,
  };
}

const neighbour = (name: string, last: number, more: Partial<Neighbour> = {}): Neighbour => ({
  name,
  addresses: [`192.168.1.${last}`],
  port: 22,
  user: null,
  spark: true,
  by: 'mdns',
  added: false,
  ...more,
});

/** Who could be added. The first Spark is seen on the cable too, and is still one machine. */
export function neighboursIn(state: string, machines: MachineView[]): Neighbour[] {
  if (state === 'no-neighbours') return [];
  const nas = neighbour('nas', 7, {
    addresses: ['nas', '192.168.1.7'],
    spark: false,
    by: 'ssh-config',
    user: 'admin',
  });
  if (state === 'plain-neighbours') return [nas];
  const all = [
    neighbour('spark-5c2d', 41, { addresses: ['192.168.1.41', '192.168.100.10'] }),
    neighbour('spark-bd26', 42, { user: 'nvidia' }),
    nas,
  ];
  return all.map((n) => ({ ...n, added: machines.some((m) => m.name === n.name) }));
}
