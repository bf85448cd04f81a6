// What a run's events fold to, by the same table as `src-tauri/domain/src/run/state.rs`.
// One fixture, `tests/fixtures/run_events.json`, holds both to it.

import type { Event, Problem, RunEvent, RunOutcome } from '../bindings';

/** Where a step stands. */
export type Status =
  | 'waiting'
  | 'already-done'
  | 'applying'
  | 'applied'
  | 'verified'
  | 'failed'
  | 'undoing'
  | 'undone'
  | 'stuck';

/** One step, folded. */
export type StepState = {
  status: Status;
  /** The last failure, until it is tried again. */
  problem: Problem | null;
  /** The last sentence about it. */
  said: string | null;
  /** When its last act began and ended, for people only. */
  began: number | null;
  ended: number | null;
  /** Whether its act was ever begun. */
  begun: boolean;
};

/** A run, folded. */
export type RunState = {
  steps: Record<string, StepState>;
  outcome: RunOutcome | null;
  cancelling: boolean;
  last_seq: number;
  /** The numbers of the events that make no sense: two programs have written to its history. */
  odd: number[];
};

/** A step nothing has happened to. */
export const UNTOUCHED: StepState = {
  status: 'waiting',
  problem: null,
  said: null,
  began: null,
  ended: null,
  begun: false,
};

/** A run nothing has happened in. */
export const EMPTY: RunState = {
  steps: {},
  outcome: null,
  cancelling: false,
  last_seq: 0,
  odd: [],
};

const FRESH: readonly Status[] = ['waiting', 'already-done', 'undone'];
const TOUCHED: readonly Status[] = ['applying', 'applied', 'verified', 'failed'];

/** The one table of legal moves; `null` is an illegal one. */
export function nextStatus(status: Status, event: Event): Status | null {
  const from = (...legal: Status[]) => legal.includes(status);
  switch (event.kind) {
    case 'already-done':
      return from(...FRESH) ? 'already-done' : null;
    case 'applying':
      return from(...FRESH, ...TOUCHED) ? 'applying' : null;
    case 'applied':
      return from('applying') ? 'applied' : null;
    case 'verified':
      return from('applied', 'verified') ? 'verified' : null;
    case 'failed':
      if (from(...FRESH)) return 'waiting';
      return from(...TOUCHED) ? 'failed' : null;
    case 'stopped':
      return from(...FRESH, ...TOUCHED) ? status : null;
    case 'undoing':
      return from(...TOUCHED, 'undoing', 'stuck') ? 'undoing' : null;
    case 'undone':
      return from('undoing') ? 'undone' : null;
    case 'undo-failed':
      return from('undoing') ? 'stuck' : null;
    case 'unknown':
      return status;
    default:
      return null;
  }
}

/**
 * Takes one event in. After an illegal move nobody knows what its step left: it stands as under way if it was
 * ever begun, and as before if not.
 */
export function apply(state: RunState, event: RunEvent): RunState {
  let { steps, outcome, cancelling, odd } = state;
  if (event.step !== null) {
    const step = steps[event.step] ?? UNTOUCHED;
    const status = nextStatus(step.status, event.event);
    const next: StepState =
      status === null
        ? { ...step, status: step.begun ? 'applying' : step.status }
        : { ...step, ...said(step, event), status };
    if (status === null) odd = [...odd, event.seq];
    steps = { ...steps, [event.step]: next };
  }
  if (event.event.kind === 'cancel-requested') cancelling = true;
  if (event.event.kind === 'resumed') {
    outcome = null;
    cancelling = false;
  }
  if (event.event.kind === 'finished') {
    outcome = event.event.outcome;
    cancelling = false;
  }
  return { steps, outcome, cancelling, last_seq: event.seq, odd };
}

function said(step: StepState, { event, at }: RunEvent): Partial<StepState> {
  switch (event.kind) {
    case 'already-done':
      return { said: event.found, problem: null, ended: at };
    case 'applying':
      return { problem: null, began: at, ended: null, begun: true };
    case 'verified':
      // A resumed run looks again at what is done; that does not make the act longer.
      return { said: event.seen, problem: null, ended: step.ended ?? at };
    case 'failed':
    case 'undo-failed':
      return { problem: event.problem, ended: at };
    case 'undone':
      return { said: event.did, problem: null, began: null, ended: null };
    default:
      return {};
  }
}

/** Folds a history. */
export function fold(events: Iterable<RunEvent>): RunState {
  let state = EMPTY;
  for (const event of events) state = apply(state, event);
  return state;
}

/** Whether later steps may build on it. */
export function isDone(status: Status): boolean {
  return status === 'already-done' || status === 'verified';
}

/** Whether the step may have left something of ours. */
export function isOurs(status: Status): boolean {
  return !FRESH.includes(status);
}
