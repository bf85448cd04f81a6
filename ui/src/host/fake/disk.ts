// The recorded disks, which change as they are worked on, and the recorded checks of a revision that is damaged on the
// second machine until it is repaired.

import type {
  CheckEvent,
  CheckReceipt,
  CheckTarget,
  DeleteTarget,
  FoundCheck,
  Freed,
  MachineDisk,
  MachineView,
} from '../../bindings';
import { wait } from './player';
import { recorded as problem } from './problems';
import { RECORDED } from './recorded';

const { disks: recorded } = RECORDED;

export class FakeDisks {
  readonly #gone = new Set<string>();
  readonly #stopped = new Set<string>();
  #repaired = false;
  #found: FoundCheck | null = null;

  constructor(
    readonly tickMs: number,
    readonly frozen: boolean,
  ) {}

  /** Before a set-up, `fresh`, nothing takes room. */
  disks(machines: MachineView[], serving: boolean, fresh: boolean): MachineDisk[] {
    return machines.map(({ id, name, address, reachable }, index) => {
      const known = { machine: id, name };
      const seen = structuredClone((serving ? recorded.serving : recorded.disks)[index]);
      if (reachable === false || !seen?.disk)
        return { ...known, disk: null, problem: problem('unreachable', address) };
      const { disk } = seen;
      const left = disk.entries.filter((e) => !fresh && !this.#gone.has(id + e.item.path));
      const gone = disk.entries.filter((e) => !left.includes(e));
      const taken = fresh ? 0 : gone.reduce((sum, e) => sum - e.item.frees, disk.taken);
      return { ...seen, ...known, disk: { ...disk, entries: left, taken } };
    });
  }

  /** A deep check that was begun before the window was opened. */
  leave(machine: string): void {
    this.#found = { target: { ...recorded.target, machine }, deep: true, repair: false };
  }

  found(): FoundCheck[] {
    return this.#found ? [this.#found] : [];
  }

  /** Listens to it from where it is; its end is told once. */
  async follow(listen: (event: CheckEvent) => void): Promise<CheckReceipt> {
    const [found] = this.found();
    if (!found) throw new Error('no check was left');
    return this.check(found.target, true, found.deep, found.repair, listen, 8).finally(() => {
      this.#found = null;
    });
  }

  async check(
    target: CheckTarget,
    second: boolean,
    deep: boolean,
    repair: boolean,
    listen: (event: CheckEvent) => void,
    from = 0,
  ): Promise<CheckReceipt> {
    this.#stopped.delete(target.machine);
    const full = second && !this.#repaired ? recorded.damaged : recorded.sound;
    const { events, receipt } = repair ? recorded.repaired : deep ? full : recorded.quick;
    for (const event of events) listen(event);
    // The rehearsed files are hashed before progress is told: it comes at the recorded rate of a machine.
    const total = repair ? receipt.fetched : recorded.time.bytes;
    const rate = recorded.time.bytes / recorded.time.seconds;
    for (let step = from; step <= 20 && (deep || repair); step += 1) {
      listen({ kind: 'progress', done: (total * step) / 20, total, rate, doing: 'Hashing' });
      await wait(this.tickMs * 3);
      // A picture of a check under way: it stands still until it is stopped.
      while (this.frozen && step === 8 && !this.#stopped.has(target.machine)) await wait(20);
      if (this.#stopped.has(target.machine)) throw problem('check-stopped', target.machine);
    }
    this.#repaired ||= repair;
    return { ...structuredClone(receipt), commit: target.commit };
  }

  stop(machine: string): void {
    this.#stopped.add(machine);
  }

  remove({ machine, item }: DeleteTarget, seen: MachineDisk[]): Freed {
    const entries = seen.find((d) => d.machine === machine)?.disk?.entries ?? [];
    const found = entries.find((e) => e.item.kind === item.kind && e.item.path === item.path);
    if (!found || found.refused) throw found?.refused ?? problem('no-machine');
    this.#gone.add(machine + item.path);
    return { bytes: found.item.frees, left: [] };
  }
}
