// How a conversation grows: the fold of what the host says while an answer comes.
// Pure, so that every order of events, also those that should not happen, is tested without a window.

import type {
  CallPiece,
  ChatAsk,
  ChatEvent,
  Controls,
  ConversationPage,
  Message,
  Problem,
  ToolCall,
} from '../bindings';

/** What was asked and how, kept until its answer is there, so that it can be asked again. */
export interface Asked {
  ask: ChatAsk;
  controls: Controls;
}

/** An answer that is coming. */
export interface Live {
  asked: Asked;
  /** What Stop names. Empty until the host has said it. */
  answer: string;
  text: string;
  reasoning: string;
  calls: ToolCall[];
  /** When it was asked, ms since 1970. */
  since: number;
  /** When the first word of reasoning or text came. */
  firstAt: number | null;
  /** When the first word of the text itself came. */
  textAt: number | null;
}

/** An answer that did not come, or not to its end. */
export interface Failure {
  asked: Asked;
  problem: Problem;
}

export interface Thread {
  /** What is shown, in order. A question on its way is among them under the id `pending`. */
  messages: Message[];
  /** Whether others stand before them. */
  earlier: boolean;
  live: Live | null;
  /** An answer that another window asked for and that is still coming. */
  elsewhere: string | null;
  failure: Failure | null;
}

/** The id of a question that the host has not kept yet. */
export const PENDING = 'pending';

export const emptyThread: Thread = {
  messages: [],
  earlier: false,
  live: null,
  elsewhere: null,
  failure: null,
};

/** What an answer is doing right now. */
export type Phase = 'waiting' | 'thinking' | 'answering';

export function phaseOf(live: Live): Phase {
  if (live.text !== '' || live.calls.length > 0) return 'answering';
  return live.reasoning !== '' ? 'thinking' : 'waiting';
}

/** It is asked: that is shown at once, before the host has kept it. */
export function ask(thread: Thread, asked: Asked, at: number): Thread {
  const messages = thread.messages.filter((message) => message.id !== PENDING);
  const { shown, begun } = whatStays(messages, asked.ask, at);
  return {
    ...thread,
    messages: shown,
    live: {
      asked,
      answer: '',
      text: begun?.text ?? '',
      reasoning: begun?.reasoning ?? '',
      calls: begun?.calls ?? [],
      since: at,
      firstAt: null,
      textAt: null,
    },
    failure: null,
  };
}

// The messages that stay while the answer is awaited, and the answer that goes on.
function whatStays(
  messages: Message[],
  asked: ChatAsk,
  at: number,
): { shown: Message[]; begun?: Message } {
  if (asked.kind === 'question') return { shown: [...messages, pending(asked, at)] };
  const index = messages.findIndex((message) => message.id === asked.message);
  const named = messages[index];
  if (named === undefined) return { shown: messages };
  if (asked.kind === 'edited')
    return { shown: [...messages.slice(0, index), pending(asked, at, named)] };
  if (asked.kind === 'continued') return { shown: messages.slice(0, index), begun: named };
  return { shown: messages.slice(0, named.role === 'user' ? index + 1 : index) };
}

function pending(asked: { text: string; images: string[] }, at: number, before?: Message): Message {
  return {
    id: PENDING,
    role: 'user',
    text: asked.text,
    reasoning: '',
    images: asked.images,
    calls: [],
    at,
    stats: null,
    stopped: false,
    parent: before?.parent ?? null,
    versions: [...(before?.versions ?? []), PENDING],
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
        live: {
          ...live,
          answer: event.answer.id,
          text: event.answer.text,
          reasoning: event.answer.reasoning,
          calls: event.answer.calls,
        },
      };
    case 'words':
      return {
        ...thread,
        live: {
          ...live,
          text: live.text + event.content,
          reasoning: live.reasoning + event.reasoning,
          calls: event.calls.reduce(withPiece, live.calls),
          firstAt: live.firstAt ?? (isSilent(event) ? null : at),
          textAt: live.textAt ?? (event.content === '' && event.calls.length === 0 ? null : at),
        },
      };
    case 'ended':
      return {
        ...thread,
        messages: upsert(thread.messages, event.message),
        live: null,
        failure: null,
      };
    case 'failed':
      return {
        ...thread,
        messages: event.message === null ? thread.messages : upsert(thread.messages, event.message),
        live: null,
        failure: { asked: live.asked, problem: event.problem },
      };
  }
}

function isSilent({ content, reasoning, calls }: Extract<ChatEvent, { kind: 'words' }>): boolean {
  return content === '' && reasoning === '' && calls.length === 0;
}

/** Adds a piece to its call. */
function withPiece(calls: ToolCall[], piece: CallPiece): ToolCall[] {
  const all = Array.from(
    { length: Math.max(calls.length, piece.index + 1) },
    (_, i) => calls[i] ?? { name: '', arguments: '' },
  );
  const call = all[piece.index] ?? { name: '', arguments: '' };
  return all.with(piece.index, {
    name: call.name + piece.name,
    arguments: call.arguments + piece.arguments,
  });
}

/** The host refused it as a whole, so nothing of it was kept. What was typed stays in view. */
export function refuse(thread: Thread, problem: Problem): Thread {
  const { live } = thread;
  if (live === null) return thread;
  return { ...thread, live: null, failure: { asked: live.asked, problem } };
}

/** The last messages as the host has them take the place of what the window knew of them. */
export function reread(thread: Thread, page: ConversationPage): Thread {
  if (thread.live !== null) return thread;
  const [first] = page.messages;
  const known = thread.messages.findIndex((message) => message.id === first?.id);
  // A question that was refused is kept by nobody else.
  const refused = thread.failure ? thread.messages.filter(({ id }) => id === PENDING) : [];
  const before = known < 0 ? [] : thread.messages.slice(0, known);
  return {
    ...thread,
    messages: [...before, ...page.messages, ...refused],
    earlier: before.length > 0 ? thread.earlier : page.earlier,
    elsewhere: page.answering,
  };
}

/** Messages from before take their place. */
export function withEarlier(thread: Thread, page: ConversationPage): Thread {
  const known = new Set(thread.messages.map((message) => message.id));
  const before = page.messages.filter((message) => !known.has(message.id));
  return { ...thread, messages: [...before, ...thread.messages], earlier: page.earlier };
}

/** How many messages stay in the window when one asks on. */
const STAY = 80;

/** Without the oldest messages, which are read again when one scrolls to them. */
export function trimmed(thread: Thread): Thread {
  if (thread.messages.length <= STAY) return thread;
  return { ...thread, messages: thread.messages.slice(-STAY), earlier: true };
}

/**
 * What is to be asked where the last question has no answer: after a failure, or because Tandem was closed while it
 * waited. `null` while an answer is coming and when all is answered.
 */
export function unanswered(thread: Thread): ChatAsk | null {
  if (thread.live !== null || thread.elsewhere !== null) return null;
  const last = thread.messages.at(-1);
  // What the host has kept is not asked a second time.
  if (last !== undefined && last.id !== PENDING && (thread.failure || last.role === 'user'))
    return { kind: 'again', message: last.id };
  return thread.failure?.asked.ask ?? null;
}

// The kept question takes the place of the one shown in advance, and nothing is shown after it.
function keepQuestion(messages: Message[], question: Message): Message[] {
  const others = messages.filter((message) => message.id !== PENDING);
  const index = others.findIndex((message) => message.id === question.id);
  return [...(index < 0 ? others : others.slice(0, index)), question];
}

function upsert(messages: Message[], message: Message): Message[] {
  const index = messages.findIndex((other) => other.id === message.id);
  return index < 0 ? [...messages, message] : messages.with(index, message);
}
