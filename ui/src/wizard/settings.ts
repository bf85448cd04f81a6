// The settings of a recipe as the engine describes them: in groups, with their limits, and what was chosen.

import type { Choices, Setting } from '../bindings';
import type { Limits } from '../kit/limits';

/** The settings under their headings, in the engine's order. */
export function groups(settings: Setting[]): [string, Setting[]][] {
  const all = new Map<string, Setting[]>();
  for (const setting of settings)
    all.set(setting.group, [...(all.get(setting.group) ?? []), setting]);
  return [...all];
}

/** The chosen value; the proposed one where nothing was chosen. */
export function chosen(setting: Setting, choices: Choices): Setting['value'] {
  return choices[setting.id] ?? setting.proposed;
}

/** Chooses a value. What is as proposed is no choice, so that a later proposal may still change it. */
export function choose(setting: Setting, choices: Choices, value: Setting['value']): void {
  if (JSON.stringify(value) === JSON.stringify(setting.proposed)) delete choices[setting.id];
  else choices[setting.id] = value;
}

/** The limits of a number; `null` for another kind of setting. */
export function limits(setting: Setting): (Limits & { unit?: string }) | null {
  const { kind } = setting;
  if (kind.kind === 'integer')
    return { least: kind.least, most: kind.most, unit: kind.unit ?? undefined };
  if (kind.kind === 'share') return { least: kind.least, most: kind.most, parts: true };
  return null;
}

/** Words as on a command line: apart by spaces. */
export function words(typed: string): string[] {
  return typed.split(/\s+/).filter((word) => word !== '');
}
