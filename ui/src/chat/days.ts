// Conversations by the day they last changed, as people look for them.

import type { ConversationSummary } from '../bindings';

export interface Group {
  name: string;
  list: ConversationSummary[];
}

/** The conversations in the groups that a person sees, in order. */
export function byDay(list: ConversationSummary[], now: number): Group[] {
  const groups: Group[] = [];
  for (const summary of list) {
    const name = summary.pinned ? 'Pinned' : dayOf(summary.updated_at, now);
    const group = groups.find((known) => known.name === name);
    if (group) group.list.push(summary);
    else groups.push({ name, list: [summary] });
  }
  return groups;
}

/** `Today`, `Yesterday`, `Last 7 days`, `Last 30 days`, then the month. */
export function dayOf(at: number, now: number): string {
  const days = Math.round((midnight(now) - midnight(at)) / 86_400_000);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days <= 7) return 'Last 7 days';
  if (days <= 30) return 'Last 30 days';
  return new Date(at).toLocaleDateString('en-GB', { month: 'long', year: 'numeric' });
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}
