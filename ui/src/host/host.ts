// Every question the window may ask, and nothing about who answers.
//
// The interface is derived from the generated commands, so a new command appears here by itself and both
// answerers (the app in tauri.ts, the believable one in fake.ts) stop compiling until they know it.
// Where a command takes a Channel, the window hands over a plain function instead.

import type { Channel } from '@tauri-apps/api/core';

import type { commands, Problem } from '../bindings';

type Commands = typeof commands;
type Heard<A> = A extends Channel<infer T> ? (heard: T) => void : A;
type Asked<P extends unknown[]> = { [I in keyof P]: Heard<P[I]> };

/** Who answers the window. Every promise rejects with a `Problem` and with nothing else. */
export type Host = {
  [K in keyof Commands]: (...args: Asked<Parameters<Commands[K]>>) => ReturnType<Commands[K]>;
};

/** Whether something caught is a `Problem`. */
export function isProblem(thrown: unknown): thrown is Problem {
  return (
    typeof thrown === 'object' &&
    thrown !== null &&
    'code' in thrown &&
    'message' in thrown &&
    'details' in thrown
  );
}

/** What was caught, as a `Problem`; anything else is a fault of ours and says so. */
export function asProblem(thrown: unknown): Problem {
  if (isProblem(thrown)) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return {
    code: 'broken',
    severity: 'broken',
    message: 'Tandem did not understand itself.',
    cause: text,
    fix: {
      sentence: 'Close Tandem and open it again. Nothing on the machines is lost.',
      command: null,
    },
    retry: 'no',
    machine: null,
    details: thrown instanceof Error && thrown.stack ? thrown.stack.split('\n').slice(0, 6) : [],
  };
}
