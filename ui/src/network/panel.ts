// Where things are on the drawing of the rear panels, and which cables are drawn. Pure, so that it is tested.

import type { Cabling, CableState, Panel, PanelPort, Twin } from '../bindings';
import { number } from '../kit/format';

/** Sizes of the drawing, in its own units. */
export const SIZE = {
  panel: { width: 480, height: 128 },
  pad: 26,
  gap: 40,
  /** Room above a panel for the machine's name. */
  above: 34,
  /** Room below a panel for the cable. */
  below: 92,
  port: { width: 64, height: 30, y: 74 },
} as const;

/** Left edges of the ports on a panel seen from behind: p0 beside the RJ45 jack, p1 outermost. */
const PORT_X: Record<string, number> = { p0: 316, p1: 396 };

/** A state in which nothing stands between the cable and the set-up. */
export function cableIsFine(state: CableState): boolean {
  return state === 'good' || state === 'different-ports' || state === 'two-cables';
}

/** Whether there is a link that a set-up could use, however slow. */
export function cableCarries(state: CableState): boolean {
  return cableIsFine(state) || state === 'slow' || state === 'one-rail';
}

/** The top left corner of a panel: two beside each other, more below them. */
export function corner(index: number): { x: number; y: number } {
  const column = index % 2;
  const row = Math.floor(index / 2);
  return {
    x: SIZE.pad + column * (SIZE.panel.width + SIZE.gap),
    y: SIZE.above + row * (SIZE.panel.height + SIZE.above + SIZE.below),
  };
}

/** The whole drawing. One machine alone keeps an empty place beside it. */
export function extent(panels: number): { width: number; height: number } {
  const rows = Math.max(1, Math.ceil(panels / 2));
  return {
    width: 2 * SIZE.pad + 2 * SIZE.panel.width + SIZE.gap,
    height: rows * (SIZE.above + SIZE.panel.height + SIZE.below),
  };
}

/** Where a port is on the drawing: its left top corner and where a plug's cable leaves it. */
export function portAt(index: number, port: string) {
  const { x, y } = corner(index);
  const left = x + (PORT_X[port] ?? 396);
  const top = y + SIZE.port.y;
  return { left, top, middle: left + SIZE.port.width / 2, leaves: top + SIZE.port.height + 16 };
}

/** One end of a drawn cable. */
export type End = { panel: number; port: string };

/** A cable on the drawing. A wanted one is not there yet: it shows where to plug in. */
export type Drawn = { from: End; to: End; rails: boolean[]; wanted: boolean };

/** The cables to draw between two machines. */
export function cables(cabling: Cabling): Drawn[] {
  const [a, b] = cabling.panels;
  if (!a || !b || cabling.panels.length !== 2 || cabling.state === 'not-a-pair') return [];
  const [usedA, usedB] = [used(a), used(b)];
  if (usedA.length === 0 && usedB.length === 0)
    return cabling.state === 'adapter-missing' ? [] : [wanted('p1')];
  if (usedA.length === 0 || usedB.length === 0)
    return [wanted((usedA[0] ?? usedB[0])?.port ?? 'p1')];
  return usedA.flatMap((from, i) => {
    const to = usedB[i];
    return to
      ? [
          {
            from: { panel: 0, port: from.port },
            to: { panel: 1, port: to.port },
            rails: rails(from, to),
            wanted: false,
          },
        ]
      : [];
  });
}

function used(panel: Panel): PanelPort[] {
  return panel.ports.filter((p) => p.plugged);
}

function wanted(port: string): Drawn {
  return {
    from: { panel: 0, port },
    to: { panel: 1, port },
    rails: [false],
    wanted: true,
  };
}

/** A rail is up where the twins of one PCIe device are up on both ends. Their order is that of the devices. */
function rails(a: PanelPort, b: PanelPort): boolean[] {
  const count = Math.max(a.twins.length, b.twins.length, 1);
  return Array.from({ length: count }, (_, i) =>
    Boolean(a.twins[i]?.carrier && b.twins[i]?.carrier),
  );
}

/** The line of one rail, hanging from plug to plug. Rails run inside each other. */
export function hang(cable: Drawn, rail: number): string {
  const from = portAt(cable.from.panel, cable.from.port);
  const to = portAt(cable.to.panel, cable.to.port);
  const inner = (rail - (cable.rails.length - 1) / 2) * 7;
  const depth = SIZE.below + 12 - inner * 1.4;
  const [x1, x2] = [from.middle + inner, to.middle - inner];
  return `M${x1} ${from.leaves}C${x1} ${from.leaves + depth} ${x2} ${to.leaves + depth} ${x2} ${to.leaves}`;
}

/** What is written at a cable. */
export function carries(cable: Drawn, panels: readonly Panel[]): string {
  if (cable.wanted) return '';
  const up = cable.rails.filter(Boolean).length;
  const many =
    up === cable.rails.length
      ? up === 1
        ? 'one rail up'
        : 'both rails up'
      : `${up} of ${cable.rails.length} rails up`;
  const speed = slowest([
    ...twinsOf(panels[cable.from.panel], cable.from.port),
    ...twinsOf(panels[cable.to.panel], cable.to.port),
  ]);
  return speed === null ? many : `${many}, port speed ${speed}`;
}

/** Where that is written: in the hollow of the cable. */
export function hollow(cable: Drawn): { x: number; y: number } {
  const from = portAt(cable.from.panel, cable.from.port);
  const to = portAt(cable.to.panel, cable.to.port);
  const floor = corner(cable.from.panel).y + SIZE.panel.height;
  return { x: (from.middle + to.middle) / 2, y: floor + 34 };
}

function twinsOf(panel: Panel | undefined, port: string): Twin[] {
  return panel?.ports.find((p) => p.port === port)?.twins ?? [];
}

function slowest(twins: readonly Twin[]): string | null {
  const speeds = twins.flatMap((t) => (t.carrier && t.speed ? [t.speed] : []));
  return speeds.length === 0 ? null : gbps(Math.min(...speeds));
}

/** `200 Gb/s` from Mb/s. */
export function gbps(mbps: number): string {
  return `${number(mbps / 1000)} Gb/s`;
}

/** Where a port is, in words. */
export function place(port: string): string {
  return port === 'p0' ? 'beside the RJ45 jack' : 'outermost';
}

/** What a twin shows, in words. */
export function twinWords(twin: Twin): string {
  if (!twin.carrier) return 'no signal';
  const speed = twin.speed === null ? 'speed not known' : gbps(twin.speed);
  return twin.rdma ? speed : `${speed}, RDMA off`;
}

/** The drawing in words, for those who do not see it. */
export function described(cabling: Cabling): string {
  const each = cabling.panels.map((panel) => {
    if (!panel.powered) return `${panel.machine}: the adapter is switched off, no plug is seen.`;
    const plugged = used(panel).map((p) => `${p.port}, ${place(p.port)}`);
    return plugged.length === 0
      ? `${panel.machine}: no plug in either port.`
      : `${panel.machine}: a plug in ${plugged.join(' and in ')}.`;
  });
  return `Rear panels, seen from behind. ${each.join(' ')}`;
}
