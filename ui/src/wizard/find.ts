// Machines that were found: which are offered, which are plainly meant, and what is typed for them.

import type { Neighbour } from '../bindings';
import { bare, port } from './address';

/** What is offered: those that are not added yet, Sparks first, then by name. */
export function choices(found: readonly Neighbour[]): Neighbour[] {
  return found
    .filter((n) => !n.added && n.addresses.length > 0)
    .sort((a, b) => Number(b.spark) - Number(a.spark) || a.name.localeCompare(b.name));
}

/** The machines that are plainly meant: exactly as many Sparks as are asked for. */
export function obvious(offered: readonly Neighbour[], asked: number): Neighbour[] | null {
  const sparks = offered.filter((n) => n.spark);
  return sparks.length === asked ? sparks : null;
}

/** What stands in the address field for a machine. An alias comes first, since user and key hang on it. */
export function typedAs(neighbour: Neighbour): string {
  const address = neighbour.addresses[0] ?? neighbour.name;
  if (neighbour.port === 22) return address;
  return address.includes(':') ? `[${address}]:${neighbour.port}` : `${address}:${neighbour.port}`;
}

/** Whether a typed address leads to this machine. */
export function leads(typed: string, neighbour: Neighbour): boolean {
  const address = bare(typed).toLowerCase();
  if (address === '') return false;
  const names = [neighbour.name, `${neighbour.name}.local`, ...neighbour.addresses];
  if (!names.some((name) => name.toLowerCase() === address)) return false;
  // Two machines may share an address and differ in the port only.
  return port(typed) === neighbour.port || neighbour.by === 'ssh-config';
}

/** Where a machine answers, in a few words. Its own name would say nothing new. */
export function whereWords(neighbour: Neighbour): string {
  const [first, ...more] = neighbour.addresses.filter((a) => a !== neighbour.name);
  if (first === undefined) return '';
  const at = typedAs({ ...neighbour, addresses: [first] });
  return more.length === 0 ? at : `${at} and ${more.length} more`;
}
