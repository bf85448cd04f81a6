// A believable host in memory, for `npm run dev:fake`, screenshots and component tests.
//
// `?fake=<state>` chooses where the story stands. Some inputs are sentinels, so that every failure can be
// seen by hand: the address `nowhere` does not answer, `changed` shows another key, the password `wrong` is
// refused, the same address twice is one machine, the chat message `fail` breaks off. In the state `plugging`
// the cable is plugged in while one looks.

import type {
  BenchResult,
  MachineView,
  Overview,
  RunSummary,
  Serving,
  Settings,
} from '../bindings';
import { afterSetup, byHand, compare } from './fake/bench';
import { FakeChat } from './fake/chat';
import { FakeDisks } from './fake/disk';
import { fakeElsewhere } from './fake/elsewhere';
import { neighboursIn, NETWORK_STATES, standing } from './fake/network';
import { defaults, planFor, recipePlan } from './fake/plan';
import { FakeRun, wait } from './fake/player';
import { recorded } from './fake/problems';
import { fakeRecipes } from './fake/recipes';
import { RECORDED, type RecordedRun } from './fake/recorded';
import type { Host } from './host';

/** Where the story stands. */
export const FAKE_STATES = [
  'empty',
  'one',
  'pair',
  'unreachable',
  'running',
  'checking',
  'limited',
  'loading',
  'failed',
  'password',
  'cancelled',
  'interrupted',
  'serving',
  'rehearsal',
  'rehearsal-running',
  ...NETWORK_STATES,
] as const;
export type FakeState = (typeof FAKE_STATES)[number];

export type FakeOptions = {
  /** Milliseconds between two steps forward. */
  tickMs?: number;
  /** Whether a live run stands still, for screenshots. */
  frozen?: boolean;
  settings?: Settings;
};

/** How far a state's run has come: the step, and the share of it. */
const UNTIL: Partial<Record<FakeState, { step: string; share: number }>> = {
  running: { step: 'weights', share: 0.7 },
  limited: { step: 'weights', share: 0.7 },
  loading: { step: 'launch-mtp', share: 0.46 },
  cancelled: { step: 'weights', share: 0.7 },
  interrupted: { step: 'weights', share: 0.7 },
  'rehearsal-running': { step: 'weights', share: 0.6 },
};

/** A run that has come to its end. */
const END = { step: '', share: 1 };

const { setup, failed } = RECORDED;

/** The fingerprint that every fake machine shows. */
const SHOWN = RECORDED.network['well']?.machines[0]?.fingerprint ?? '';

const isLink = (run: FakeRun) => ['link', 'restart'].includes(run.plan.procedure);

/** A host that stands where `state` says. */
export function fakeHost(state: FakeState, options: FakeOptions = {}): Host {
  const tickMs = options.tickMs ?? 150;
  let rehearsal = state.startsWith('rehearsal');
  let machines: MachineView[] = machinesOf(state);
  let serving: Serving | null = null;
  let hubToken = false;
  let settings = options.settings ?? { theme: 'system', hub_endpoint: '', screen: 'setup' };
  const runs: FakeRun[] = [];
  let benches: BenchResult[] = [];
  const chat = new FakeChat();
  const disks = new FakeDisks(tickMs, options.frozen ?? false);
  let plugged = 0;
  let measuring: AbortController | null = null;

  const ended = (run: FakeRun) => {
    const { outcome, id } = run.summary;
    if (outcome === 'undone' || (outcome === 'completed' && run.plan.procedure === 'restart'))
      serving = null;
    if (outcome === 'completed' && !isLink(run)) {
      serving = { ...(RECORDED.served.overview.serving as Serving), run: id };
      benches = [...structuredClone(afterSetup), ...benches];
    }
    tell();
  };

  function newRun(from: RecordedRun, ageMs = 0): FakeRun {
    const id = `run-${runs.length + 1}`;
    const told = { id, started_at: Date.now() - ageMs, simulated: rehearsal };
    const run = new FakeRun(told, from, tickMs, ended);
    runs.unshift(run);
    return run;
  }

  function begin(): void {
    if (state === 'checking' && machines[1]) disks.leave(machines[1].id);
    const until = UNTIL[state];
    if (until) {
      const run = newRun(setup, 26 * 60_000);
      if (state === 'limited') run.hold({ bytes_per_second: 20_000_000 });
      void run.play(until).then(() => {
        if (state === 'interrupted') run.summary = { ...run.summary, live: false };
        if (state === 'cancelled') run.cancel();
        if (state === 'cancelled' || (state !== 'interrupted' && !options.frozen)) void run.play();
      });
    }
    if (state === 'failed') void newRun(failed, 9 * 60_000).play(END);
    if (state === 'password') {
      const problem = recorded('sudo-password-needed', machines[1]?.name);
      machines = machines.map((m, i) => (i === 1 ? { ...m, sudo: 'password-needed' } : m));
      const run = newRun(setup, 9 * 60_000);
      run.failsAt = { step: 'network', problem };
      void run.play(END);
    }
    if (state === 'serving' || state === 'rehearsal') {
      benches = [byHand(Date.now() - 86_400_000 * 3, true)];
      void newRun(setup, 52 * 60_000).play(END);
      chat.fill();
    }
  }

  const kept = () => serving !== null || state === 'well' || state === 'hot-plug';
  const run = (id: string): FakeRun => {
    const found = runs.find((r) => r.summary.id === id);
    if (!found) throw recorded('no-run');
    return found;
  };
  const find = (id: string): MachineView => {
    const found = machines.find((m) => m.id === id);
    if (!found) throw recorded('no-machine');
    return found;
  };
  let revision = 0;
  let listening: (overview: Overview) => void = () => undefined;
  const overview = (): Overview => ({
    ...structuredClone(RECORDED.machines.empty.overview),
    revision,
    rehearsal,
    machines: structuredClone(machines),
    interrupted: runs
      .map((r) => r.summary)
      .filter((s): s is RunSummary => !s.live && s.outcome === null),
    live_run: runs.map((r) => r.summary).find((s) => s.live) ?? null,
    serving,
    ready: runs.some((r) => r.summary.outcome === 'completed'),
    hub_token: hubToken,
  });
  let told = '';
  /** The overview, where it is another than the one before. */
  const tell = () => {
    const now = JSON.stringify({ ...overview(), revision: 0 });
    if (now === told) return;
    told = now;
    revision += 1;
    listening(overview());
  };
  begin();
  tell();

  const host: Host = {
    overview: async () => overview(),
    watchOverview: async (listen) => {
      listening = listen;
      listen(overview());
      return null;
    },
    pair: async () => {
      // Once a run has measured the link, it is known.
      const measured = runs.some((r) => r.summary.outcome === 'completed' && isLink(r));
      const { pair } = standing(measured ? 'well' : state, Math.max(0, plugged - 1));
      if (machines.length > 1) return pair;
      return machines.length === 1 ? standing('one').pair : RECORDED.machines.empty.pair;
    },
    neighbours: async () => {
      await wait(tickMs * 6);
      return neighboursIn(state, machines);
    },
    probeHost: async (address, port) => {
      await wait(tickMs * 3);
      if (address === 'nowhere') throw recorded('unreachable', address);
      if (address === 'changed') throw recorded('host-key-changed', address);
      const known = /^spark-/.test(address);
      return {
        address,
        port,
        algorithm: 'ssh-ed25519',
        fingerprint: SHOWN,
        host_key: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${address}`,
        user: known ? 'nvidia' : null,
        known: address.endsWith('.known') ? 'to-ssh' : 'no',
      };
    },
    addMachine: async (added) => {
      await wait(tickMs * 4);
      const { address, user, password } = added;
      if (password === 'wrong') throw recorded('wrong-password', address, user);
      if (password === null && !/^spark-/.test(address))
        throw recorded('key-refused', address, user);
      const found = standing(state).machines[machines.length];
      if (!found || machines.some((m) => m.address === address))
        throw recorded('same-machine-twice', address);
      const next = { ...found, address, user };
      machines = [...machines, next];
      return next;
    },
    changeMachine: async (id, { address, port, user, password, cache }) => {
      await wait(tickMs * 4);
      if (password === 'wrong') throw recorded('wrong-password', address, user);
      machines = machines.map((m) =>
        m.id === id ? { ...m, address, port, user, cache: cache === '' ? null : cache } : m,
      );
      return find(id);
    },
    undosOfMachine: async (id) => {
      const here = machines.some((m) => m.id === id);
      return runs.map((r) => r.summary).filter((run) => here && run.outcome === 'completed');
    },
    removeMachine: async (id) => {
      machines = machines.filter((m) => m.id !== find(id).id);
      return null;
    },
    refreshMachine: async (id) => {
      await wait(tickMs * 4);
      // Somebody plugs the cable in, one end after the other, while it is looked at.
      if (id === machines[0]?.id) plugged += 1;
      const seen = standing(state, Math.max(0, plugged - 1)).machines;
      machines = machines.map((m, i) => ({ ...m, facts: seen[i]?.facts ?? m.facts }));
      return find(id);
    },
    givePassword: async (id, password) => {
      await wait(tickMs * 2);
      if (password === 'wrong') throw recorded('wrong-password', find(id).name);
      machines = machines.map((m) => (m.id === id ? { ...m, sudo: 'password-held' } : m));
      return find(id);
    },
    startRehearsal: async () => {
      await wait(tickMs * 8);
      rehearsal = true;
      machines = standing('rehearsal-new').machines;
      return overview();
    },
    leaveRehearsal: async () => {
      rehearsal = false;
      machines = [];
      serving = null;
      runs.length = 0;
      benches = [];
      return overview();
    },
    proposeSetup: async () => {
      const request = defaults(machines.length);
      if (kept() && request.network)
        request.network.adopted = RECORDED.links.kept.request.network.adopted;
      return planFor(request);
    },
    ...fakeRecipes(tickMs),
    ...fakeElsewhere(tickMs, () => serving),
    proposeRecipe: async (id) => recipePlan(id, machines.length),
    // What a recorded run was asked for is what was proposed.
    planAgain: async (id) => {
      run(id);
      return planFor(defaults(machines.length));
    },
    planSetup: async (request) => planFor(request),
    ahead: async () => {
      await wait(tickMs * 8);
      return structuredClone(RECORDED.ahead.slice(0, machines.length));
    },
    startSetup: async () => {
      const started = newRun(setup);
      void started.play();
      return started.summary.id;
    },
    proposeLink: async (restart) => {
      await wait(tickMs * 3);
      const { links, served } = RECORDED;
      return structuredClone(restart ? served.restart : kept() ? links.kept : links.link);
    },
    startLink: async (request) => {
      const { run, restarted } = RECORDED.links;
      const started = newRun(request.restart ? restarted : run);
      void started.play();
      return started.summary.id;
    },
    watchRun: async (id, afterSeq, listen) => {
      run(id).watch(afterSeq, listen);
      return null;
    },
    cancelRun: async (id) => {
      run(id).cancel();
      return null;
    },
    holdDownload: async (id, limits) => {
      await wait(tickMs);
      run(id).hold(limits);
      return null;
    },
    resumeRun: async (id) => {
      run(id).resume();
      return null;
    },
    undoRun: async (id) => {
      void run(id).undo();
      return null;
    },
    listRuns: async () => runs.map((r) => r.summary),
    runDetail: async (id) => run(id).detail(),
    stepLog: async (id, step) => run(id).logs.get(step) ?? [],
    runReport: async (id) => run(id).recorded.report,
    runBenchmark: async (benchCase, label, listen) => {
      if (!serving) throw recorded('unmeasured');
      const { signal } = (measuring = new AbortController());
      for (const event of RECORDED.benches.progress) {
        listen(event);
        await wait(tickMs * 6);
        if (signal.aborted) throw recorded('bench-stopped');
      }
      const result = byHand(Date.now());
      const id = `${result.id}@${benches.length}`;
      const measured = { ...result, id, label: label || result.label, case: benchCase };
      benches = [measured, ...benches];
      return measured;
    },
    stopBenchmark: async () => {
      measuring?.abort();
      return null;
    },
    listBenchmarks: async () => structuredClone(benches),
    compareBenchmarks: async (a, b) =>
      compare(
        benches.find((r) => r.id === a),
        benches.find((r) => r.id === b),
      ),
    renameBenchmark: async (id, label) => {
      benches = benches.map((b) => (b.id === id ? { ...b, label } : b));
      return null;
    },
    deleteBenchmark: async (id) => {
      benches = benches.filter((b) => b.id !== id);
      return null;
    },
    listConversations: async () => chat.list(),
    conversation: async (id, before) => chat.page(id, before),
    showVersion: async (id, message) => chat.show(id, message),
    searchMessages: async (typed) => chat.search(typed),
    changeConversation: async (id, change) => {
      chat.change(id, change);
      return null;
    },
    deleteConversation: async (id) => {
      chat.remove(id);
      return null;
    },
    restoreConversation: async (id) => {
      chat.restore(id);
      return null;
    },
    deleteMessage: async (id, message) => chat.removeMessage(id, message),
    restoreMessage: async (id, message) => chat.restoreMessage(id, message),
    chatDraft: async (id) => chat.draft(id),
    saveChatDraft: async (id, draft) => {
      chat.saveDraft(id, draft);
      return null;
    },
    watchConversations: async (listen) => {
      chat.watch(listen);
      return null;
    },
    chatControls: async (id) => chat.controls(id),
    saveChatControls: async (id, controls) => {
      chat.saveControls(id, controls);
      return null;
    },
    chatPresets: async () => chat.presets,
    saveChatPreset: async (preset) => chat.savePreset(preset),
    deleteChatPreset: async (name) =>
      (chat.presets = chat.presets.filter((preset) => preset.name !== name)),
    chatBudget: async (id, draft) => {
      if (!serving) throw recorded('unsent');
      const window = serving.max_model_len;
      const prompt = chat.tokens(id, draft.text);
      const answer = Math.max(0, Math.min(8192, window - prompt));
      return { window, prompt, counted: true, answer, left_out: 0 };
    },
    exportConversation: async (id, format) =>
      `/home/you/${chat.title(id)}.${format === 'markdown' ? 'md' : 'json'}`,
    importConversations: async (text) => chat.take(text),
    addImage: async (base64) => {
      await wait(tickMs);
      if (base64.length < 24) throw recorded('bad-image');
      return RECORDED.chat.image;
    },
    image: async (id) => {
      if (id !== RECORDED.chat.image.id) throw recorded('no-image');
      return RECORDED.chat.image;
    },
    sendMessage: async (id, ask, controls, listen) => {
      if (!serving) throw recorded('unsent');
      return chat.ask(id, ask, controls, listen);
    },
    stopAnswer: async (id) => {
      chat.stop(id);
      return null;
    },
    disks: async () => {
      await wait(tickMs * 2);
      return disks.disks(machines, serving !== null, state === 'one');
    },
    checkTime: async () => RECORDED.disks.time,
    checkRevision: (target, deep, repair, listen) =>
      disks.check(target, target.machine === machines[1]?.id, deep, repair, listen),
    foundChecks: async () => disks.found(),
    followCheck: (_machine, listen) => disks.follow(listen),
    stopCheck: async (id) => {
      disks.stop(id);
      return null;
    },
    deleteItem: async (target) => {
      await wait(tickMs * 2);
      return disks.remove(target, disks.disks(machines, serving !== null, false));
    },
    settings: async () => ({ ...settings }),
    saveSettings: async (saved) => {
      settings = { ...saved };
      return null;
    },
    setHubToken: async (token) => {
      hubToken = token !== null;
      return null;
    },
    checkServing: async () => serving,
    stopServing: async () => {
      await wait(tickMs * 4);
      serving = null;
      return null;
    },
  };
  // Each answer may have changed the overview.
  const telling = Object.entries(host).map(([name, ask]) => {
    const asked = ask as (...args: unknown[]) => Promise<unknown>;
    return [name, (...args: unknown[]) => asked(...args).finally(tell)];
  });
  return Object.fromEntries(telling) as Host;
}

function machinesOf(state: FakeState): MachineView[] {
  if (state === 'empty' || state.endsWith('neighbours')) return [];
  const { machines } = standing(state);
  if (state !== 'unreachable') return machines;
  return machines.map((m, i) =>
    i === 1 ? { ...m, reachable: false, problems: [recorded('unreachable', m.address)] } : m,
  );
}
