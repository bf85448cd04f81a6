// Sets mathematics with KaTeX, which makes elements of its own and takes none from the model: commands that would load,
// link or write HTML are refused.

import katex from 'katex';

/** Longer formulas are shown as their source. */
const MOST = 4000;

/** Names a character by its number, and so could bring in one that is not to be seen. */
const BY_NUMBER = /\\@?char(?![A-Za-z])/;

/** The formula as elements, or `null` where it cannot be set. */
export function formulaOf(source: string, display: boolean): HTMLElement | null {
  if (source.length > MOST || BY_NUMBER.test(source)) return null;
  const place = document.createElement('span');
  try {
    katex.render(source, place, {
      displayMode: display,
      trust: false,
      strict: 'ignore',
      // In em: nothing is moved far from where it stands.
      maxSize: 20,
      maxExpand: 200,
    });
  } catch {
    return null;
  }
  return place;
}
