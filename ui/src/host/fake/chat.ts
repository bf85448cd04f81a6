// Answers that stream as the recorded ones did.

import type { ChatEvent, Message } from '../../bindings';
import { wait } from './player';
import { RECORDED } from './recorded';

let count = 0;
const next = () => `message-${(count += 1)}`;

/** Streams a recorded answer into a conversation. The text `fail` makes it break off half-way. */
export async function answer(
  messages: Message[],
  text: string,
  images: string[],
  thinking: boolean,
  stopped: Set<string>,
  tell: (event: ChatEvent) => void,
): Promise<void> {
  const events = thinking ? RECORDED.chat.thinking : RECORDED.chat.brief;
  const words = events.filter((e) => e.kind === 'words');
  const [began] = events.filter((e) => e.kind === 'began');
  const [ended] = events.filter((e) => e.kind === 'ended');
  if (!began || !ended) throw new Error('a whole answer was recorded');
  const question = { ...began.question, id: next(), text, images, at: Date.now() };
  const whole = { ...ended.message, id: next(), at: Date.now() };
  const reply = { ...whole, text: '', reasoning: '', stats: null };
  messages.push(question);
  tell({ kind: 'began', question, answer: reply.id });
  for (const event of text === 'fail' ? words.slice(0, words.length / 2) : words) {
    if (stopped.has(reply.id)) break;
    await wait(30);
    reply.text += event.content;
    reply.reasoning += event.reasoning;
    tell(event);
  }
  reply.stopped = stopped.has(reply.id);
  const fails = text === 'fail' && !reply.stopped;
  const message = fails || reply.stopped ? reply : whole;
  messages.push(message);
  if (fails) tell({ kind: 'failed', problem: RECORDED.chat.broken, message });
  else tell({ kind: 'ended', message });
}
