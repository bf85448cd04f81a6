import { describe, expect, test } from 'vitest';
import type { ChatEvent, Message, Problem } from '../bindings';
import {
  ask,
  emptyThread,
  fold,
  PENDING,
  phaseOf,
  refuse,
  unanswered,
  type Thread,
} from './stream';

const question = { text: 'What is in the picture?', images: ['image-1'], thinking: true };

function message(over: Partial<Message>): Message {
  return {
    id: 'm',
    role: 'assistant',
    text: '',
    reasoning: '',
    images: [],
    at: 5,
    stats: null,
    stopped: false,
    ...over,
  };
}

const kept = message({ id: 'q1', role: 'user', text: question.text, images: question.images });
const stats = {
  ttft_s: 0.2,
  tokens_per_s: 30,
  completion_tokens: 9,
  prompt_tokens: 20,
  finish: 'stop',
};
const answer = message({ id: 'a1', text: 'Two boxes.', reasoning: 'I look.', stats });
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

const began: ChatEvent = { kind: 'began', question: kept, answer: 'a1' };
const words = (content: string, reasoning = ''): ChatEvent => ({
  kind: 'words',
  content,
  reasoning,
});

function play(events: ChatEvent[], from: Thread = ask(emptyThread, question, 1000)): Thread {
  return events.reduce((thread, event, index) => fold(thread, event, 1100 + index * 100), from);
}

describe('an answer that comes', () => {
  test('the question stands there before the host has kept it', () => {
    const thread = ask(emptyThread, question, 1000);
    expect(thread.messages).toEqual([
      expect.objectContaining({ id: PENDING, role: 'user', text: question.text }),
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
    expect(thread).toEqual({ messages: [kept, answer], live: null, failure: null });
  });

  test('words after the end change nothing', () => {
    const ended = play([began, { kind: 'ended', message: answer }]);
    expect(play([words('late')], ended)).toBe(ended);
  });
});

describe('an answer that does not come', () => {
  test('what came until then is kept beside the problem and the question', () => {
    const part = message({ id: 'a1', text: 'Two', stopped: true });
    const thread = play([began, words('Two'), { kind: 'failed', problem, message: part }]);
    expect(thread.messages).toEqual([kept, part]);
    expect(thread.failure).toEqual({ question, problem });
    expect(unanswered(thread)).toEqual(question);
  });

  test('a refusal keeps what was typed', () => {
    const thread = refuse(ask(emptyThread, question, 1), problem);
    expect(thread.messages.map((shown) => shown.text)).toEqual([question.text]);
    expect(unanswered(thread)).toEqual(question);
  });

  test('asking again does not show the question twice', () => {
    const refused = refuse(ask(emptyThread, question, 1), problem);
    expect(ask(refused, question, 2).messages).toHaveLength(1);
    const failed = play([began, { kind: 'failed', problem, message: null }]);
    const again = play([began], ask(failed, question, 9));
    expect(again.messages).toEqual([kept]);
    expect(again.failure).toBeNull();
  });

  test('a conversation that was left waiting still has its question', () => {
    expect(unanswered({ ...emptyThread, messages: [kept] })).toMatchObject({ text: question.text });
    expect(unanswered({ ...emptyThread, messages: [kept, answer] })).toBeNull();
    expect(unanswered(play([began]))).toBeNull();
    const cut = { ...answer, stats: null };
    expect(unanswered({ ...emptyThread, messages: [kept, cut] })).toMatchObject({
      text: question.text,
    });
    expect(
      unanswered({ ...emptyThread, messages: [kept, { ...cut, stopped: true }] }),
      'whoever stopped an answer had enough of it',
    ).toBeNull();
  });
});
