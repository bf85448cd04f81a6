// The fake's overview as a stream: told after each answer that may have changed it, and when a run ends.

import type { Overview } from '../../bindings';
import type { Host } from '../host';

const CHANGING = [
  'addMachine',
  'removeMachine',
  'refreshMachine',
  'givePassword',
  'startRehearsal',
  'leaveRehearsal',
  'startSetup',
  'startLink',
  'resumeRun',
  'undoRun',
  'setHubToken',
  'stopServing',
] as const satisfies (keyof Host)[];

export class Overviews {
  revision = 0;
  #listen: ((overview: Overview) => void) | null = null;

  constructor(readonly make: () => Overview) {}

  /** A later watch ends the earlier one. */
  watch(listen: (overview: Overview) => void): void {
    this.#listen = listen;
    listen(this.make());
  }

  tell(): void {
    this.revision += 1;
    this.#listen?.(this.make());
  }

  /** The host with its changes told. */
  told(host: Host): Host {
    const changing = CHANGING.map((name) => {
      const ask = host[name] as (...args: unknown[]) => Promise<unknown>;
      const asked = (...args: unknown[]) => ask(...args).finally(() => this.tell());
      return [name, asked];
    });
    return { ...host, ...Object.fromEntries(changing) } as Host;
  }
}
