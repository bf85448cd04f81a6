import { mount } from 'svelte';

import AppWindow from './App.svelte';
import type { Host } from './host/host';
import { insideTauri, tauriHost } from './host/tauri';
import { keepDropsOut } from './kit/drops';
import { followDesktop } from './theme/theme';

/** The app answers inside its window; a plain browser gets the fake host, where `?fake=` says the story stands. */
async function chooseHost(): Promise<Host> {
  if (insideTauri()) return tauriHost();
  const { FAKE_STATES, fakeHost } = await import('./host/fake');
  const asked = new URLSearchParams(location.search);
  const state = FAKE_STATES.find((name) => name === asked.get('fake')) ?? 'empty';
  return fakeHost(state, {
    tickMs: Number(asked.get('tick') ?? 150),
    frozen: asked.has('frozen'),
    settings: {
      theme: asked.get('theme') ?? 'system',
      hub_endpoint: '',
      screen: asked.get('screen') ?? 'setup',
    },
  });
}

followDesktop();
keepDropsOut(document);
const target = document.getElementById('app');
if (!target) throw new Error('index.html has no element #app');
mount(AppWindow, { target, props: { host: await chooseHost() } });
