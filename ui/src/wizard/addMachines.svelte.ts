// Adding one or two machines: what was typed, what was found at the addresses, and what became of it.
// Both are handled at once: one form, one look at both host keys, one yes.

import type { HostProbe, KnownHost, MachineView, Problem } from '../bindings';
import { asProblem, type Host } from '../host/host';

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
  known: KnownHost[] = $state.raw([]);

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

  /** Reads which hosts could be offered. Without them the form works as well. */
  async offer(): Promise<void> {
    this.known = await this.host.knownHosts().catch(() => []);
  }

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

/** The address without a port behind it. An IPv6 address carries a port only in brackets. */
export function bare(address: string): string {
  const text = address.trim();
  const bracketed = /^\[(.+)\](?::.*)?$/.exec(text);
  if (bracketed) return bracketed[1] ?? text;
  return text.split(':').length === 2 ? (text.split(':')[0] ?? text) : text;
}

/** The port behind an address, 22 where there is none, `null` where it is not one. */
export function port(address: string): number | null {
  const text = address.trim();
  const typed = text.startsWith('[')
    ? /\]:(.*)$/.exec(text)?.[1]
    : text.split(':').length === 2
      ? text.split(':')[1]
      : undefined;
  if (typed === undefined) return 22;
  const n = Number(typed);
  return /^\d+$/.test(typed) && n > 0 && n < 65_536 ? n : null;
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
