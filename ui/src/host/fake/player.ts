// Plays a run as it was recorded: the time is now, and it can be held, cancelled, resumed and undone.

import type {
  Event,
  FetchLimits,
  Plan,
  Problem,
  ProgressPart,
  RunDetail,
  RunEvent,
  RunOutcome,
  RunSignal,
  RunSummary,
} from '../../bindings';
import { RECORDED, type RecordedRun } from './recorded';

/** The step whose download can be held back. */
const DOWNLOADS = 'weights';

const of = (signal: RunSignal): string | null => {
  if (signal.signal === 'stopped') return null;
  return signal.signal === 'event' ? signal.event.step : signal.step;
};

/** One run of the fake host. */
export class FakeRun {
  summary: RunSummary;
  events: RunEvent[] = [];
  progress = new Map<string, ProgressPart[]>();
  logs = new Map<string, string[]>();
  readonly plan: Plan;
  /** What its download is held to. */
  download: FetchLimits | null;
  /** Where it fails though the recorded one did not. */
  failsAt: { step: string; problem: Problem } | null = null;
  #listeners = new Set<(signal: RunSignal) => void>();
  #cancelling = false;
  #playing = false;
  /** How far the download is, without its limits. */
  #unheld: ProgressPart[] = [];
  /** What is left where it stands still. */
  #rest: RunSignal[] | null = null;

  constructor(
    summary: Partial<RunSummary>,
    readonly recorded: RecordedRun,
    readonly tickMs: number,
    /** Called when it ends. */
    readonly ended: (run: FakeRun) => void,
  ) {
    this.plan = recorded.plan;
    // It was recorded slowly, to be seen to come; as proposed nothing holds it.
    this.download = recorded.download && (RECORDED.plans.pair.request.download ?? null);
    const begun = { started_at: Date.now(), finished_at: null, outcome: null, live: true };
    this.summary = { ...recorded.summary, ...begun, ...summary };
  }

  detail(): RunDetail {
    const progress = [...this.progress].map(([step, parts]) => ({ step, progress: { parts } }));
    const { plan, download } = this;
    return { summary: { ...this.summary }, plan, events: [...this.events], progress, download };
  }

  watch(afterSeq: number, listen: (signal: RunSignal) => void): void {
    for (const event of this.events) if (event.seq > afterSeq) listen({ signal: 'event', event });
    for (const [step, parts] of this.progress)
      listen({ signal: 'progress', step, progress: { parts } });
    this.#listeners.add(listen);
  }

  /** Plays what is left. With `until` it comes to a share of that step, or to the end, at once, and stays live. */
  async play(until?: { step: string; share: number }): Promise<void> {
    if (this.#playing) return;
    this.#playing = true;
    this.summary = { ...this.summary, live: true, outcome: null, finished_at: null };
    const left = this.#rest ?? this.#left();
    this.#rest = null;
    const stand = until && left.filter((s) => of(s) === until.step).length * until.share;
    let passed = 0;
    for (const [at, signal] of left.entries()) {
      const step = of(signal);
      if (stand !== undefined && step === until?.step && (passed += 1) > stand) {
        this.#rest = left.slice(at);
        this.#playing = false;
        return;
      }
      if (!until && signal.signal !== 'log') await this.#wait(step);
      if (this.#cancelling) {
        this.#cancelling = false;
        if (this.#current()) this.#record(this.#current(), { kind: 'stopped' });
        return this.#finish('cancelled');
      }
      if (step !== null && this.failsAt?.step === step) {
        const { problem } = this.failsAt;
        this.failsAt = null;
        this.#record(step, { kind: 'failed', problem });
        return this.#finish('failed');
      }
      if (signal.signal === 'event' && signal.event.event.kind === 'finished')
        return this.#finish(signal.event.event.outcome);
      this.#pass(signal);
    }
    this.#playing = false;
  }

  cancel(): void {
    this.#cancelling = true;
    this.#record(null, { kind: 'cancel-requested' });
  }

  resume(): void {
    this.#rest = null;
    this.#record(null, { kind: 'resumed' });
    void this.play();
  }

  /** Takes back what was begun, as the recorded undoing did. */
  async undo(): Promise<void> {
    this.#record(null, { kind: 'resumed' });
    this.summary = { ...this.summary, live: true, outcome: null };
    const begun = new Set(this.events.map((e) => e.step));
    for (const signal of RECORDED.undone.signals) {
      const step = of(signal);
      if (step === null || !begun.has(step) || this.#last(step) === 'undone') continue;
      await wait(this.tickMs);
      this.#pass(signal);
    }
    this.#finish('undone');
  }

  /** Holds its download to other limits from the next step forward on. */
  hold(limits: FetchLimits): void {
    this.download = limits;
    if (this.#unheld.length === 0 || this.#done(DOWNLOADS)) return;
    this.#pass({ signal: 'progress', step: DOWNLOADS, progress: { parts: this.#unheld } });
  }

  /** What is left after the steps that are done; a step that was broken off begins anew, and goes well then. */
  #left(): RunSignal[] {
    const again = this.events.length > 0 && this.recorded === RECORDED.failed;
    return (again ? RECORDED.setup : this.recorded).signals.filter((s) => {
      const step = of(s);
      const finished = s.signal === 'event' && s.event.event.kind === 'finished';
      return step === null ? finished : !this.#done(step);
    });
  }

  #last(step: string): Event['kind'] | undefined {
    return this.events.findLast((e) => e.step === step)?.event.kind;
  }

  #done(step: string): boolean {
    return ['verified', 'already-done'].includes(this.#last(step) ?? '');
  }

  /** The step that was begun and is not at its end. */
  #current(): string | null {
    const begun = (id: string) => ['applying', 'applied'].includes(this.#last(id) ?? '');
    return this.plan.steps.findLast((s) => begun(s.id))?.id ?? null;
  }

  async #wait(step: string | null): Promise<void> {
    await wait(this.tickMs);
    while (step === DOWNLOADS && this.#held && !this.#cancelling) await wait(this.tickMs + 1);
  }

  /** What the download waits for by order. No clock runs here: its hours are always to come. */
  get #held(): 'paused' | 'until' | null {
    return this.download?.paused ? 'paused' : this.download?.hours ? 'until' : null;
  }

  #pass(signal: RunSignal): void {
    if (signal.signal === 'event') {
      const { step, event } = signal.event;
      // A step that was broken off is still at its beginning.
      const again = step !== null && event.kind === 'applying' && this.#last(step) === 'applying';
      return again ? undefined : this.#record(step, event);
    }
    if (signal.signal === 'log') {
      const line = signal.machine ? `${signal.machine}  ${signal.line}` : signal.line;
      this.logs.set(signal.step, [...(this.logs.get(signal.step) ?? []), line]);
      return this.#tell(signal);
    }
    if (signal.signal === 'stopped') return this.#tell(signal);
    const { step } = signal;
    let { parts } = signal.progress;
    if (step === DOWNLOADS) {
      this.#unheld = parts;
      const held = this.#held && RECORDED.setup.held[this.#held];
      parts = parts.map((part, i) => ({ ...part, ...held?.[i], done: part.done }));
    }
    this.progress.set(step, parts);
    this.#tell({ signal: 'progress', step, progress: { parts } });
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
