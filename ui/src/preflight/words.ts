// What lies ahead of a set-up, in words: what is to be fetched, how long it takes, what is on the disks.

import type { Fit, FitPart, MachineAhead, SetupRequest, Survey } from '../bindings';
import { bytes, duration, rate as perSecond } from '../kit/format';

/** Everything of the choices that changes the answer. */
export function asked(request: SetupRequest): string {
  return JSON.stringify([
    request.machines,
    request.hub_endpoint,
    request.recipe,
    request.variant,
    request.choices,
  ]);
}

/** What the emptiest machine misses, in bytes; `null` while no machine could be looked at. */
export function missing(machines: MachineAhead[]): number | null {
  const all = machines.flatMap((m) => (m.survey ? [m.survey.missing] : []));
  return all.length > 0 ? Math.max(...all) : null;
}

/** The rate that was measured, in bytes per second. */
export function measured(machines: MachineAhead[]): number | null {
  return machines.find((m) => m.survey?.rate != null)?.survey?.rate ?? null;
}

/** The first thing a person wants to know. */
export function headline(machines: MachineAhead[], rate: number | null): string {
  const left = missing(machines);
  if (left === null) return 'The disks could not be read.';
  if (left === 0) return 'All weights are on the disks already.';
  const amount = `${bytes(left)} to download`;
  if (rate === null) return `${amount}.`;
  return `${amount}: about ${duration(left / rate)} at ${perSecond(rate, 'bytes')}.`;
}

/** One machine's disk, in a sentence. */
export function disk(survey: Survey): string {
  const parts = [];
  if (survey.here > 0) parts.push(`${bytes(survey.here)} here`);
  if (survey.partial > 0) parts.push(`${bytes(survey.partial)} begun`);
  if (survey.missing > 0) parts.push(`${bytes(survey.missing)} missing`);
  return `${parts.join(', ')}; ${bytes(survey.free)} free`;
}

/** Whether the disk has no room for what is missing. */
export function tooSmall(survey: Survey): boolean {
  return survey.missing > survey.free;
}

/** The summands and the end of each on the bar, as shares of the whole memory. */
export function stretches(
  parts: FitPart[],
  whole: number,
): { part: FitPart; from: number; to: number }[] {
  let at = 0;
  return parts.map((part) => {
    const from = at;
    at += part.bytes;
    return { part, from: Math.min(1, from / whole), to: Math.min(1, at / whole) };
  });
}

/** The forecasts, machines of which the same is to be said together. */
export function alike(machines: MachineAhead[]): { fit: Fit; names: string[] }[] {
  const groups: { fit: Fit; names: string[] }[] = [];
  for (const { fit, name } of machines) {
    if (!fit) continue;
    const same = groups.find((g) => g.fit.says === fit.says);
    if (same) same.names.push(name);
    else groups.push({ fit, names: [name] });
  }
  return groups;
}
