// The app itself as the answerer. The only place that speaks to Tauri.

import { Channel } from '@tauri-apps/api/core';

import { commands } from '../bindings';
import { asProblem, type Host } from './host';

/** A channel that hands everything it hears to a function. */
function heardBy<T>(listen: (heard: T) => void): Channel<T> {
  const channel = new Channel<T>();
  channel.onmessage = listen;
  return channel;
}

/** Tauri rejects with bare text when arguments do not fit; the window only knows problems. */
function problemsOnly(host: Host): Host {
  const entries = Object.entries(host).map(([name, ask]) => [
    name,
    (...args: unknown[]) =>
      (ask as (...args: unknown[]) => Promise<unknown>)(...args).catch((thrown: unknown) => {
        throw asProblem(thrown);
      }),
  ]);
  return Object.fromEntries(entries) as Host;
}

/** The host inside the app's window. */
export function tauriHost(): Host {
  return problemsOnly({
    ...commands,
    watchOverview: (listen) => commands.watchOverview(heardBy(listen)),
    watchRun: (id, afterSeq, listen) => commands.watchRun(id, afterSeq, heardBy(listen)),
    checkRevision: (target, deep, repair, listen) =>
      commands.checkRevision(target, deep, repair, heardBy(listen)),
    followCheck: (machine, listen) => commands.followCheck(machine, heardBy(listen)),
    runBenchmark: (benchCase, label, listen) =>
      commands.runBenchmark(benchCase, label, heardBy(listen)),
    sendMessage: (conversation, ask, controls, listen) =>
      commands.sendMessage(conversation, ask, controls, heardBy(listen)),
    watchConversations: (listen) => commands.watchConversations(heardBy(listen)),
  });
}

/** Whether this page runs in the app's window, where Tauri answers. */
export function insideTauri(): boolean {
  return '__TAURI_INTERNALS__' in window;
}
