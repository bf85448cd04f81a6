// How each problem is presented. The words come from Rust, next to the facts; here is only what the window
// offers to do about it. A code without an entry does not compile.

import type { Code, Problem } from '../bindings';
import type { IconName } from '../kit/icons';

/** What the window itself can offer for a problem, besides its fix in words. */
export type Offer =
  | 'none'
  /** Type the machine's password right there. */
  | 'password'
  /** Go to Machines. */
  | 'machines'
  /** Go to Settings, where the Hub's token and address are. */
  | 'settings'
  /** Go to the choices of the plan. */
  | 'choices'
  /** Go to Set-up. */
  | 'setup';

export type Presentation = { offer: Offer };

const words: Presentation = { offer: 'none' };
const machines: Presentation = { offer: 'machines' };
const settings: Presentation = { offer: 'settings' };
const choices: Presentation = { offer: 'choices' };
const password: Presentation = { offer: 'password' };
const setup: Presentation = { offer: 'setup' };

export const PRESENTATION: Record<Code, Presentation> = {
  'wrong-password': password,
  'key-refused': password,
  'host-key-changed': machines,
  'host-key-unknown': machines,
  unreachable: machines,
  'not-ssh': machines,
  'connection-lost': words,
  'timed-out': words,
  'too-large': words,
  'login-shell': words,
  'password-expired': password,
  'same-machine-twice': machines,
  'sudo-refused': words,
  'sudo-password-needed': password,
  'machine-unfit': machines,
  'docker-denied': words,
  'docker-not-running': words,
  'docker-missing': words,
  'image-pull': choices,
  'image-differs': words,
  'disk-too-small': words,
  'disk-full': words,
  'hub-token': settings,
  'hub-gated': settings,
  'repository-missing': choices,
  'revision-missing': choices,
  'hub-unreachable': settings,
  'hub-busy': words,
  'hash-mismatch': words,
  'checkpoint-incomplete': words,
  'graft-unknown-shape': words,
  'results-differ': words,
  'node-program': words,
  'job-lost': words,
  'network-plan': choices,
  'netplan-refused': words,
  'link-fails': machines,
  'port-taken': choices,
  'container-foreign': words,
  'server-died': words,
  'server-not-ready': words,
  'server-answer': words,
  'memory-short': words,
  'mtp-missing': choices,
  locked: words,
  'plan-stale': setup,
  'journal-write': words,
  'bad-input': words,
  'bad-image': words,
  keyring: words,
  'nothing-served': setup,
  'file-access': words,
  broken: words,
};

/** The drawing and the word for how much a problem matters, so that colour is never alone. */
export function mark(problem: Problem): { icon: IconName; word: string } {
  switch (problem.severity) {
    case 'notice':
      return { icon: 'info', word: 'Notice' };
    case 'warning':
      return { icon: 'alert', word: 'Warning' };
    case 'error':
      return { icon: 'alert', word: 'Problem' };
    case 'broken':
      return { icon: 'broken', word: 'A fault of Tandem' };
  }
}

/** Whose words follow, where they are a machine's. */
export function says(problem: Problem): string {
  return `${problem.machine ?? 'The machine'} says:`;
}

/** The problem as text, for a forum post. */
export function asText(problem: Problem): string {
  const where = problem.machine && !problem.told ? ` (${problem.machine})` : '';
  const whose = problem.told ? `${says(problem)} ` : '';
  const lines = [`${whose}${problem.message}${where} [${problem.code}]`];
  if (problem.cause) lines.push(problem.cause);
  if (problem.fix) lines.push(`Fix: ${problem.fix.sentence}`);
  if (problem.fix?.command) lines.push(`  ${problem.fix.command}`);
  return [...lines, ...problem.details.map((line) => `- ${line}`)].join('\n');
}
