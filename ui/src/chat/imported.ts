// What an import brought, in words.

import type { ImportedChats } from '../bindings';
import { number } from '../kit/format';

const counted = (count: number, one: string): string =>
  `${number(count)} ${count === 1 ? one : `${one}s`}`;

/** `Imported 2 conversations with 31 messages.` */
export function importedWords({ conversations, messages, left_out }: ImportedChats): string {
  const says = `Imported ${counted(conversations, 'conversation')} with ${counted(messages, 'message')}.`;
  return left_out === 0
    ? says
    : `${says} Left out: ${left_out === 1 ? '1 image or file' : `${number(left_out)} images or files`}.`;
}
