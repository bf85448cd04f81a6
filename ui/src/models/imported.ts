// An import in words: what became of each part, in the order in which it is to be read.

import type { ImportFate, ImportLine, ImportView, RecipeSource } from '../bindings';

export type FateGroup = { fate: ImportFate; title: string; says: string; lines: ImportLine[] };

/** The fates, what stands in the way first. */
const FATES: Omit<FateGroup, 'lines'>[] = [
  {
    fate: 'missing',
    title: 'In the way',
    says: 'Tandem has nothing in the place of these, and without them it cannot be served.',
  },
  { fate: 'refused', title: 'Not taken', says: 'Nothing is missing without these.' },
  { fate: 'changed', title: 'Changed', says: 'These are written otherwise here.' },
  {
    fate: 'recomputed',
    title: 'Worked out',
    says: 'These are worked out for your machines at each launch.',
  },
  { fate: 'kept', title: 'Kept', says: 'These are as they were given.' },
];

/** The lines by what became of them; what became of none is left out. */
export function byFate(lines: ImportLine[]): FateGroup[] {
  return FATES.map((fate) => ({
    ...fate,
    lines: lines.filter((line) => line.fate === fate.fate),
  })).filter((group) => group.lines.length > 0);
}

/** How many of each there are, in one sentence. */
export function counts(lines: ImportLine[]): string {
  const words = byFate(lines).map(
    ({ title, lines }) =>
      `${lines.length} ${title === 'In the way' ? 'in the way' : title.toLowerCase()}`,
  );
  return `${lines.length} ${lines.length === 1 ? 'part' : 'parts'}: ${words.join(', ')}.`;
}

/** Why it cannot be kept; `null` where it can. */
export function hindrance({ lines, confirmation }: ImportView): string | null {
  if (confirmation !== null) return null;
  const n = lines.filter((line) => line.fate === 'missing').length;
  if (n === 0) return 'It holds nothing that Tandem can serve.';
  return n === 1
    ? 'It cannot be served: one part stands in the way.'
    : `It cannot be served: ${n} parts stand in the way.`;
}

/** Whether another image would take away what stands in the way of it. */
export function lacksImage({ lines, toml }: ImportView): boolean {
  return toml !== null && lines.some((line) => line.fate === 'missing' && line.item === 'image');
}

/** What was given for a part without its name, which stands beside it. */
export function given({ item, given }: ImportLine): string {
  const rest = given.startsWith(item) ? given.slice(item.length) : given;
  return rest !== given && /^$|^[ =]/.test(rest) ? rest.replace(/^[ =]/, '') : given;
}

/** Where a kept recipe came from. */
export function sourceWords(source: RecipeSource): string {
  switch (source.kind) {
    case 'pasted':
      return 'pasted';
    case 'file':
      return `from the file ${source.name}`;
    case 'address':
      return `from ${source.address}`;
    case 'copy':
      return `a copy of ${source.of}`;
  }
}
