// The disks of the machines, and the checks under way. Lives as long as the window, so that a check is listened
// to while another screen is in view; the checks themselves go on on the machines without it.

import type {
  CheckEvent,
  CheckReceipt,
  CheckTarget,
  CheckTime,
  DiskEntry,
  FoundCheck,
  MachineDisk,
  Problem,
} from '../bindings';
import { asProblem, type Host } from '../host/host';
import { effectRoot } from '../kit/effectRoot.svelte';

/** A check or repair on a machine, under way or ended. */
export interface Check {
  target: CheckTarget;
  deep: boolean;
  repair: boolean;
  /** Whether it goes on. */
  alive: boolean;
  stopping: boolean;
  /** Whether its machine does not answer now; the check goes on there. */
  away: boolean;
  done: number;
  total: number | null;
  rate: number | null;
  doing: string;
  notes: string[];
  receipt: CheckReceipt | null;
  problem: Problem | null;
}

export class Disks {
  machines = $state.raw<MachineDisk[]>([]);
  /** Whether the disks were looked at once. */
  ready = $state(false);
  looking = $state(false);
  /** Why the last thing asked for did not happen. */
  problem = $state.raw<Problem | null>(null);
  /** The last check of each machine. */
  checks = $state.raw<Record<string, Check>>({});
  /** What was freed last, in bytes, with what could not be. */
  freed = $state.raw<{ machine: string; bytes: number; left: string[] } | null>(null);

  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Looks at the disks anew. */
  async load(): Promise<void> {
    this.looking = true;
    try {
      this.machines = await this.#host.disks();
      this.ready = true;
      this.problem = null;
      await this.#find();
    } catch (thrown) {
      this.problem = asProblem(thrown);
    } finally {
      this.looking = false;
    }
  }

  /** The check of an entry, if the last one of its machine was about it. */
  checkOf(machine: string, entry: DiskEntry): Check | null {
    const check = this.checks[machine];
    if (!check || entry.item.kind !== 'revision') return null;
    const same = check.target.repo === entry.item.name && check.target.commit === entry.item.commit;
    return same ? check : null;
  }

  /** How long a deep check would take. */
  time(target: CheckTarget): Promise<CheckTime> {
    return this.#host.checkTime(target);
  }

  /** Checks a revision, and puts it right where that is asked for. */
  check(target: CheckTarget, deep: boolean, repair: boolean): Promise<void> {
    return this.#listen({ target, deep, repair }, 'Asking what should be there', (hear) =>
      this.#host.checkRevision(target, deep, repair, hear),
    );
  }

  /** Listens to the checks that went on on the machines while nobody looked. */
  async #find(): Promise<void> {
    for (const found of await this.#host.foundChecks()) {
      const { machine } = found.target;
      if (this.checks[machine]?.alive) continue;
      void this.#listen(found, 'Reading the running check', (hear) =>
        this.#host.followCheck(machine, hear),
      );
    }
  }

  async #listen(
    asked: FoundCheck,
    doing: string,
    ask: (hear: (event: CheckEvent) => void) => Promise<CheckReceipt>,
  ): Promise<void> {
    const { machine } = asked.target;
    const begun: Check = {
      ...asked,
      alive: true,
      stopping: false,
      away: false,
      done: 0,
      total: null,
      rate: null,
      doing,
      notes: [],
      receipt: null,
      problem: null,
    };
    const set = (changed: Partial<Check>): void => {
      const now = this.checks[machine] ?? begun;
      this.checks = { ...this.checks, [machine]: { ...now, ...changed } };
    };
    this.checks = { ...this.checks, [machine]: begun };
    try {
      const receipt = await ask((event) => {
        if (event.kind === 'note')
          set({ notes: [...(this.checks[machine]?.notes ?? []), event.text] });
        else if (event.kind === 'away') set({ away: true, rate: null });
        else {
          const { done, total, rate, doing } = event;
          set({ done, total, rate, doing, away: false });
        }
      });
      set({ receipt, alive: false });
    } catch (thrown) {
      set({ problem: asProblem(thrown), alive: false });
    }
    if (asked.repair) await this.load();
  }

  /** Stops the check of a machine. */
  async stop(machine: string): Promise<void> {
    const check = this.checks[machine];
    if (!check?.alive) return;
    this.checks = { ...this.checks, [machine]: { ...check, stopping: true } };
    await this.#host.stopCheck(machine).catch(() => undefined);
  }

  /** Puts the result of a check away. */
  dismiss(machine: string): void {
    this.checks = Object.fromEntries(
      Object.entries(this.checks).filter(([id, check]) => id !== machine || check.alive),
    );
  }

  /** Deletes an item for good. */
  async remove(machine: MachineDisk, entry: DiskEntry): Promise<void> {
    this.freed = null;
    try {
      const { kind, path } = entry.item;
      const freed = await this.#host.deleteItem({ machine: machine.machine, item: { kind, path } });
      await this.load();
      this.freed = { machine: machine.name, ...freed };
    } catch (thrown) {
      const problem = asProblem(thrown);
      await this.load();
      this.problem = problem;
    }
  }
}

const kept = new WeakMap<Host, Disks>();

/** The disks that a host tells of, the same at every asking. */
export function disksOf(host: Host): Disks {
  const known = kept.get(host) ?? effectRoot(() => new Disks(host));
  kept.set(host, known);
  return known;
}
