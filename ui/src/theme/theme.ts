// Which appearance is shown. `system` follows the desktop, also while the window is open.

import '@fontsource-variable/instrument-sans/standard.css';
import '@fontsource-variable/geist-mono';
import './theme.css';

export type Theme = 'system' | 'light' | 'dark';

const desktopIsDark = () => window.matchMedia('(prefers-color-scheme: dark)');
let chosen: Theme = 'system';

function show(): void {
  const dark = chosen === 'dark' || (chosen === 'system' && desktopIsDark().matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
}

/** Reads a stored choice; anything unknown follows the desktop. */
export function asTheme(text: string | undefined): Theme {
  return text === 'light' || text === 'dark' ? text : 'system';
}

/** Shows an appearance. */
export function setTheme(theme: Theme): void {
  chosen = theme;
  show();
}

export const TEXT_SIZES = ['normal', 'large', 'larger'] as const;
export type TextSize = (typeof TEXT_SIZES)[number];

/** Reads a stored choice; anything unknown is the normal size. */
export function asTextSize(text: string | undefined): TextSize {
  return TEXT_SIZES.find((size) => size === text) ?? 'normal';
}

/** Shows all text in a size; what is measured in it grows along. */
export function setTextSize(size: TextSize): void {
  document.documentElement.dataset.text = size;
}

/** Follows the desktop from now on, as long as `system` is chosen. */
export function followDesktop(): void {
  desktopIsDark().addEventListener('change', show);
  show();
}
