// Plays a run forward: the events, the progress and the log lines that a real one would send.

import type {
  Event,
  FetchLimits,
  PauseReason,
  Plan,
  Problem,
  ProgressPart,
  RunDetail,
  RunEvent,
  RunOutcome,
  RunSignal,
  RunSummary,
} from '../../bindings';

/** How a step comes forward, and what it says at its end. */
type Score = {
  ticks: number;
  says: string;
  unit?: string;
  total?: number;
  doing?: string;
  logs?: string[];
};

const SCORE: Record<string, Score> = {
  connect: { ticks: 4, says: 'Signed in to both with Tandem’s own key.' },
  facts: { ticks: 3, says: 'Both are DGX Sparks with 122 GiB of memory.' },
  network: {
    ticks: 8,
    says: 'Full frames of 9000 bytes pass on both rails.',
    logs: ['wrote /etc/netplan/90-tandem.yaml', 'netplan apply', 'ping -M do -s 8972: 3 of 3'],
  },
  restart: {
    ticks: 12,
    says: 'Both machines are back from a new start.',
    unit: 's',
    doing: 'restarting',
  },
  prove: {
    ticks: 12,
    says: 'The link carries what two Sparks can exchange. 196 Gb/s by RDMA.',
    unit: 'measurements',
    total: 6,
    doing: 'both rails',
  },
  image: {
    ticks: 30,
    says: 'The same image on both: sha256:9f2c…41ab.',
    unit: 'bytes',
    total: 11_400_000_000,
    doing: 'Pulling',
  },
  weights: {
    ticks: 80,
    says: '22 files, 129 GB, every hash as announced.',
    unit: 'bytes',
    total: 129_000_000_000,
    doing: 'Downloading',
    logs: [
      'model-00001-of-00013.safetensors 9.9 GB verified',
      'model-00002-of-00013.safetensors 9.9 GB verified',
      'model-00003-of-00013.safetensors 9.9 GB verified',
      'model-00004-of-00013.safetensors begun',
    ],
  },
  graft: {
    ticks: 24,
    says: '51 tensors, 4.9 GB, the same bytes on both machines.',
    unit: 'bytes',
    total: 4_856_000_000,
    doing: 'Fetching tensors',
  },
  'launch-plain': launch(),
  'validate-plain': {
    ticks: 10,
    says: 'It answers, it sees, and it writes 16.9 tokens/s.',
    unit: 'requests',
    total: 4,
    doing: 'Measuring',
  },
  'launch-mtp': launch(),
  'validate-mtp': {
    ticks: 10,
    says: '27.6 tokens/s: 1.6 times as fast as plain.',
    unit: 'requests',
    total: 4,
    doing: 'Measuring',
  },
};

function launch(): Score {
  return {
    ticks: 40,
    says: 'The server answers on port 8000.',
    unit: 'shards',
    total: 13,
    doing: 'Loading weights',
    logs: [
      'Resolved architecture: Step3p7ForConditionalGeneration',
      'world_size=2 rank=0 local_rank=0 distributed_init_method=tcp://192.168.100.10:25000 backend=nccl',
      'Starting to load model …',
      'Loading safetensors checkpoint shards:  31% Completed | 4/13 [00:41<01:33]',
    ],
  };
}

/** The step whose download can be held back, and the time of the day on the fake machines. */
const DOWNLOADS = 'weights';
const NOON = '12:00';

/** One run of the fake host. */
export class FakeRun {
  summary: RunSummary;
  events: RunEvent[] = [];
  progress = new Map<string, ProgressPart[]>();
  logs = new Map<string, string[]>();
  /** What its download is held to. */
  download: FetchLimits | null;
  /** Where it fails, if it is to. */
  failsAt: { step: string; problem: Problem } | null = null;
  #listeners = new Set<(signal: RunSignal) => void>();
  #cancelling = false;
  #playing = false;

  constructor(
    summary: RunSummary,
    readonly plan: Plan,
    readonly machines: string[],
    readonly tickMs: number,
    /** Called when it ends, with how. */
    readonly ended: (run: FakeRun) => void,
  ) {
    this.summary = summary;
    const downloads = plan.steps.some((step) => step.id === DOWNLOADS);
    this.download = downloads ? { bytes_per_second: null, paused: false, hours: null } : null;
  }

  /** Holds its download to other limits from the next step forward on. */
  hold(limits: FetchLimits): void {
    this.download = limits;
    const parts = this.progress.get(DOWNLOADS);
    if (!parts || this.#done(DOWNLOADS)) return;
    const told = parts.map((part, i) => ({ ...part, ...this.#pace(i) }));
    this.progress.set(DOWNLOADS, told);
    this.#tell({ signal: 'progress', step: DOWNLOADS, progress: { parts: told } });
  }

  /** What the download waits for by order. On the fake machines it is always noon. */
  #held(): PauseReason | null {
    if (this.download?.paused) return { why: 'paused' };
    const hours = this.download?.hours;
    if (!hours) return null;
    const open =
      hours.from < hours.to
        ? hours.from <= NOON && NOON < hours.to
        : hours.from <= NOON || NOON < hours.to;
    return open ? null : { why: 'until', opens: hours.from };
  }

  /** How fast a machine comes on with the download, and in which words: the first fetches, the other copies. */
  #pace(index: number): Pick<ProgressPart, 'rate' | 'doing' | 'held'> {
    const held = this.#held();
    const first = this.machines[0] ?? '';
    if (held?.why === 'paused')
      return {
        rate: null,
        held,
        doing: index === 0 ? 'Paused' : `Waiting for ${first}, which is paused`,
      };
    if (held)
      return {
        rate: null,
        held,
        doing:
          index === 0
            ? `Waiting until ${held.opens}, the machine's time`
            : `Waiting for ${first}, which waits until ${held.opens}`,
      };
    const line = Math.min(112_400_000, this.download?.bytes_per_second ?? Infinity);
    return { rate: line * (index === 0 ? 1 : 0.93), held: null, doing: 'Downloading' };
  }

  detail(): RunDetail {
    return {
      summary: { ...this.summary },
      plan: this.plan,
      events: [...this.events],
      progress: [...this.progress].map(([step, parts]) => ({ step, progress: { parts } })),
      download: this.download,
    };
  }

  watch(afterSeq: number, listen: (signal: RunSignal) => void): void {
    for (const event of this.events) if (event.seq > afterSeq) listen({ signal: 'event', event });
    for (const [step, parts] of this.progress)
      listen({ signal: 'progress', step, progress: { parts } });
    this.#listeners.add(listen);
  }

  cancel(): void {
    this.#cancelling = true;
    this.#record(null, { kind: 'cancel-requested' });
  }

  /** Whether a step needs nothing more. */
  #done(step: string): boolean {
    const last = this.events.filter((e) => e.step === step).at(-1)?.event.kind;
    return last === 'verified' || last === 'already-done';
  }

  /** Goes through the steps that are left. With `until` it stops there, at a share of that step, and stays live. */
  async play(until?: { step: string; share: number }): Promise<void> {
    if (this.#playing) return;
    this.#playing = true;
    this.summary = { ...this.summary, live: true, outcome: null, finished_at: null };
    for (const { id } of this.plan.steps) {
      if (this.#done(id)) continue;
      if (this.failsAt?.step === id) {
        this.#record(id, { kind: 'failed', problem: this.failsAt.problem });
        this.failsAt = null;
        return this.#finish('failed');
      }
      if (this.events.filter((e) => e.step === id).at(-1)?.event.kind !== 'applying')
        this.#record(id, { kind: 'applying', before: '{}' });
      const score = SCORE[id] ?? { ticks: 5, says: 'Done.' };
      const from = this.#from(id, score);
      const stop = until?.step === id ? Math.round(score.ticks * until.share) : score.ticks;
      for (let tick = from; tick <= stop; tick += 1) {
        // Up to `until` the past is made at once; from there it goes on in real time.
        if (!until) await wait(this.tickMs);
        while (!until && id === DOWNLOADS && this.#held() && !this.#cancelling)
          await wait(this.tickMs + 1);
        if (this.#cancelling) {
          this.#record(id, { kind: 'stopped' });
          this.#cancelling = false;
          return this.#finish('cancelled');
        }
        this.#advance(id, score, tick);
      }
      if (until?.step === id) {
        this.#playing = false;
        return;
      }
      this.#record(id, { kind: 'applied', receipt: '{}' });
      this.#record(id, { kind: 'verified', seen: score.says });
    }
    this.#finish('completed');
  }

  /** Resumes or begins anew after an end. */
  resume(): void {
    this.#record(null, { kind: 'resumed' });
    void this.play();
  }

  async undo(): Promise<void> {
    this.#record(null, { kind: 'resumed' });
    this.summary = { ...this.summary, live: true, outcome: null };
    for (const step of [...this.plan.steps].reverse()) {
      const last = this.events.filter((e) => e.step === step.id).at(-1);
      if (!last || last.event.kind === 'undone') continue;
      this.#record(step.id, { kind: 'undoing' });
      await wait(this.tickMs * 3);
      this.#record(step.id, { kind: 'undone', did: 'As it was before.' });
    }
    this.#finish('undone');
  }

  #from(id: string, score: Score): number {
    const part = this.progress.get(id)?.[0];
    return part?.total ? Math.floor((part.done / part.total) * score.ticks) : 0;
  }

  #advance(step: string, score: Score, tick: number): void {
    const share = Math.min(1, tick / score.ticks);
    if (score.unit && score.total) {
      const parts = this.machines.map((machine, i) => ({
        ...this.#part(machine, i, score, share),
        ...(step === DOWNLOADS ? this.#pace(i) : {}),
      }));
      this.progress.set(step, parts);
      this.#tell({ signal: 'progress', step, progress: { parts } });
    }
    const lines = score.logs ?? [];
    const due = Math.ceil(lines.length * share);
    const said = this.logs.get(step) ?? [];
    for (const line of lines.slice(said.length, due)) {
      const machine = this.machines[0] ?? null;
      said.push(`${machine}: ${line}`);
      this.#tell({ signal: 'log', step, machine, line });
    }
    this.logs.set(step, said);
  }

  #part(machine: string, index: number, score: Score, share: number): ProgressPart {
    const total = score.total ?? 1;
    const own = Math.min(1, share * (index === 0 ? 1 : 0.93) + (share === 1 ? 0.07 : 0));
    return {
      machine,
      done: Math.round(total * own),
      total,
      unit: score.unit ?? '',
      rate:
        score.unit === 'bytes'
          ? 112_400_000 * (index === 0 ? 1 : 0.93)
          : score.unit === 'shards'
            ? 0.11
            : null,
      doing: score.doing ?? '',
    };
  }

  #record(step: string | null, event: Event): void {
    const entry: RunEvent = { seq: this.events.length + 1, at: Date.now(), step, event };
    this.events.push(entry);
    this.#tell({ signal: 'event', event: entry });
  }

  #finish(outcome: RunOutcome): void {
    this.#playing = false;
    this.summary = { ...this.summary, live: false, outcome, finished_at: Date.now() };
    this.ended(this);
    this.#record(null, { kind: 'finished', outcome });
  }

  #tell(signal: RunSignal): void {
    for (const listen of this.#listeners) listen(signal);
  }
}

export function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
