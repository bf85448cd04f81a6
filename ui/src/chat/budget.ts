// What the next request takes of the window, in words.

import type { Budget } from '../bindings';
import { number } from '../kit/format';

/** `1,234 of 262,144 tokens`. */
export function budgetLine({ prompt, window, counted }: Budget): string {
  return `${counted ? '' : 'about '}${number(prompt)} of ${number(window)} tokens`;
}

/** What the line leaves out: room for the answer, who counted. */
export function budgetMore({ answer, counted }: Budget): string {
  const room = `The answer may have ${number(answer)} tokens.`;
  return counted ? room : `${room} The server does not count tokens, so Tandem estimates them.`;
}

/** What the person should know before it is sent; `null` where all of it fits. */
export function budgetNotice({ answer, left_out, prompt, window }: Budget): string | null {
  if (answer === 0)
    return `This takes ${number(prompt)} tokens and the model has ${number(window)}. Shorten it or leave images out.`;
  if (left_out === 0) return null;
  const what = left_out === 1 ? 'The first message' : `The first ${number(left_out)} messages`;
  return `${what} of this conversation will not be sent: the model’s window is full.`;
}
