// What the disks say: groups, sentences and figures, from what the machines told.

import type {
  CheckReceipt,
  CheckTime,
  DiskEntry,
  DiskItem,
  DiskKind,
  DiskKnown,
  MachineDisk,
} from '../bindings';
import { bytes, duration } from '../kit/format';

/** The order in which kinds are shown, with the words over them. */
const GROUPS: { kinds: DiskKind[]; title: string }[] = [
  { kinds: ['revision'], title: 'Models' },
  { kinds: ['overlay', 'draft'], title: 'Made for MTP' },
  { kinds: ['image'], title: 'Container images' },
  { kinds: ['compile-cache', 'download-cache'], title: 'Caches' },
  { kinds: ['unfinished', 'leftover'], title: 'Unfinished and left over' },
];

/** A thing on one machine. */
export interface Place {
  machine: MachineDisk;
  entry: DiskEntry;
}

/** The same thing, wherever it lies. */
export interface Row {
  key: string;
  places: [Place, ...Place[]];
}

export interface Group {
  title: string;
  rows: Row[];
}

/** What lies on the machines by kind, the largest first; what is the same on several is one row. */
export function groups(machines: MachineDisk[]): Group[] {
  const rows = new Map<string, Row>();
  for (const machine of machines)
    for (const entry of machine.disk?.entries ?? []) {
      const { kind, name, commit } = entry.item;
      const key = [kind, name, commit ?? ''].join(' ');
      const row = rows.get(key);
      // Two of one name on a machine are two things.
      if (row && row.places.every((place) => place.machine !== machine))
        row.places.push({ machine, entry });
      else {
        const own = row ? `${key} ${entry.item.path}` : key;
        rows.set(own, { key: own, places: [{ machine, entry }] });
      }
    }
  const all = [...rows.values()];
  const size = (row: Row): number => Math.max(...row.places.map((p) => p.entry.item.size));
  return GROUPS.map(({ kinds, title }) => ({
    title,
    rows: all
      .filter((row) => kinds.includes(row.places[0].entry.item.kind))
      .toSorted((a, b) => size(b) - size(a)),
  })).filter((group) => group.rows.length > 0);
}

/** A commit as people tell them apart. */
export function short(commit: string): string {
  return commit.slice(0, 8);
}

/** What an item is, in a word or two. */
export function what(item: DiskItem): string {
  switch (item.kind) {
    case 'revision':
      return `revision ${short(item.commit ?? '')}`;
    case 'overlay':
      return 'checkpoint with MTP layers';
    case 'draft':
      return 'draft model';
    case 'image':
      return 'container image';
    case 'compile-cache':
      return 'compile cache';
    case 'download-cache':
      return 'download cache';
    case 'unfinished':
      return 'unfinished download';
    case 'leftover':
      return 'in no revision';
  }
}

/** The name of an item in a sentence. */
export function called(item: DiskItem): string {
  if (item.kind === 'revision') return `${item.name} (${short(item.commit ?? '')})`;
  if (item.kind === 'overlay') return `the checkpoint with MTP of ${item.name}`;
  if (item.kind === 'draft') return `the draft model of ${item.name}`;
  if (item.kind === 'unfinished') return `the unfinished download of ${item.name}`;
  if (item.kind === 'leftover') return `leftover files of ${item.name}`;
  return item.name;
}

/** The sentence at the top of the screen. */
export function headline(machines: MachineDisk[]): { title: string; says: string } {
  const known = machines.filter((m): m is MachineDisk & { disk: DiskKnown } => m.disk !== null);
  if (known.length === 0)
    return { title: 'The disks could not be read.', says: 'Nothing is known of them now.' };
  const taken = Math.max(...known.map((m) => m.disk.taken));
  const free = Math.min(...known.map((m) => m.disk.free));
  const title =
    taken === 0
      ? 'No model is on the disk yet.'
      : known.length > 1
        ? `Models, images and caches take up to ${bytes(taken)} a machine.`
        : `Models, images and caches take ${bytes(taken)}.`;
  const least =
    known.length > 1 ? `At least ${bytes(free)} are free on each.` : `${bytes(free)} are free.`;
  return { title, says: taken === 0 ? least : `${least} What several share is counted once.` };
}

/** How long a deep check will take, before it is begun. */
export function timeSentence(time: CheckTime): string {
  if (time.files === 0) return 'There is nothing to hash: no file of it is there.';
  const cores = time.cores === 1 ? 'one core' : `${time.cores} cores`;
  const bound =
    time.disk_rate > 0 && time.disk_rate < time.hash_rate * time.cores
      ? `the disk gives ${bytes(time.disk_rate)}/s`
      : `each core hashes ${bytes(time.hash_rate)}/s`;
  return `It will take about ${duration(time.seconds)}: ${bytes(time.bytes)} in ${time.files} files on ${cores}; ${bound}.`;
}

/** What a check found, in a sentence. */
export function receiptSentence(receipt: CheckReceipt): string {
  const files = receipt.files === 1 ? 'The one file' : `All ${receipt.files} files`;
  const mended = receipt.repaired.length;
  const again =
    mended === 0
      ? ''
      : `${mended === 1 ? 'One file was' : `${mended} files were`} repaired; ${bytes(receipt.fetched)} were downloaded again. `;
  const left = receipt.faults.length;
  if (left > 0) return `${again}${left === 1 ? 'One fault was' : `${left} faults were`} found.`;
  const how = receipt.deep
    ? `every byte was hashed, ${bytes(receipt.bytes)} in ${duration(receipt.seconds)}`
    : 'sizes, links, headers and the index fit; the bytes themselves were not read';
  return `${again}${files} ${receipt.files === 1 ? 'is' : 'are'} right: ${how}.`;
}

/** What deleting does to the disk, in a sentence. */
export function freesSentence(item: DiskItem, machine: string): string {
  if (item.frees === 0)
    return `Nothing becomes free on ${machine}: something else shares all of it.`;
  return `${bytes(item.frees)} become free on ${machine}.`;
}

/** Seconds still to go; `null` while the rate says nothing. */
export function secondsLeft(
  done: number,
  total: number | null,
  rate: number | null,
): number | null {
  if (total === null || rate === null || rate <= 0) return null;
  return Math.max(0, total - done) / rate;
}
