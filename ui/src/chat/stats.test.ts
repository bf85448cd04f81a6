import { expect, test } from 'vitest';

import type { Message } from '../bindings';
import { endOf, moreTokens, statsLine, statsMore } from './stats';

const stats = {
  ttft_s: 0.184,
  tokens_per_s: 31.24,
  completion_tokens: 8192,
  prompt_tokens: 1200,
  cached_tokens: 1024,
  thought_s: 4.2,
  finish: 'stop',
};

const answer = (over: Partial<Message>): Message => ({
  id: 'a',
  role: 'assistant',
  text: 'Words.',
  reasoning: '',
  images: [],
  calls: [],
  at: 0,
  stats,
  stopped: false,
  parent: 'q',
  versions: ['a'],
  ...over,
});
const ended = (finish: string, over: Partial<Message> = {}) =>
  endOf(answer({ stats: { ...stats, finish }, ...over }));

test('an answer that ended by itself needs no words about it', () => {
  expect(ended('stop')).toBeNull();
  expect(ended('unknown')).toBeNull();
  expect(endOf(answer({ role: 'user', stats: null }))).toBeNull();
});

test('every other end is told with a way on', () => {
  expect(ended('length')?.ways).toEqual(['continue']);
  const spent = ended('length', { text: '', reasoning: 'Hm.' });
  expect(spent).toEqual({
    says: 'Thinking used all 8,192 tokens of this answer.',
    ways: ['more', 'brief'],
  });
  expect(ended('stopped', { stopped: true })?.ways).toEqual(['continue']);
  expect(ended('stopped', { stopped: true, text: '' })?.ways).toEqual(['again']);
  expect(endOf(answer({ stats: null }))).toEqual({
    says: 'Cut off before its end.',
    ways: ['continue'],
  });
  expect(ended('stop', { text: '', reasoning: 'Hm.' })?.ways).toEqual(['again', 'brief']);
  expect(ended('stop', { text: '' })?.ways).toEqual(['again']);
  expect(ended('content_filter')?.ways).toEqual(['again']);
  const calls = [
    { name: 'find', arguments: '{}' },
    { name: 'clock', arguments: '{}' },
  ];
  expect(ended('tool_calls', { text: '', calls })).toEqual({
    says: 'The model asks for 2 tools. Tandem ran nothing.',
    ways: ['again'],
  });
  expect(ended('stop', { text: '', calls: calls.slice(1) })?.says).toContain('a tool');
  expect(ended('abort')?.ways).toEqual(['continue']);
  expect(moreTokens(answer({}))).toBe(32_768);
  expect(moreTokens(answer({ stats: null }))).toBe(32_768);
});

test('figures are those that the server told, and no others', () => {
  expect(statsLine(stats)).toBe('0.18 s to the first token · 31.2 tokens/s · 8,192 tokens');
  expect(statsMore(stats)).toBe('prompt of 1,200 tokens, 1,024 of them cached · thought for 4 s');
  const few = { ...stats, tokens_per_s: 0, completion_tokens: 1, prompt_tokens: null };
  expect(statsLine(few)).toBe('0.18 s to the first token · 1 token');
  expect(statsMore({ ...few, thought_s: null })).toBe('');
});
