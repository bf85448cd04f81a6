// A problem for a test to show. What the app itself says stands in the recordings.

import type { Code, Problem } from '../bindings';

export function problem(code: Code, message: string, more: Partial<Problem> = {}): Problem {
  return {
    code,
    severity: 'error',
    message,
    cause: null,
    fix: null,
    retry: 'no',
    machine: null,
    details: [],
    ...more,
  };
}
