// What the pair strip says and draws, decided from the overview and the live run. Pure, so that it is tested.

import type { LinkReport, MachineView, Overview, ProgressPart } from '../bindings';
import { gib, number, share } from '../kit/format';

/** How a machine is drawn. */
export type Side = {
  machine: MachineView | null;
  name: string;
  /** What it does, in a few words. */
  state: string;
  /** Whether it needs attention. */
  trouble: boolean;
  /** Share of its memory in use, 0 to 1; `null` where nobody looked. */
  memory: number | null;
  memoryWords: string;
  /** Share of the work that goes on there, 0 to 1. */
  work: number | null;
};

/** How the cable is drawn. */
export type Link = {
  state: 'none' | 'unknown' | 'up' | 'down';
  words: string;
  /** How many rails are drawn. */
  rails: number;
};

/** The two sides, an empty place where there is no machine. */
export function sides(overview: Overview | null, parts: readonly ProgressPart[]): [Side, Side] {
  const machines = overview?.machines ?? [];
  const side = (index: number): Side => {
    const machine = machines[index];
    return machine ? of(machine, index, overview, parts) : empty(index, machines.length);
  };
  return [side(0), side(1)];
}

function empty(index: number, count: number): Side {
  const alone = index === 1 && count === 1;
  return {
    machine: null,
    name: alone ? 'Second Spark' : index === 0 ? 'Your first Spark' : 'Your second Spark',
    state: alone ? 'Optional' : 'Not added yet',
    trouble: false,
    memory: null,
    memoryWords: '',
    work: null,
  };
}

function of(
  machine: MachineView,
  index: number,
  overview: Overview | null,
  parts: readonly ProgressPart[],
): Side {
  const facts = machine.facts;
  const total = facts?.memory_total ?? 0;
  const free = facts?.memory_available ?? 0;
  const part = parts.find((p) => p.machine === machine.name);
  return {
    machine,
    name: machine.name,
    state: stateOf(machine, index, overview, part),
    trouble: machine.reachable === false || machine.problems.length > 0,
    memory: total > 0 ? (total - free) / total : null,
    memoryWords: total > 0 ? `${gib(total - free)} of ${gib(total)} in use` : 'Memory not read yet',
    work: part && part.total ? Math.min(1, part.done / part.total) : null,
  };
}

function stateOf(
  machine: MachineView,
  index: number,
  overview: Overview | null,
  part: ProgressPart | undefined,
): string {
  if (machine.reachable === false) return 'Does not answer';
  const found = machine.problems.length;
  if (found > 0) return found === 1 ? 'One problem' : `${found} problems`;
  if (part?.held) return part.held.why === 'paused' ? 'Paused' : `Waits until ${part.held.opens}`;
  if (part) return `${part.doing}, ${share(part.done, part.total, part.unit)}`;
  if (overview?.live_run) return 'Working';
  if (overview?.serving) return index === 0 ? 'Serving (head)' : 'Serving (worker)';
  return machine.reachable === null ? 'Not checked yet' : 'Ready';
}

/** The cable between them, as both machines see it, with what it was measured to carry. */
export function link(overview: Overview | null, report: LinkReport | null = null): Link {
  const machines = overview?.machines ?? [];
  if (machines.length < 2) return { state: 'none', words: '', rails: 2 };
  if (machines.some((m) => m.reachable === false))
    return { state: 'unknown', words: 'Cable not seen: one machine does not answer', rails: 2 };
  if (machines.some((m) => m.facts === null))
    return { state: 'unknown', words: 'Cable not checked yet', rails: 2 };
  const carried = machines.map((m) =>
    (m.facts?.interfaces ?? []).filter((i) => i.fabric && i.carrier),
  );
  const rails = Math.min(...carried.map((list) => list.length));
  if (rails === 0) return { state: 'down', words: 'No cable seen between them', rails: 2 };
  const speeds = carried.flatMap((list) => list.map((i) => i.speed ?? 0)).filter((s) => s > 0);
  const speed = speeds.length > 0 ? `, port speed ${number(Math.min(...speeds) / 1000)} Gb/s` : '';
  const paths = rails === 1 ? '1 rail' : `${rails} rails`;
  const means = rails === 1 ? 'path through it' : 'paths through it';
  const gbps = report?.verdict.gbps ?? null;
  if (report && gbps !== null && !report.simulated) {
    const low = report.verdict.expected_low;
    const normal =
      report.verdict.state === 'good' || low === null ? '' : `, expected from ${number(low)}`;
    return {
      state: 'up',
      words: `Cable seen: ${paths}, ${number(gbps)} Gb/s measured${normal}`,
      rails,
    };
  }
  return { state: 'up', words: `Cable seen: ${paths} (${means})${speed}`, rails };
}

/** What is served, in one sentence. */
export function servingWords(overview: Overview | null): string {
  const serving = overview?.serving;
  if (!serving) return '';
  const mtp = serving.speculative_tokens !== null ? ' with MTP' : '';
  const speed = serving.tg_tps !== null ? `, ${number(serving.tg_tps)} tokens/s` : '';
  const ratio =
    serving.against_plain !== null ? `, ${serving.against_plain.toFixed(1)} × plain` : '';
  // The words have little room, and a simulated ratio is worth less than the word.
  const worth = overview.rehearsal && speed !== '' ? ' simulated' : ratio;
  return `Serving ${serving.model}${mtp}${speed}${worth}`;
}

/** Whether weights move right now: only then does anything run along the cable. */
export function weightsMove(parts: readonly ProgressPart[]): boolean {
  return parts.some(
    (p) =>
      p.unit === 'bytes' && !p.held && (p.rate ?? 0) > 0 && (p.total === null || p.done < p.total),
  );
}
