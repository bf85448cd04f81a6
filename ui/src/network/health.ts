// What was found out about the machines, in order and in words. The sentences come with the findings.

import type { Finding, Level, MachineView, PairView } from '../bindings';
import { cableIsFine } from './panel';

/** How a level is marked: by a drawing and a word, never by colour alone. */
export const LEVEL: Record<Level, { word: string; icon: 'cross' | 'alert' | 'info' }> = {
  bad: { word: 'Will not work', icon: 'cross' },
  warning: { word: 'Could be better', icon: 'alert' },
  note: { word: 'Worth knowing', icon: 'info' },
};

const WORST: readonly Level[] = ['bad', 'warning', 'note'];

/** The worst first; within a level those of both machines, then by machine. */
export function ordered(findings: readonly Finding[]): Finding[] {
  return [...findings].sort(
    (a, b) =>
      WORST.indexOf(a.level) - WORST.indexOf(b.level) || (a.machine ?? -1) - (b.machine ?? -1),
  );
}

/** Whom a finding is about. */
export function whose(finding: Finding, machines: readonly MachineView[]): string {
  if (finding.machine === null) return machines.length > 1 ? 'both machines' : '';
  return machines[finding.machine]?.name ?? `machine ${finding.machine + 1}`;
}

/** A finding as one would paste it into a forum. */
export function asText(finding: Finding, machines: readonly MachineView[]): string {
  const about = whose(finding, machines);
  const lines = [
    `${LEVEL[finding.level].word}${about === '' ? '' : `, ${about}`}: ${finding.title}`,
    finding.meaning,
    finding.cure === '' ? '' : `What to do: ${finding.cure}`,
  ];
  return lines.filter((line) => line !== '').join('\n');
}

/** The two sentences at the top of the screen. `differing` names what differs and should not. */
export function headline(
  machines: readonly MachineView[],
  pair: PairView | null,
  differing: readonly string[],
): { title: string; says: string | undefined } {
  if (machines.length === 0) return { title: 'No machine is here yet', says: undefined };
  const weighty = (pair?.findings ?? []).filter((f) => f.level !== 'note');
  const troubled = machines.filter(
    (m, i) =>
      m.problems.length > 0 || m.reachable === false || weighty.some((f) => f.machine === i),
  );
  const title = (() => {
    if (troubled.length === 1) return `${troubled[0]?.name} needs attention`;
    if (troubled.length > 1) return 'Both machines need attention';
    if (weighty.length > 0)
      return machines.length > 1
        ? 'The pair needs attention'
        : `${machines[0]?.name} needs attention`;
    if (machines.length > 1 && pair?.cabling && !cableIsFine(pair.cabling.state))
      return 'The cable needs attention';
    if (pair?.link && pair.link.verdict.state !== 'good') return 'The link needs attention';
    return null;
  })();
  if (title !== null) return { title, says: counted(weighty, troubled) };
  if (machines.length === 1) return { title: `${machines[0]?.name} is well`, says: undefined };
  return { title: 'Both machines are well', says: agreement(machines, differing) };
}

function counted(weighty: Finding[], troubled: MachineView[]): string | undefined {
  const silent = troubled.filter((m) => m.reachable === false).map((m) => m.name);
  const bad = weighty.filter((f) => f.level === 'bad').length;
  const poor = weighty.length - bad;
  const parts = [
    bad === 0 ? '' : `${howMany(bad)} will not work as it is`,
    poor === 0 ? '' : `${howMany(poor)} could be better`,
  ].filter((part) => part !== '');
  const sentences = [
    silent.length === 0
      ? ''
      : `${silent.join(' and ')} ${silent.length === 1 ? 'does' : 'do'} not answer.`,
    parts.length === 0 ? '' : `${capital(parts.join(', '))}.`,
  ].filter((sentence) => sentence !== '');
  return sentences.length === 0 ? undefined : sentences.join(' ');
}

function agreement(
  machines: readonly MachineView[],
  differing: readonly string[],
): string | undefined {
  if (machines.some((m) => m.facts === null)) return undefined;
  return differing.length > 0
    ? `They differ in ${differing.join(', ')}. Nothing known speaks against that.`
    : 'They agree in everything that should agree.';
}

const NUMBERS = ['no', 'one', 'two', 'three', 'four', 'five', 'six'];

function howMany(n: number): string {
  return `${NUMBERS[n] ?? n} ${n === 1 ? 'thing' : 'things'}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
