// What an answer took, and why it ended, in words.

import { LIMITS, type AnswerStats, type Message } from '../bindings';
import { duration, number } from '../kit/format';

/** `0.18 s to the first token · 31.2 tokens/s · 412 tokens`. */
export function statsLine(stats: AnswerStats): string {
  const parts = [`${stats.ttft_s.toFixed(2)} s to the first token`];
  // A rate of 0 stands for an answer too short to have one.
  if (stats.tokens_per_s > 0) parts.push(`${stats.tokens_per_s.toFixed(1)} tokens/s`);
  const tokens = stats.completion_tokens;
  if (tokens !== null) parts.push(tokens === 1 ? '1 token' : `${number(tokens)} tokens`);
  return parts.join(' · ');
}

/** What the line leaves out: `prompt of 1,200 tokens, 1,024 of them cached · thought for 4 s`. */
export function statsMore(stats: AnswerStats): string {
  const parts: string[] = [];
  const cached = stats.cached_tokens;
  if (stats.prompt_tokens !== null)
    parts.push(
      `prompt of ${number(stats.prompt_tokens)} tokens` +
        (cached !== null && cached > 0 ? `, ${number(cached)} of them cached` : ''),
    );
  if (stats.thought_s !== null) parts.push(`thought for ${duration(stats.thought_s)}`);
  return parts.join(' · ');
}

/** What can be done about an answer that ended early. */
export type Way = 'continue' | 'more' | 'brief' | 'again';

export interface End {
  says: string;
  ways: Way[];
}

/** Why an answer ended before its own end, with what can be done; `null` where it did not. */
export function endOf(message: Message): End | null {
  if (message.role !== 'assistant') return null;
  const { text, reasoning, calls, stats } = message;
  const on: Way[] = text === '' ? ['again'] : ['continue'];
  if (message.stopped) return { says: 'Stopped by you.', ways: on };
  if (stats === null) return { says: 'Cut off before its end.', ways: on };
  switch (stats.finish) {
    case 'length': {
      const tokens = stats.completion_tokens;
      const all = tokens === null ? 'all tokens' : `all ${number(tokens)} tokens`;
      if (text !== '') return { says: `Ended after ${all} that it may have.`, ways: on };
      return reasoning === ''
        ? { says: `It has no words after ${all} that it may have.`, ways: ['more'] }
        : { says: `Thinking used ${all} of this answer.`, ways: ['more', 'brief'] };
    }
    case 'content_filter':
      return { says: 'The server’s filter ended it.', ways: ['again'] };
    case 'tool_calls':
    case 'function_call':
      return toolEnd(calls.length);
    case 'abort':
    case 'error':
      return { says: 'The server ended it early.', ways: on };
  }
  if (calls.length > 0) return toolEnd(calls.length);
  if (text !== '') return null;
  return reasoning === ''
    ? { says: 'The answer has no words.', ways: ['again'] }
    : { says: 'It thought and gave no answer.', ways: ['again', 'brief'] };
}

function toolEnd(calls: number): End {
  const what = calls > 1 ? `${number(calls)} tools` : 'a tool';
  return { says: `The model asks for ${what}. Tandem ran nothing.`, ways: ['again'] };
}

/** How many tokens an answer may have that ran out of them: four times as many. */
export function moreTokens(message: Message): number {
  return 4 * Math.max(message.stats?.completion_tokens ?? 0, LIMITS.answer_tokens);
}
