// How a component reaches the host: by Svelte's context, so that a test can put another one there.

import { getContext, setContext } from 'svelte';

import type { Host } from './host';

const KEY = Symbol('host');

/** Puts the host where all components below find it. */
export function provideHost(host: Host): void {
  setContext(KEY, host);
}

/** The host. To be called while a component is being set up. */
export function useHost(): Host {
  const host = getContext<Host | undefined>(KEY);
  if (!host) throw new Error('no host was provided above this component');
  return host;
}
