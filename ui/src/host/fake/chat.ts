// Conversations of the fake host, and an answerer that streams.

import type { ChatEvent, ImageView, Message } from '../../bindings';
import { wait } from './player';
import { problem } from './problems';

const REASONING =
  'The picture shows a small building by the sea with a lamp at its top. That is a lighthouse. I should say what is in it and what the weather is like.';
const ANSWER =
  'It is a **lighthouse** on a rocky shore, with the sea behind it.\n\n- The tower is white, the lantern room dark.\n- The sky is clear, with one bank of cloud low over the water.\n\nThe lamp seems to be off, so it was probably taken by day.\n\n```python\nprint("visibility: good")\n```\n';

/** A picture that needs no file. */
export const PICTURE: ImageView = {
  id: 'image-1',
  mime: 'image/png',
  width: 320,
  height: 200,
  url:
    'data:image/svg+xml,' +
    encodeURIComponent(
      '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="200"><rect width="320" height="200" fill="#cfe0e8"/><rect y="140" width="320" height="60" fill="#5d8296"/><path d="M150 40h20l8 110h-36z" fill="#f6f3ec"/><path d="M148 28h24v14h-24z" fill="#2b2825"/><path d="M90 150q70-30 150 0z" fill="#4b463f"/></svg>',
    ),
};

let count = 0;

/** A message with little to say. */
export function message(role: Message['role'], text: string, more: Partial<Message> = {}): Message {
  count += 1;
  return {
    id: `message-${count}`,
    role,
    text,
    reasoning: '',
    images: [],
    at: Date.now(),
    stats: null,
    stopped: false,
    ...more,
  };
}

/** A conversation that has been had. */
export function had(): Message[] {
  return [
    message('user', 'What is in this picture?', { images: [PICTURE.id], at: Date.now() - 620_000 }),
    message('assistant', ANSWER, {
      reasoning: REASONING,
      at: Date.now() - 610_000,
      stats: {
        ttft_s: 0.62,
        tokens_per_s: 27.4,
        completion_tokens: 138,
        prompt_tokens: 412,
        finish: 'stop',
      },
    }),
  ];
}

/** Streams an answer into a conversation. The text `fail` makes it break off half-way. */
export async function answer(
  messages: Message[],
  question: Message,
  thinking: boolean,
  stopped: Set<string>,
  tell: (event: ChatEvent) => void,
): Promise<void> {
  const reply = message('assistant', '');
  messages.push(question);
  tell({ kind: 'began', question, answer: reply.id });
  const began = Date.now();
  const say = async (text: string, where: 'content' | 'reasoning') => {
    for (const word of text.split(/(?<=\s)/)) {
      if (stopped.has(reply.id)) return;
      await wait(30);
      if (where === 'content') reply.text += word;
      else reply.reasoning += word;
      tell({
        kind: 'words',
        content: where === 'content' ? word : '',
        reasoning: where === 'reasoning' ? word : '',
      });
    }
  };
  if (thinking) await say(REASONING, 'reasoning');
  await say(question.text === 'fail' ? ANSWER.slice(0, 60) : ANSWER, 'content');
  reply.stopped = stopped.has(reply.id);
  messages.push(reply);
  if (question.text === 'fail') {
    const why = problem('connection-lost', 'The answer broke off.', {
      cause: 'The connection to spark-5c2d ended after 11 words.',
      fix: { sentence: 'Ask again. What came is kept.', command: null },
      retry: 'now',
      machine: 'spark-5c2d',
    });
    tell({ kind: 'failed', problem: why, message: reply });
    return;
  }
  if (!reply.stopped)
    reply.stats = {
      ttft_s: 0.58,
      tokens_per_s: 27.6,
      completion_tokens: 131,
      prompt_tokens: 512,
      finish: 'stop',
    };
  reply.at = began;
  tell({ kind: 'ended', message: reply });
}
