// The sentences over a run.

import { duration, inSentence, number } from '../kit/format';
import type { RunSummary, Serving } from '../bindings';
import type { RunWatch } from '../session/run.svelte';

/** Where a run stands, in one sentence. */
export function headline(watch: RunWatch): string {
  const count = watch.steps.length;
  const at = watch.steps.findIndex((s) => s === watch.current) + 1;
  const name = watch.current ? inSentence(watch.current.plan.title) : '';
  if (watch.live && watch.undoing) return `Undoing: ${name}`;
  if (watch.cancelling) return 'Finishing this step first, then it stops';
  const rest = watch.paused ? (watch.download?.paused ? ', paused' : ', waiting') : '';
  if (watch.live) return at > 0 ? `Step ${at} of ${count}: ${name}${rest}` : 'Starting';
  switch (watch.state.outcome) {
    case 'completed':
      return done(watch);
    case 'failed':
      return at > 0 ? `It stopped at step ${at} of ${count}: ${name}` : 'It stopped.';
    case 'cancelled':
      return at > 0 ? `You stopped it at step ${at} of ${count}` : 'You stopped it.';
    case 'undone':
      return 'Everything is as it was before.';
    case 'needs-attention':
      return 'Some steps could not be undone.';
    case null:
      return at > 0
        ? `It was interrupted at step ${at} of ${count}: ${name}`
        : interruptedBefore(watch);
  }
}

/** Between two steps: the next one had changed nothing. */
function interruptedBefore(watch: RunWatch): string {
  const next = watch.steps.findIndex((s) => s.place === 'waiting');
  const step = watch.steps[next];
  if (!step) return 'It was interrupted.';
  const at = `step ${next + 1} of ${watch.steps.length}`;
  return `It was interrupted before ${at}: ${inSentence(step.plan.title)}`;
}

/** Whether a run is for the cable alone. */
export function isLink(watch: RunWatch): boolean {
  return watch.plan?.procedure === 'link' || watch.plan?.procedure === 'restart';
}

function done(watch: RunWatch): string {
  if (!isLink(watch)) return 'Done. The model is served.';
  return watch.plan?.procedure === 'restart'
    ? 'Both machines are back, and the link is measured.'
    : 'The link is addressed and measured.';
}

/** How a run ended, in the list. */
export function ending(run: RunSummary): string {
  if (run.live) return 'Running';
  switch (run.outcome) {
    case 'completed':
      return 'Done';
    case 'failed':
      return 'Stopped by a problem';
    case 'cancelled':
      return 'Stopped by you';
    case 'undone':
      return 'Undone';
    case 'needs-attention':
      return 'Needs attention';
    case null:
      return 'Interrupted';
  }
}

/** How long a run took. */
export function took(run: RunSummary): string | null {
  return run.finished_at === null ? null : duration((run.finished_at - run.started_at) / 1000);
}

/** What is served, in one sentence. */
export function servingWords(serving: Serving): string {
  const speed = serving.tg_tps === null ? '' : `, ${number(serving.tg_tps)} tokens/s`;
  const ratio =
    serving.against_plain === null ? '' : `, ${serving.against_plain.toFixed(1)} × plain`;
  const [variant] = (serving.label ?? '').split(',');
  const how = serving.speculative_tokens === null || !variant ? '' : ` with ${variant}`;
  return `Serving ${serving.model}${how}${speed}${ratio}`;
}

/** How many of the runs that worked are offered. */
const OFFERED = 3;

/** The latest runs that came to their end, one for each thing that was served, without the one in view. */
export function workedBefore(runs: RunSummary[], shown: string | null): RunSummary[] {
  const current = runs.find((run) => run.id === shown);
  const titles = new Set(current?.outcome === 'completed' ? [current.title] : []);
  return runs
    .filter((run) => {
      if (run.id === shown || run.outcome !== 'completed' || titles.has(run.title)) return false;
      titles.add(run.title);
      return true;
    })
    .slice(0, OFFERED);
}
