// One run as it is watched: its history folded, the latest progress, and the last lines of each log.

import { SvelteMap } from 'svelte/reactivity';

import type {
  FetchLimits,
  Plan,
  Problem,
  ProgressPart,
  RunSignal,
  RunSummary,
  StepPlan,
} from '../bindings';
import { asProblem, type Host } from '../host/host';
import {
  apply,
  EMPTY,
  fold,
  isDone,
  isOurs,
  type RunState,
  type StepState,
  UNTOUCHED,
} from './fold';
import { isPaused } from './paused';

/** How many lines of a log are kept in view; the rest is on disk. */
export const LOG_LINES = 400;

export class RunWatch {
  summary: RunSummary | null = $state.raw(null);
  plan: Plan | null = $state.raw(null);
  state: RunState = $state.raw(EMPTY);
  live = $state(false);
  /** Whether it came to its end while it was watched. */
  endedHere = $state(false);
  /** Somebody pressed Cancel here; the journal says so only when the step has come to its safe point. */
  cancelAsked = $state(false);
  /** Why the run could not be read or told something. */
  problem: Problem | null = $state.raw(null);
  /** What its download is held to; `null` of a run that downloads nothing. */
  download: FetchLimits | null = $state.raw(null);
  /** Whether the machines are being told to hold it otherwise. */
  holding = $state(false);
  /** Why they could not be told. */
  holdProblem: Problem | null = $state.raw(null);
  readonly progress = new SvelteMap<string, ProgressPart[]>();
  readonly logs = new SvelteMap<string, string[]>();

  readonly steps: { plan: StepPlan; state: StepState; place: Place }[] = $derived.by(() => {
    const active = this.#activeStep();
    return (this.plan?.steps ?? []).map((plan) => {
      const state = this.state.steps[plan.id] ?? UNTOUCHED;
      return { plan, state, place: placeOf(state, plan.id === active, this.live) };
    });
  });
  /** The step that goes on now, or where it stopped. */
  readonly current = $derived(
    this.steps.find((s) => s.place === 'active') ??
      this.steps.find((s) => s.place === 'stopped') ??
      null,
  );
  /** Whether all that is left of it waits by order. */
  readonly paused = $derived(
    this.live && this.current !== null && isPaused(this.progress.get(this.current.plan.id) ?? []),
  );
  readonly cancelling = $derived(this.live && (this.cancelAsked || this.state.cancelling));
  readonly undoing = $derived(this.live && this.steps.some((s) => s.state.status === 'undoing'));
  /** What undo would take back, in the order it would. */
  readonly undoable = $derived(this.steps.filter((s) => isOurs(s.state.status)).reverse());

  #generation = 0;

  constructor(
    readonly host: Host,
    readonly id: string,
    /** Called when it ends or is taken up again. */
    readonly changed: () => void = () => undefined,
  ) {}

  /** Reads the run, and listens if it goes on. */
  async open(): Promise<void> {
    try {
      const detail = await this.host.runDetail(this.id);
      this.summary = detail.summary;
      this.plan = detail.plan;
      this.state = fold(detail.events);
      this.live = detail.summary.live;
      this.download = detail.download ?? null;
      for (const row of detail.progress) this.progress.set(row.step, row.progress.parts);
      if (this.live) await this.#listen();
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  /** Goes on after a stop. */
  resume(): Promise<void> {
    return this.#tell(() => this.host.resumeRun(this.id));
  }

  /** Takes everything back. */
  undo(): Promise<void> {
    return this.#tell(() => this.host.undoRun(this.id));
  }

  /** Asks it to stop at its next safe point. */
  async cancel(): Promise<void> {
    this.cancelAsked = true;
    try {
      await this.host.cancelRun(this.id);
    } catch (thrown) {
      this.cancelAsked = false;
      this.problem = asProblem(thrown);
    }
  }

  /** Holds the download to other limits from now on; whether every machine was told. */
  async hold(limits: FetchLimits): Promise<boolean> {
    this.holding = true;
    this.holdProblem = null;
    try {
      await this.host.holdDownload(this.id, limits);
      this.download = limits;
      return true;
    } catch (thrown) {
      this.holdProblem = asProblem(thrown);
      // They are kept before a machine is told, so what is in force is what the run says.
      const detail = await this.host.runDetail(this.id).catch(() => null);
      if (detail) this.download = detail.download ?? null;
      return false;
    } finally {
      this.holding = false;
    }
  }

  /** Reads the log of a step from disk; lines that come later are added. */
  async readLog(step: string): Promise<void> {
    try {
      this.logs.set(step, (await this.host.stepLog(this.id, step)).slice(-LOG_LINES));
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  /** Stops listening. What is still sent is ignored. */
  close(): void {
    this.#generation += 1;
  }

  async #tell(ask: () => Promise<unknown>): Promise<void> {
    this.problem = null;
    try {
      await ask();
      this.cancelAsked = false;
      this.live = true;
      await this.#listen();
      this.changed();
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  async #listen(): Promise<void> {
    // A second watch replaces the first: each hears only its own generation.
    this.#generation += 1;
    const mine = this.#generation;
    await this.host.watchRun(this.id, this.state.last_seq, (signal) => {
      if (mine === this.#generation) this.#receive(signal);
    });
  }

  #receive(signal: RunSignal): void {
    switch (signal.signal) {
      case 'progress':
        this.progress.set(signal.step, signal.progress.parts);
        break;
      case 'log': {
        const line = signal.machine ? `${signal.machine}: ${signal.line}` : signal.line;
        const kept = this.logs.get(signal.step) ?? [];
        this.logs.set(signal.step, [...kept, line].slice(-LOG_LINES));
        break;
      }
      case 'stopped':
        this.problem = signal.problem;
        this.live = false;
        this.cancelAsked = false;
        this.changed();
        break;
      case 'event':
        this.#addEvent(signal.event);
    }
  }

  #addEvent(event: Extract<RunSignal, { signal: 'event' }>['event']): void {
    if (event.seq <= this.state.last_seq) return;
    if (event.seq > this.state.last_seq + 1) {
      // Something was missed: read it anew from disk.
      void this.open();
      return;
    }
    this.state = apply(this.state, event);
    if (event.event.kind === 'resumed') this.live = true;
    if (event.event.kind === 'finished') {
      this.live = false;
      this.endedHere = true;
      this.cancelAsked = false;
      if (this.summary)
        this.summary = {
          ...this.summary,
          live: false,
          outcome: event.event.outcome,
          finished_at: event.at,
        };
      this.changed();
    }
  }

  /** The step that is worked on: the one under way, else the first that is not done. */
  #activeStep(): string | null {
    if (!this.live) return null;
    const steps = this.plan?.steps ?? [];
    const status = (id: string) => (this.state.steps[id] ?? UNTOUCHED).status;
    const busy = steps.find((s) => ['applying', 'applied', 'undoing'].includes(status(s.id)));
    return busy?.id ?? steps.find((s) => !isDone(status(s.id)))?.id ?? null;
  }
}

/** How a step is drawn. */
export type Place = 'waiting' | 'active' | 'done' | 'stopped' | 'undone' | 'stuck';

function placeOf(state: StepState, active: boolean, live: boolean): Place {
  if (active) return 'active';
  if (isDone(state.status)) return 'done';
  if (state.status === 'undone') return 'undone';
  if (state.status === 'stuck') return 'stuck';
  if (!live && (state.problem !== null || isOurs(state.status))) return 'stopped';
  return 'waiting';
}
