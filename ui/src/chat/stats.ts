// What an answer took, in words.

import type { AnswerStats, Message } from '../bindings';

/** `0.18 s to the first token · 31.2 tokens/s · 412 tokens`. */
export function statsLine(stats: AnswerStats): string {
  const parts = [`${stats.ttft_s.toFixed(2)} s to the first token`];
  // A rate of 0 stands for an answer too short to have one.
  if (stats.tokens_per_s > 0) parts.push(`${stats.tokens_per_s.toFixed(1)} tokens/s`);
  const tokens = stats.completion_tokens;
  if (tokens !== null) parts.push(tokens === 1 ? '1 token' : `${tokens} tokens`);
  return parts.join(' · ');
}

/** Why an answer ended before its own end, or `null`. */
export function endOf(message: Message): string | null {
  if (message.role !== 'assistant') return null;
  if (message.stopped) return 'Stopped by you.';
  if (message.stats === null) return 'Cut off before its end.';
  if (message.stats.finish === 'length') return 'Ended at the longest answer allowed.';
  return message.text === '' ? 'The answer has no words.' : null;
}
