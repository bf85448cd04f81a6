// How a conversation grows: the fold of what the host says while an answer comes.
// Pure, so that every order of events, also those that should not happen, is tested without a window.

import type { ChatEvent, Message, Problem } from '../bindings';

/** A question on its way, kept until its answer is there, so that it can be sent again. */
export interface Question {
  text: string;
  images: string[];
  thinking: boolean;
}

/** An answer that is coming. */
export interface Live {
  question: Question;
  /** What Stop names. Empty until the host has said it. */
  answer: string;
  text: string;
  reasoning: string;
  /** When the question was sent, ms since 1970. */
  since: number;
  /** When the first word of reasoning or text came. */
  firstAt: number | null;
  /** When the first word of the text itself came. */
  textAt: number | null;
}

/** An answer that did not come, or not to its end. */
export interface Failure {
  question: Question;
  problem: Problem;
}

export interface Thread {
  /** What was said, in order. A question on its way is among them under the id `pending`. */
  messages: Message[];
  live: Live | null;
  failure: Failure | null;
}

/** The id of a question that the host has not kept yet. */
export const PENDING = 'pending';

export const emptyThread: Thread = { messages: [], live: null, failure: null };

/** What an answer is doing right now. */
export type Phase = 'waiting' | 'thinking' | 'answering';

export function phaseOf(live: Live): Phase {
  if (live.text !== '') return 'answering';
  return live.reasoning !== '' ? 'thinking' : 'waiting';
}

/** The question is sent: it is shown at once, before the host has kept it. */
export function ask(thread: Thread, question: Question, at: number): Thread {
  const shown: Message = {
    id: PENDING,
    role: 'user',
    text: question.text,
    reasoning: '',
    images: question.images,
    at,
    stats: null,
    stopped: false,
  };
  return {
    messages: [...thread.messages.filter((message) => message.id !== PENDING), shown],
    live: { question, answer: '', text: '', reasoning: '', since: at, firstAt: null, textAt: null },
    failure: null,
  };
}

/** What the host says changes the thread. Words for an answer that is over change nothing. */
export function fold(thread: Thread, event: ChatEvent, at: number): Thread {
  const { live } = thread;
  if (live === null) return thread;
  switch (event.kind) {
    case 'began':
      return {
        ...thread,
        messages: keepQuestion(thread.messages, event.question),
        live: { ...live, answer: event.answer },
      };
    case 'words':
      return {
        ...thread,
        live: {
          ...live,
          text: live.text + event.content,
          reasoning: live.reasoning + event.reasoning,
          firstAt: live.firstAt ?? (event.content + event.reasoning === '' ? null : at),
          textAt: live.textAt ?? (event.content === '' ? null : at),
        },
      };
    case 'ended':
      return { messages: upsert(thread.messages, event.message), live: null, failure: null };
    case 'failed':
      return {
        messages: event.message === null ? thread.messages : upsert(thread.messages, event.message),
        live: null,
        failure: { question: live.question, problem: event.problem },
      };
  }
}

/** The host refused the question as a whole, so nothing of it was kept. What was typed stays in view. */
export function refuse(thread: Thread, problem: Problem): Thread {
  const { live } = thread;
  if (live === null) return thread;
  return { ...thread, live: null, failure: { question: live.question, problem } };
}

/**
 * The question that still has no answer: after a failure, or because Tandem was closed while it waited.
 * `null` while an answer is coming and when all is answered.
 */
export function unanswered(thread: Thread): Question | null {
  if (thread.live !== null) return null;
  if (thread.failure !== null) return thread.failure.question;
  const last = thread.messages.at(-1);
  // An answer without figures that nobody stopped was cut off.
  const cut = last?.role === 'assistant' && last.stats === null && !last.stopped;
  const question = cut ? thread.messages.at(-2) : last;
  if (question?.role !== 'user') return null;
  return { text: question.text, images: question.images, thinking: true };
}

// The kept question takes the place of the one shown in advance. A host that recognises a repeated
// question answers with the id it had before; then it must not stand there twice.
function keepQuestion(messages: Message[], question: Message): Message[] {
  const others = messages.filter((message) => message.id !== PENDING && message.id !== question.id);
  return [...others, question];
}

function upsert(messages: Message[], message: Message): Message[] {
  const index = messages.findIndex((other) => other.id === message.id);
  return index < 0 ? [...messages, message] : messages.with(index, message);
}
