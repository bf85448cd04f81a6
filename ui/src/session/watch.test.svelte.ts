import { flushSync } from 'svelte';

/** Asks as a screen does: what is derived is read once, and then the screen is left. */
export function untilGone<T>(ask: () => T): T {
  let answer: { value: T } | undefined;
  const leave = $effect.root(() => {
    const asked = $derived.by(ask);
    $effect(() => {
      answer = { value: asked };
    });
    flushSync();
  });
  leave();
  if (!answer) throw new Error('it was asked');
  return answer.value;
}
