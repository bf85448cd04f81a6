// A believable host in memory, for `npm run dev:fake`, screenshots and component tests.
//
// `?fake=<state>` chooses where the story stands. Some inputs are sentinels, so that every failure can be
// seen by hand: the address `nowhere` does not answer, `changed` shows another key, the password `wrong` is
// refused, the same address twice is one machine, the token `bad` is refused, the chat message `fail`
// breaks off, the rehearsal after `?fake=empty&rehearsal=fails` does not start. In the state `plugging` the
// cable is plugged in while one looks.

import type {
  BenchResult,
  ConversationSummary,
  FetchLimits,
  ImageView,
  MachineView,
  Message,
  Overview,
  Plan,
  RunSummary,
  Serving,
  Settings,
} from '../bindings';
import { aheadOf } from './fake/ahead';
import { afterSetup, compare, measured } from './fake/bench';
import { answer, had, message, PICTURE } from './fake/chat';
import { isLink, linkFor } from './fake/link';
import { FakeDisks } from './fake/disk';
import { fingerprint, machine, pair } from './fake/machines';
import { factsIn, neighboursIn, NETWORK_STATES, pairView } from './fake/network';
import { defaults, planFor } from './fake/plan';
import { FakeRun, wait } from './fake/player';
import { Overviews } from './fake/overviews';
import * as problems from './fake/problems';
import type { Host } from './host';

/** Where the story stands. */
export const FAKE_STATES = [
  'empty',
  'one',
  'pair',
  'unreachable',
  'network',
  'running',
  'checking',
  'limited',
  'paused',
  'night',
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
  network: { step: 'network', share: 0.5 },
  running: { step: 'weights', share: 0.38 },
  limited: { step: 'weights', share: 0.38 },
  paused: { step: 'weights', share: 0.38 },
  night: { step: 'weights', share: 0.38 },
  loading: { step: 'launch-mtp', share: 0.46 },
  cancelled: { step: 'weights', share: 0.38 },
  interrupted: { step: 'weights', share: 0.38 },
  'rehearsal-running': { step: 'weights', share: 0.6 },
};

/** What the download of a state's run is held to. */
const HELD: Partial<Record<FakeState, FetchLimits>> = {
  limited: { bytes_per_second: 20_000_000, paused: false, hours: null },
  paused: { bytes_per_second: null, paused: true, hours: null },
  night: { bytes_per_second: 20_000_000, paused: false, hours: { from: '23:00', to: '07:00' } },
};

/** A host that stands where `state` says. */
export function fakeHost(state: FakeState, options: FakeOptions = {}): Host {
  const tickMs = options.tickMs ?? 150;
  let rehearsal = state.startsWith('rehearsal');
  let machines: MachineView[] = machinesOf(state);
  let serving: Serving | null = null;
  let hubToken = false;
  let settings: Settings = options.settings ?? {
    theme: 'system',
    hub_endpoint: '',
    screen: 'setup',
  };
  const runs: FakeRun[] = [];
  let benches: BenchResult[] = [];
  const conversations = new Map<string, { summary: ConversationSummary; messages: Message[] }>();
  const images = new Map<string, ImageView>([[PICTURE.id, PICTURE]]);
  const stopped = new Set<string>();
  const disks = new FakeDisks(tickMs, options.frozen ?? false);
  let plugged = 0;
  let measuring = false;
  let stopMeasuring = false;

  const names = () => machines.map((m) => m.name);
  const ended = (run: FakeRun) => {
    settle(run);
    overviews.tell();
  };
  const settle = (run: FakeRun) => {
    if (run.summary.outcome === 'undone') serving = null;
    if (run.summary.outcome !== 'completed') return;
    if (isLink(run.plan)) {
      if (run.plan.procedure === 'restart') serving = null;
      return;
    }
    serving = served(run.summary.id, machines);
    benches = [...afterSetup(Date.now(), rehearsal), ...benches];
  };

  function newRun(
    ageMs = 0,
    play = tickMs,
    plan: Plan = planFor(defaults(machines), machines).plan,
  ): FakeRun {
    const run = new FakeRun(
      {
        id: `run-${runs.length + 1}`,
        procedure: plan.procedure,
        title: isLink(plan)
          ? plan.summary.replace(/\.$/, '')
          : `Serve Step-3.7-Flash on ${names().join(' and ')}`,
        started_at: Date.now() - ageMs,
        finished_at: null,
        outcome: null,
        live: true,
        simulated: rehearsal,
      },
      plan,
      names(),
      play,
      ended,
    );
    runs.unshift(run);
    return run;
  }

  function begin(): void {
    if (state === 'checking' && machines[1]) disks.leave(machines[1].id);
    const until = UNTIL[state];
    if (until) {
      const run = newRun(26 * 60_000);
      if (HELD[state]) run.hold(HELD[state]);
      void run.play(until).then(() => {
        if (state === 'interrupted') run.summary = { ...run.summary, live: false };
        else if (state === 'cancelled') {
          run.cancel();
          void run.play();
        } else if (!options.frozen) void run.play();
      });
    }
    if (state === 'failed' || state === 'password') {
      const run = newRun(9 * 60_000, 0);
      run.failsAt =
        state === 'failed'
          ? { step: 'weights', problem: problems.diskTooSmall }
          : { step: 'network', problem: problems.passwordNeeded };
      if (state === 'password') machines[1] = { ...second(), sudo: 'password-needed' };
      void run
        .play({ step: state === 'failed' ? 'image' : 'facts', share: 1 })
        .then(() => run.play());
    }
    if (state === 'serving' || state === 'rehearsal') {
      const run = newRun(52 * 60_000, 0);
      run.summary = { ...run.summary, id: 'run-1' };
      void run.play({ step: 'validate-mtp', share: 1 }).then(() => run.play());
      benches = [
        measured('bench-old', 'Before the driver update', Date.now() - 86_400_000 * 3, 1002, 25.9),
      ];
      const messages = had();
      conversations.set('conversation-1', {
        summary: {
          id: 'conversation-1',
          title: 'What is in this picture?',
          updated_at: Date.now() - 610_000,
        },
        messages,
      });
      conversations.set('conversation-2', {
        summary: {
          id: 'conversation-2',
          title: 'A name for a boat',
          updated_at: Date.now() - 90_000_000,
        },
        messages: [
          message('user', 'Suggest a name for a boat with two engines.'),
          message('assistant', '“Tandem” would do.'),
        ],
      });
    }
  }

  const second = () => machines[1] ?? machine('spark-bd26', 2);
  const run = (id: string): FakeRun => {
    const found = runs.find((r) => r.summary.id === id);
    if (!found) throw problems.badInput('There is no such run.', id);
    return found;
  };
  const find = (id: string): MachineView => {
    const found = machines.find((m) => m.id === id);
    if (!found) throw problems.badInput('There is no such machine.', id);
    return found;
  };
  const overview = (): Overview => ({
    revision: overviews.revision,
    version: '0.1.0',
    rehearsal,
    data_dir: '/home/you/.local/share/dev.tandem.app',
    machines: structuredClone(machines),
    interrupted: runs
      .map((r) => r.summary)
      .filter((s): s is RunSummary => !s.live && s.outcome === null),
    live_run: runs.map((r) => r.summary).find((s) => s.live) ?? null,
    serving,
    hub_token: hubToken,
  });

  const overviews = new Overviews(overview);
  begin();

  return overviews.told({
    overview: async () => overview(),
    watchOverview: async (listen) => {
      overviews.watch(listen);
      return null;
    },
    pair: async () => {
      // Once a run has measured the link, it is known.
      const measured = runs.some((r) => r.summary.outcome === 'completed' && isLink(r.plan));
      return pairView(measured ? 'well' : state, machines, Date.now());
    },
    neighbours: async () => {
      await wait(tickMs * 6);
      return neighboursIn(state, machines);
    },
    probeHost: async (address, port) => {
      await wait(tickMs * 3);
      if (address === 'nowhere') throw problems.unreachable(address);
      if (address === 'changed') throw problems.hostKeyChanged(address);
      const known = /^spark-/.test(address);
      return {
        address,
        port,
        algorithm: 'ssh-ed25519',
        fingerprint: fingerprint(address),
        host_key: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${address}`,
        user: known ? 'nvidia' : null,
      };
    },
    addMachine: async (added) => {
      await wait(tickMs * 4);
      if (added.password === 'wrong') throw problems.wrongPassword(added.address);
      if (added.password === null && !/^spark-/.test(added.address))
        throw problems.keyRefused(added.address);
      if (machines.some((m) => m.address === added.address)) throw problems.sameTwice;
      const [a, b] = pair(rehearsal);
      const next = { ...(machines.length === 0 ? a : b), address: added.address, user: added.user };
      machines = [...machines, { ...next, fingerprint: fingerprint(added.address) }];
      return next;
    },
    removeMachine: async (id) => {
      machines = machines.filter((m) => m.id !== find(id).id);
      return null;
    },
    refreshMachine: async (id) => {
      await wait(tickMs * 4);
      // Somebody plugs the cable in, one end after the other, while it is looked at.
      if (id === machines[0]?.id) plugged += 1;
      machines = machines.map((m, i) =>
        m.facts ? { ...m, facts: factsIn(state, i, m.facts, plugged - 1) } : m,
      );
      return find(id);
    },
    givePassword: async (id, password) => {
      await wait(tickMs * 2);
      if (password === 'wrong') throw problems.wrongPassword(find(id).name);
      machines = machines.map((m) => (m.id === id ? { ...m, sudo: 'password-held' } : m));
      return find(id);
    },
    startRehearsal: async () => {
      await wait(tickMs * 8);
      rehearsal = true;
      machines = pair(true);
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
      const request = defaults(machines);
      if (state === 'well' && request.network)
        Object.assign(request.network, {
          adopted:
            'These addresses are on the ports already and look like those of NVIDIA’s guide.',
        });
      return planFor(request, machines);
    },
    planSetup: async (request) => planFor(request, machines),
    ahead: async (request, measure) => {
      await wait(tickMs * 8);
      return aheadOf(request, machines, measure);
    },
    startSetup: async () => {
      const started = newRun();
      void started.play();
      return started.summary.id;
    },
    proposeLink: async (restart) => {
      await wait(tickMs * 3);
      return linkFor(machines, restart, state, serving?.model ?? null);
    },
    startLink: async (request) => {
      const view = linkFor(machines, request.restart, state, null);
      const started = newRun(0, tickMs, view.plan);
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
    runReport: async (id) =>
      `Tandem 0.1.0\n${run(id).summary.title}\n${run(id).events.length} events\n`,
    runBenchmark: async (benchCase, label, listen) => {
      if (!serving)
        throw problems.problem('nothing-served', 'Nothing was measured.', {
          cause: 'Nothing is served.',
        });
      measuring = true;
      stopMeasuring = false;
      const total = benchCase.runs + 1;
      for (let done = 0; done < total; done += 1) {
        listen({
          kind: 'progress',
          done,
          total,
          doing: done === 0 ? 'Warming up' : `Measuring, ${done} of ${benchCase.runs}`,
        });
        await wait(tickMs * 6);
        if (stopMeasuring) {
          measuring = false;
          throw problems.problem('timed-out', 'The measurement was stopped.', {
            severity: 'notice',
          });
        }
      }
      measuring = false;
      const result = measured(`bench-${Date.now()}`, label, Date.now(), 1051, 27.9, {
        case: benchCase,
        run: null,
        simulated: rehearsal,
      });
      benches = [result, ...benches];
      return result;
    },
    stopBenchmark: async () => {
      stopMeasuring = measuring;
      return null;
    },
    listBenchmarks: async () => structuredClone(benches),
    compareBenchmarks: async (a, b) => {
      const [x, y] = [benches.find((r) => r.id === a), benches.find((r) => r.id === b)];
      if (!x || !y) throw problems.badInput('There is no such measurement.', `${a}, ${b}`);
      return compare(x, y);
    },
    renameBenchmark: async (id, label) => {
      benches = benches.map((b) => (b.id === id ? { ...b, label } : b));
      return null;
    },
    deleteBenchmark: async (id) => {
      benches = benches.filter((b) => b.id !== id);
      return null;
    },
    listConversations: async () =>
      [...conversations.values()].map((c) => c.summary).sort((a, b) => b.updated_at - a.updated_at),
    conversation: async (id) => structuredClone(conversations.get(id)?.messages ?? []),
    deleteConversation: async (id) => {
      conversations.delete(id);
      return null;
    },
    addImage: async (bytes) => {
      await wait(tickMs);
      if (bytes.length < 16)
        throw problems.problem('bad-image', 'The image was not added.', {
          cause: 'The file is empty or cut off.',
        });
      const kept = { ...PICTURE, id: `image-${images.size + 1}` };
      images.set(kept.id, kept);
      return kept;
    },
    image: async (id) => {
      const found = images.get(id);
      if (!found) throw problems.problem('bad-image', 'The image is gone.');
      return found;
    },
    sendMessage: async (id, text, imageIds, thinking, listen) => {
      if (!serving)
        throw problems.problem('nothing-served', 'The message was not sent.', {
          cause: 'Nothing is served.',
        });
      const key = id ?? `conversation-${conversations.size + 1}`;
      const kept = conversations.get(key) ?? {
        summary: { id: key, title: text.slice(0, 60), updated_at: Date.now() },
        messages: [],
      };
      kept.summary.updated_at = Date.now();
      conversations.set(key, kept);
      void answer(
        kept.messages,
        message('user', text, { images: imageIds }),
        thinking,
        stopped,
        listen,
      );
      return key;
    },
    stopAnswer: async (id) => {
      stopped.add(id);
      return null;
    },
    disks: async () => {
      await wait(tickMs * 2);
      return disks.disks(machines, serving !== null, state === 'one');
    },
    checkTime: async () => {
      await wait(tickMs * 3);
      return disks.time();
    },
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
      return disks.remove(target);
    },
    settings: async () => ({ ...settings }),
    saveSettings: async (saved) => {
      settings = { ...saved };
      return null;
    },
    setHubToken: async (token) => {
      if (token === 'bad')
        throw problems.problem('hub-token', 'The token was not kept.', {
          cause: 'The Hub refused it.',
        });
      hubToken = token !== null;
      return token === 'memory'
        ? problems.problem('keyring', 'The token is kept until Tandem is closed.', {
            severity: 'notice',
            cause: 'This computer has no keyring.',
          })
        : null;
    },
    checkServing: async () => serving,
    stopServing: async () => {
      await wait(tickMs * 4);
      serving = null;
      return null;
    },
  });
}

function machinesOf(state: FakeState): MachineView[] {
  if (state === 'empty' || state.endsWith('neighbours')) return [];
  const [a, b] = pair(state.startsWith('rehearsal')).map((m, i) =>
    m.facts ? { ...m, facts: factsIn(state, i, m.facts) } : m,
  ) as [MachineView, MachineView];
  if (state === 'one') return [a];
  if (state === 'unreachable')
    return [a, { ...b, reachable: false, problems: [problems.unreachable(b.address)] }];
  return [a, b];
}

function served(run: string, machines: MachineView[]): Serving {
  return {
    model: 'step-3.7-flash',
    machine: machines[0]?.id ?? '',
    machine_name: machines[0]?.name ?? '',
    port: 8000,
    speculative_tokens: 3,
    run,
    tg_tps: 27.6,
    against_plain: 1.63,
    max_model_len: 262_144,
  };
}
