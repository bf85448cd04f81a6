// Adding one or two machines: what was typed, what was found at the addresses, and what became of it.
// Both are handled at once: one form, one look at both host keys, one yes.

import type { HostProbe, MachineView, Neighbour, Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';
import { bare, port } from './address';
import { choices, leads, obvious, typedAs } from './find';

/** One machine of the form. */
export class Entry {
  address = $state('');
  user = $state('');
  password = $state('');
  probe: HostProbe | null = $state.raw(null);
  added: MachineView | null = $state.raw(null);
  problem: Problem | null = $state.raw(null);

  readonly filled = $derived(this.address.trim() !== '');
}

export type Stage = 'form' | 'reading' | 'keys' | 'adding' | 'done';

export class AddMachines {
  readonly entries: [Entry, Entry] = [new Entry(), new Entry()];
  /** Whether user and password of the second machine are those of the first. */
  same = $state(true);
  stage: Stage = $state('form');
  /** Machines that were found and could be added; `null` while nobody has answered yet. */
  found: Neighbour[] | null = $state.raw(null);
  /** Whether it is being looked for machines. */
  looking = $state(false);

  /** How many machines are there already: with one, the form asks for one only. */
  readonly asked: Entry[];
  readonly wanted = $derived.by(() => this.asked.filter((e) => e.filled && e.added === null));

  constructor(
    readonly host: Host,
    already: number,
  ) {
    this.asked = already === 0 ? this.entries : [this.entries[0]];
  }

  /** Why the form cannot go on yet; `null` if it can. */
  readonly missing: string | null = $derived.by(() => {
    const first = this.entries[0];
    if (!first.filled) return 'Type the address of your Spark first.';
    const addresses = this.wanted.map((e) => e.address.trim().toLowerCase());
    if (addresses.length === 2 && addresses[0] === addresses[1])
      return 'Both addresses are the same. Type the other Spark’s.';
    for (const entry of this.wanted)
      if (port(entry.address) === null)
        return `The port in “${entry.address.trim()}” is not a number.`;
    return null;
  });

  /**
   * Looks for machines on the network. Where it is plain which ones are meant, their addresses are filled in,
   * unless something was typed meanwhile. Gives back whether that happened.
   */
  async look(): Promise<boolean> {
    if (this.looking) return false;
    this.looking = true;
    try {
      this.found = choices(await this.host.neighbours());
    } catch {
      this.found = [];
    } finally {
      this.looking = false;
    }
    const plain = obvious(this.found, this.asked.length);
    if (plain === null || this.stage !== 'form' || this.asked.some((e) => e.filled)) return false;
    plain.forEach((neighbour, i) => this.#fill(this.asked[i], neighbour));
    return true;
  }

  /** Which of the asked machines this one was chosen for; `null` if for none. */
  chosenFor(neighbour: Neighbour): number | null {
    const at = this.asked.findIndex((e) => leads(e.address, neighbour));
    return at === -1 ? null : at;
  }

  /** Chooses a found machine for the first place that is free, or takes it out again. */
  choose(neighbour: Neighbour): void {
    const at = this.chosenFor(neighbour);
    if (at !== null) {
      const entry = this.asked[at];
      if (entry && entry.added === null) entry.address = '';
      return;
    }
    const free = this.asked.filter((e) => e.added === null);
    this.#fill(free.find((e) => !e.filled) ?? free.at(-1), neighbour);
  }

  #fill(entry: Entry | undefined, neighbour: Neighbour): void {
    if (!entry) return;
    entry.address = typedAs(neighbour);
    entry.problem = null;
    const user = neighbour.user;
    if (user === null) return;
    const first = this.entries[0];
    if (entry === first || !this.same) entry.user = entry.user || user;
    else if (first.user.trim() === '') first.user = user;
    else if (first.user.trim() !== user) {
      // Two machines with two users: one password cannot be assumed either.
      this.same = false;
      entry.user = user;
    }
  }

  /** Whether the person's own ssh knows every key in view, so that there is nothing to ask. */
  readonly vouched = $derived.by(
    () => this.stage === 'keys' && this.wanted.every((e) => e.probe?.known === 'to-ssh'),
  );

  /** Reads the host keys of all machines at once. Nothing is sent but the greeting. */
  async readKeys(): Promise<void> {
    if (this.missing !== null || this.stage === 'reading') return;
    this.stage = 'reading';
    await Promise.all(
      this.wanted.map(async (entry) => {
        entry.problem = null;
        entry.probe = null;
        try {
          entry.probe = await this.host.probeHost(bare(entry.address), port(entry.address) ?? 22);
          if (entry.user === '' && entry.probe.user) entry.user = entry.probe.user;
        } catch (thrown) {
          entry.problem = asProblem(thrown);
        }
      }),
    );
    const all = this.wanted.every((e) => e.probe !== null);
    const named = this.wanted.every((e) => this.userOf(e) !== '');
    if (all && !named) {
      const first = this.wanted.find((e) => this.userOf(e) === '');
      if (first) first.problem = noUser(first.address);
    }
    this.stage = all && named ? 'keys' : 'form';
  }

  /** Accepts the keys in view and adds the machines. What is added stays, what was not can be tried again. */
  async accept(): Promise<void> {
    if (this.stage !== 'keys') return;
    this.stage = 'adding';
    for (const entry of this.wanted) {
      entry.problem = null;
      if (!entry.probe) continue;
      try {
        entry.added = await this.host.addMachine({
          address: bare(entry.address),
          port: entry.probe.port,
          user: this.userOf(entry),
          password: this.#passwordOf(entry),
          host_key: entry.probe.host_key,
        });
      } catch (thrown) {
        entry.problem = asProblem(thrown);
      }
    }
    if (this.wanted.length === 0) {
      this.stage = 'done';
      for (const entry of this.entries) entry.password = '';
    } else this.stage = 'form';
  }

  /** Back to the form; what was typed stays. */
  back(): void {
    this.stage = 'form';
  }

  /** The user that signs in there: typed for it, typed for both, or named by `~/.ssh/config`. */
  userOf(entry: Entry): string {
    if (entry !== this.entries[0] && this.same && this.entries[0].user.trim() !== '')
      return this.entries[0].user.trim();
    return entry.user.trim();
  }

  #passwordOf(entry: Entry): string | null {
    const from = entry !== this.entries[0] && this.same ? this.entries[0] : entry;
    return from.password === '' ? null : from.password;
  }
}

function noUser(address: string): Problem {
  return {
    code: 'bad-input',
    severity: 'error',
    message: `Tandem does not know who signs in at ${address.trim()}.`,
    cause: 'No user was typed, and ~/.ssh/config names none for it.',
    fix: { sentence: 'Type the user name that you made when you set the Spark up.', command: null },
    retry: 'no',
    machine: null,
    details: [],
  };
}
