// What axe finds wrong with what is drawn, contrast included, in the light and in the dark appearance.

import { waitFor } from '@testing-library/svelte';
import axe from 'axe-core';
import { tick } from 'svelte';
import { expect } from 'vitest';

import { setTheme } from '../theme/theme';

/** Each fault as `appearance: rule: element`; none is what a test expects. */
export async function axeFaults(part: Element = document.body): Promise<string[]> {
  // What changes while axe looks is found faulty half-way.
  await waitFor(() => expect(document.querySelector('[aria-busy="true"]')).toBeNull());
  await document.fonts.ready;
  const faults: string[] = [];
  for (const theme of ['light', 'dark'] as const) {
    setTheme(theme);
    await tick();
    const { violations } = await axe.run(part, {
      // A component by itself has no page around it whose landmarks could hold it.
      rules: { region: { enabled: part === document.body } },
    });
    for (const { id, nodes } of violations)
      for (const node of nodes)
        faults.push(`${theme}: ${id}: ${node.target.join(' ')} ${node.any[0]?.message ?? ''}`);
  }
  setTheme('light');
  return faults;
}
