// How a model is asked to answer, as it is set and shown. The limits are Rust's own.

import { LIMITS, type Controls, type Sampling, type Serving } from '../bindings';
import { OFF } from '../host/own';
import { wrongNumber, type Limits } from '../kit/limits';

/** The numbers of sampling. */
export type Figure = Exclude<keyof Sampling, 'stop' | 'seed'>;

export interface FigureField {
  name: Figure;
  label: string;
  hint: string;
  limits: Limits;
}

const part = (limits: Limits): Limits => ({ ...limits, parts: true });
const { controls } = LIMITS;

/** The fields in their order, short names first. */
export const FIGURES: FigureField[] = [
  {
    name: 'temperature',
    label: 'Temperature',
    hint: '0 always takes the likeliest token.',
    limits: part(controls.temperature),
  },
  {
    name: 'top_p',
    label: 'Top-p',
    hint: 'Keeps the likeliest tokens up to this share.',
    limits: part(controls.top_p),
  },
  { name: 'top_k', label: 'Top-k', hint: 'Keeps so many; 0 keeps all.', limits: controls.top_k },
  {
    name: 'min_p',
    label: 'Min-p',
    hint: 'Drops what is this much less likely than the likeliest.',
    limits: part(controls.min_p),
  },
  {
    name: 'presence_penalty',
    label: 'Presence penalty',
    hint: 'Against what was said at all.',
    limits: part(controls.presence_penalty),
  },
  {
    name: 'frequency_penalty',
    label: 'Frequency penalty',
    hint: 'Against what was said often.',
    limits: part(controls.frequency_penalty),
  },
  {
    name: 'repetition_penalty',
    label: 'Repetition penalty',
    hint: '1 is none.',
    limits: part(controls.repetition_penalty),
  },
];

export const SEED: Limits = { least: 0, most: 4_294_967_295 };

/** What was typed as a number; `null` leaves it to the model. The second says what is wrong with it. */
export function typedNumber(typed: string, limits: Limits): [number | null, string | null] {
  const text = typed.trim().replace(',', '.');
  if (text === '') return [null, null];
  const value = Number(text);
  if (!Number.isFinite(value)) return [null, 'Type a number, or nothing.'];
  return [value, wrongNumber(value, limits)];
}

/** The levels of reasoning that can be chosen, with their words. Empty where there is no choice. */
export function levelsOf(serving: Serving | null): { value: string; label: string }[] {
  if (serving === null) return [];
  // What an earlier Tandem launched is not known to reason; most that it launched do.
  const known = (serving.pictures ?? null) !== null;
  const levels = serving.reasoning?.levels ?? [];
  const canSwitch = known ? serving.reasoning?.switch != null : true;
  const all = [...(canSwitch ? [OFF] : []), ...levels];
  if (all.length === 0) return [];
  return [
    { value: '', label: 'by itself' },
    ...all.map((level) => ({ value: level, label: level })),
  ];
}

/** How many settings differ from the model's own. */
export function changes(set: Controls): number {
  const figures = Object.values(set.sampling).filter((value) =>
    Array.isArray(value) ? value.length > 0 : value !== null,
  );
  const others = [set.system.trim() !== '', set.max_tokens !== null, set.format.kind !== 'text'];
  return figures.length + others.filter(Boolean).length;
}
