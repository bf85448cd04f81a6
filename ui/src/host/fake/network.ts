// Cable and network as they stand in a state, and who else is on the network.

import type { MachineView, Neighbour } from '../../bindings';
import { RECORDED, type Standing } from './recorded';

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
] as const;

/** Both machines in a state. `plugged` is how many ends of the cable were plugged in meanwhile. */
export function standing(state: string, plugged = 0): Standing {
  const { served, machines, network } = RECORDED;
  if (state.startsWith('rehearsal')) {
    const { overview, pair } = state === 'rehearsal' ? served : machines;
    return structuredClone({ machines: overview.machines, pair });
  }
  const shown =
    state === 'plugging' ? ['no-cable', 'one-end', 'well'][Math.min(plugged, 2)] : state;
  const found = network[shown === 'serving' ? 'well' : (shown ?? '')] ?? network['pair'];
  if (!found) throw new Error('the states of the network were recorded');
  return structuredClone(found);
}

/** Who could be added. */
export function neighboursIn(state: string, machines: MachineView[]): Neighbour[] {
  const { none, sparks } = RECORDED.neighbours;
  const added = (n: Neighbour) => machines.some((m) => n.addresses.includes(m.address));
  return (state === 'no-neighbours' ? none : sparks).map((n) => ({ ...n, added: added(n) }));
}
