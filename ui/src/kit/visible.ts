// Characters that turn the direction of writing can make code or an address read differently from what is
// copied. They are shown by their number instead, in prose and code alike.

// U+202A to U+202E and U+2066 to U+2069: embeddings, overrides and isolates. U+0000 breaks many programs.
// eslint-disable-next-line no-control-regex -- this is the one place that looks for them
const HIDDEN = /[\u0000\u202a-\u202e\u2066-\u2069]/g;

/** The text with direction overrides made visible, for example as `⟨U+202E⟩`. */
export function visible(text: string): string {
  return text.replace(
    HIDDEN,
    (char) => `⟨U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`,
  );
}
