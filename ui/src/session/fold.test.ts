import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Event, Problem, RunEvent, RunOutcome } from '../bindings';
import { problem } from '../test/problem';
import { EMPTY, fold, isDone, isOurs, nextStatus, type Status } from './fold';

const why = problem('disk-too-small', 'The weights were not downloaded.');
const E = {
  applying: { kind: 'applying', before: '{}' },
  applied: { kind: 'applied', receipt: '{}' },
  verified: { kind: 'verified', seen: 'Seen.' },
  already: { kind: 'already-done', found: 'Found.', receipt: '{}' },
  failed: { kind: 'failed', problem: why },
  stopped: { kind: 'stopped' },
  undoing: { kind: 'undoing' },
  undone: { kind: 'undone', did: 'As before.' },
  undoFailed: { kind: 'undo-failed', problem: why },
  cancel: { kind: 'cancel-requested' },
  resumed: { kind: 'resumed' },
  unknown: { kind: 'unknown' },
} satisfies Record<string, Event>;

function history(...happened: [string | null, Event][]): RunEvent[] {
  return happened.map(([step, event], i) => ({ seq: i + 1, at: 1000 * (i + 1), step, event }));
}

describe('the table of legal moves', () => {
  it('goes from nothing to done', () => {
    const state = fold(history(['a', E.applying], ['a', E.applied], ['a', E.verified]));
    expect(state.steps.a).toMatchObject({
      status: 'verified',
      said: 'Seen.',
      began: 1000,
      ended: 3000,
    });
    expect(state.last_seq).toBe(3);
  });

  it.each<[Status, Event]>([
    ['waiting', E.applied],
    ['waiting', E.verified],
    ['waiting', E.undoing],
    ['already-done', E.undoing],
    ['applying', E.already],
    ['applying', E.undone],
    ['undone', E.undoing],
    ['undoing', E.applying],
    ['stuck', E.applying],
    ['waiting', E.cancel],
    ['waiting', E.resumed],
  ])('refuses from %s the event %o', (status, event) => {
    expect(nextStatus(status, event)).toBeNull();
  });

  it('leaves a step waiting whose check did not succeed, with its problem', () => {
    const state = fold(history(['a', E.failed]));
    expect(state.steps.a).toMatchObject({ status: 'waiting', problem: why });
  });

  it('takes a step that was begun as under way after an illegal move, and remembers the move', () => {
    const torn = fold(
      history(['a', E.applying], ['a', E.undoing], ['a', E.undone], ['a', E.applied]),
    );
    expect(torn.steps.a?.status).toBe('applying');
    expect(torn.odd).toEqual([4]);
    const never = fold(history(['a', E.undoing]));
    expect(never.steps.a?.status).toBe('waiting');
    expect(never.odd).toEqual([1]);
  });

  it('ignores what a later version wrote', () => {
    expect(fold(history(['a', E.applying], ['a', E.unknown])).steps.a?.status).toBe('applying');
  });

  it('forgets a problem when it is tried again, and keeps it through a stop', () => {
    const failed = history(['a', E.applying], ['a', E.failed], ['a', E.stopped]);
    expect(fold(failed).steps.a?.problem).toEqual(why);
    expect(fold([...failed, ...history(['a', E.applying])]).steps.a?.problem).toBeNull();
  });

  it('marks what could not be taken back, and takes undo up again', () => {
    const stuck = history(['a', E.applying], ['a', E.undoing], ['a', E.undoFailed]);
    expect(fold(stuck).steps.a?.status).toBe('stuck');
    expect(nextStatus('stuck', E.undoing)).toBe('undoing');
  });

  it('knows a run by its own events', () => {
    const finished = (outcome: RunOutcome): Event => ({ kind: 'finished', outcome });
    const cancelled = history([null, E.cancel], ['a', E.stopped], [null, finished('cancelled')]);
    expect(fold(cancelled.slice(0, 1)).cancelling).toBe(true);
    expect(fold(cancelled)).toMatchObject({ outcome: 'cancelled', cancelling: false });
    expect(fold([...cancelled, ...history([null, E.resumed])]).outcome).toBeNull();
  });

  it('folds an empty history to nothing', () => {
    expect(fold([])).toEqual(EMPTY);
  });

  it('builds on what is done and takes back what is ours', () => {
    expect(isDone('verified') && isDone('already-done') && !isDone('applied')).toBe(true);
    expect(isOurs('failed') && !isOurs('already-done') && !isOurs('undone')).toBe(true);
  });
});

type Fixture = {
  events: RunEvent[];
  expected: {
    steps: Record<string, { status: Status; said: string | null; problem: Problem | null }>;
    outcome: RunOutcome | null;
    last_seq: number;
    odd: number[];
  };
};

// The engine writes this file and asserts the same end.
const shared = resolve(import.meta.dirname, '../../../tests/fixtures/run_events.json');
describe('the history that the engine wrote', () => {
  it('folds to what the engine folds it to', () => {
    const { events, expected } = JSON.parse(readFileSync(shared, 'utf8')) as Fixture;
    expect(events.length).toBeGreaterThan(0);
    const state = fold(events);
    for (const [id, step] of Object.entries(expected.steps)) {
      const { status, said, problem: found } = state.steps[id] ?? {};
      expect({ status, said, problem: found }, id).toEqual({
        status: step.status,
        said: step.said ?? null,
        problem: step.problem ?? null,
      });
    }
    expect(Object.keys(state.steps).sort()).toEqual(Object.keys(expected.steps).sort());
    expect(state.outcome).toBe(expected.outcome);
    expect(state.last_seq).toBe(expected.last_seq);
    expect(state.odd).toEqual(expected.odd);
  });
});
