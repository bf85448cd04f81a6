import { describe, expect, test } from 'vitest';
import type { CallPiece, ChatAsk, ChatEvent, Message, Problem } from '../bindings';
import { MODELS_OWN } from '../host/own';
import {
  ask,
  emptyThread,
  fold,
  PENDING,
  phaseOf,
  refuse,
  reread,
  trimmed,
  unanswered,
  withEarlier,
  type Asked,
  type Thread,
} from './stream';

const controls = MODELS_OWN;
const question: Asked = {
  ask: { kind: 'question', text: 'What is in the picture?', images: ['image-1'] },
  controls,
};

function message(over: Partial<Message>): Message {
  return {
    id: 'm',
    role: 'assistant',
    text: '',
    reasoning: '',
    images: [],
    calls: [],
    at: 5,
    stats: null,
    stopped: false,
    parent: null,
    versions: [over.id ?? 'm'],
    ...over,
  };
}

const kept = message({ id: 'q1', role: 'user', text: 'What is in the picture?' });
const stats = {
  ttft_s: 0.2,
  tokens_per_s: 30,
  completion_tokens: 9,
  prompt_tokens: 20,
  cached_tokens: null,
  thought_s: null,
  finish: 'stop',
};
const answer = message({
  id: 'a1',
  text: 'Two boxes.',
  reasoning: 'I look.',
  stats,
  parent: 'q1',
});
const problem: Problem = {
  code: 'server-answer',
  severity: 'error',
  message: 'The answer ended early.',
  cause: null,
  fix: null,
  retry: 'now',
  machine: null,
  details: [],
};

const began: ChatEvent = { kind: 'began', question: kept, answer: message({ id: 'a1' }) };
const words = (content: string, reasoning = '', calls: CallPiece[] = []): ChatEvent => ({
  kind: 'words',
  content,
  reasoning,
  calls,
});

function play(events: ChatEvent[], from: Thread = ask(emptyThread, question, 1000)): Thread {
  return events.reduce((thread, event, index) => fold(thread, event, 1100 + index * 100), from);
}

const ids = (thread: Thread): string[] => thread.messages.map(({ id }) => id);

describe('an answer that comes', () => {
  test('the question stands there before the host has kept it', () => {
    const thread = ask(emptyThread, question, 1000);
    expect(thread.messages).toEqual([
      expect.objectContaining({ id: PENDING, role: 'user', text: 'What is in the picture?' }),
    ]);
    expect(thread.live).toMatchObject({ answer: '', since: 1000 });
  });

  test('the kept question takes the place of the shown one', () => {
    const thread = play([began]);
    expect(thread.messages).toEqual([kept]);
    expect(thread.live?.answer).toBe('a1');
  });

  test('it waits, thinks, then answers, and knows when each began', () => {
    const waiting = play([began]);
    const thinking = play([words('', 'I look'), words('', ' closely.')], waiting);
    const answering = play([words('Two '), words('boxes.')], thinking);
    expect(
      [waiting, thinking, answering].map((thread) => thread.live && phaseOf(thread.live)),
    ).toEqual(['waiting', 'thinking', 'answering']);
    expect(answering.live).toMatchObject({
      reasoning: 'I look closely.',
      text: 'Two boxes.',
      firstAt: 1100,
      textAt: 1100,
    });
  });

  test('a chunk without words starts no clock', () => {
    expect(play([began, words('', '')]).live?.firstAt).toBeNull();
  });

  test('the end is the message as kept', () => {
    const thread = play([began, words('Two bo'), { kind: 'ended', message: answer }]);
    expect(thread).toEqual({ ...emptyThread, messages: [kept, answer] });
  });

  test('words after the end change nothing', () => {
    const ended = play([began, { kind: 'ended', message: answer }]);
    expect(play([words('late')], ended)).toBe(ended);
  });
});

describe('in the middle of a conversation', () => {
  const after = message({ id: 'q2', role: 'user', parent: 'a1' });
  const later = message({ id: 'a2', parent: 'q2' });
  const long: Thread = { ...emptyThread, messages: [kept, answer, after, later] };
  const asking = (asked: ChatAsk) => ask(long, { ask: asked, controls }, 1);

  test('an answer that is asked for again leaves its question, and nothing after it', () => {
    expect(ids(asking({ kind: 'again', message: 'a1' }))).toEqual(['q1']);
    expect(ids(asking({ kind: 'again', message: 'q1' }))).toEqual(['q1']);
    const again = play([began], asking({ kind: 'again', message: 'a1' }));
    expect(ids(again)).toEqual(['q1']);
  });

  test('an edited question stands in the place of the first, as a version of it', () => {
    const edited = asking({ kind: 'edited', message: 'q2', text: 'Else?', images: [] });
    expect(ids(edited)).toEqual(['q1', 'a1', PENDING]);
    expect(edited.messages.at(-1)?.versions).toEqual(['q2', PENDING]);
  });

  test('an answer that goes on begins with its words and ends as one message', () => {
    const asked = asking({ kind: 'continued', message: 'a2' });
    expect(ids(asked)).toEqual(['q1', 'a1', 'q2']);
    const whole = message({ id: 'a2', text: 'One, two.' });
    const begins: ChatEvent = {
      kind: 'began',
      question: after,
      answer: message({ id: 'a2', text: 'One, ' }),
    };
    const goes = play([begins, words('two.')], asked);
    expect(goes.live?.text).toBe('One, two.');
    expect(ids(play([{ kind: 'ended', message: whole }], goes))).toEqual(['q1', 'a1', 'q2', 'a2']);
  });

  test('the last messages read anew keep those before them', () => {
    const other = message({ id: 'a2b', parent: 'q2' });
    const page = { messages: [after, other], earlier: true, answering: null };
    const read = reread(long, page);
    expect(ids(read)).toEqual(['q1', 'a1', 'q2', 'a2b']);
    expect(read.earlier, 'the first one is known').toBe(false);
    const elsewhere = { messages: [message({ id: 'x' })], earlier: true, answering: 'x' };
    expect(reread(long, elsewhere)).toMatchObject({ earlier: true, elsewhere: 'x' });
    const live = play([began]);
    expect(reread(live, page), 'what comes here is newer').toBe(live);
  });

  test('messages from before are put before the others, once', () => {
    const page = { messages: [kept, answer], earlier: true, answering: null };
    const whole = withEarlier({ ...emptyThread, messages: [answer, after], earlier: true }, page);
    expect(ids(whole)).toEqual(['q1', 'a1', 'q2']);
    expect(whole.earlier).toBe(true);
  });

  test('the oldest of very many are read again when they are wanted', () => {
    const messages = Array.from({ length: 200 }, (_, n) => message({ id: `m${n}` }));
    const short = trimmed({ ...emptyThread, messages });
    expect(short.messages).toHaveLength(80);
    expect(short.messages.at(-1)?.id).toBe('m199');
    expect(short.earlier).toBe(true);
    expect(trimmed(long)).toBe(long);
  });
});

describe('an answer that does not come', () => {
  test('what came until then is kept beside the problem, and another one is asked for', () => {
    const part = message({ id: 'a1', text: 'Two', parent: 'q1' });
    const thread = play([began, words('Two'), { kind: 'failed', problem, message: part }]);
    expect(thread.messages).toEqual([kept, part]);
    expect(thread.failure).toEqual({ asked: question, problem });
    expect(unanswered(thread)).toEqual({ kind: 'again', message: 'a1' });
  });

  test('a refusal keeps what was typed, and it is asked as it was', () => {
    const thread = refuse(ask(emptyThread, question, 1), problem);
    expect(thread.messages.map((shown) => shown.text)).toEqual(['What is in the picture?']);
    expect(unanswered(thread)).toEqual(question.ask);
    const page = { messages: [answer], earlier: false, answering: null };
    expect(ids(reread(thread, page)), 'nobody else has it').toEqual(['a1', PENDING]);
  });

  test('a question that was kept is never asked a second time', () => {
    const refused = refuse(ask(emptyThread, question, 1), problem);
    expect(ask(refused, question, 2).messages).toHaveLength(1);
    const failed = play([began, { kind: 'failed', problem, message: null }]);
    expect(unanswered(failed)).toEqual({ kind: 'again', message: 'q1' });
    const asked = { ask: { kind: 'again', message: 'q1' } as const, controls };
    const again = play([began], ask(failed, asked, 9));
    expect(again.messages).toEqual([kept]);
    expect(again.failure).toBeNull();
  });

  test('a conversation that was left waiting still has its question', () => {
    const waits = { ...emptyThread, messages: [kept] };
    expect(unanswered(waits)).toEqual({ kind: 'again', message: 'q1' });
    expect(unanswered({ ...waits, elsewhere: 'a1' }), 'another window waits').toBeNull();
    expect(unanswered({ ...emptyThread, messages: [kept, answer] })).toBeNull();
    expect(unanswered(play([began]))).toBeNull();
  });
});

test('tool calls are put together as their pieces come', () => {
  const piece = (index: number, name: string, args: string): ChatEvent =>
    words('', '', [{ index, name, arguments: args }]);
  const begun = ask(emptyThread, question, 1);
  const thread = [
    piece(0, 'find', '{"pl'),
    piece(1, 'clock', ''),
    piece(0, '', 'ace":1}'),
    piece(1, '', '{}'),
  ].reduce((thread, event) => fold(thread, event, 2), begun);
  expect(thread.live?.calls).toEqual([
    { name: 'find', arguments: '{"place":1}' },
    { name: 'clock', arguments: '{}' },
  ]);
  expect(thread.live && phaseOf(thread.live)).toBe('answering');
});
