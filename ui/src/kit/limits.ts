// The numbers that a field takes.

/** From a least to a most, if there is one; whole numbers unless `parts`. */
export type Limits = { readonly least: number; readonly most?: number; readonly parts?: boolean };

/** What is wrong with a number, in a sentence; `null` if nothing is. */
export function wrongNumber(value: number, { least, most, parts = false }: Limits): string | null {
  if (!parts && !Number.isInteger(value)) return 'A whole number is needed.';
  if (value >= least && value <= (most ?? Infinity)) return null;
  return most === undefined ? `At least ${least}.` : `From ${least} to ${most}.`;
}
