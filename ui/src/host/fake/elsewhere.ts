// What is served, for other programs, as a server with a key answers.

import type { Access, Serving } from '../../bindings';
import type { Host } from '../host';
import { recorded } from './problems';
import { wait } from './player';

type Asked = 'access' | 'openLocal' | 'closeLocal' | 'serverKey' | 'testTraffic';

/** The host's answers about using the server elsewhere. */
export function fakeElsewhere(tickMs: number, serving: () => Serving | null): Pick<Host, Asked> {
  let local: number | null = null;
  const access = (): Access => {
    const served = serving();
    if (!served) throw recorded('unsent');
    const { model, machine_name: machine, port } = served;
    return { model, machine, port, local, messages: true };
  };
  return {
    access: async () => access(),
    openLocal: async () => {
      await wait(tickMs * 2);
      local ??= access().port;
      return access();
    },
    closeLocal: async () => {
      local = null;
      return null;
    },
    serverKey: async () => {
      access();
      return '5f0c2d8e9b7a41d6a3c4e5f60718293a';
    },
    testTraffic: async () => {
      await wait(tickMs * 2);
      local ??= access().port;
      return { without: 401, with: 200, guarded: true };
    },
  };
}
