// The numbers that a field takes.

/** From a smallest to a largest; whole numbers unless `parts`. */
export type Limits = { min: number; max: number; parts?: boolean };

/** What is wrong with a number, in a sentence; `null` if nothing is. */
export function wrongNumber(value: number, { min, max, parts = false }: Limits): string | null {
  if (!parts && !Number.isInteger(value)) return 'A whole number is needed.';
  if (value < min || value > max)
    return max >= Number.MAX_SAFE_INTEGER ? `At least ${min}.` : `From ${min} to ${max}.`;
  return null;
}
