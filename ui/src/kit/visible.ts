// Characters that nobody sees can make code, a log or an address read differently from what is copied: they turn the
// direction of writing, hide words for a machine, or steer a terminal. They are shown by their number instead, and what
// is copied is what is shown.

/** What stays: a pair of line ends, and joiners and selectors where they shape letters or pictures. */
const SHAPING = [
  '\\r(?=\\n)',
  // A family, or a picture with a colour of skin: 👩‍🔬.
  '(?<=[\\p{Extended_Pictographic}\\u{1f3fb}-\\u{1f3ff}\\ufe0f])\\u200d(?=\\p{Extended_Pictographic})',
  // Arabic and Indic letters join, or do not join, by these.
  '(?<=[\\p{Script=Arabic}\\p{Script=Syriac}\\p{Script=Mongolian}\\p{Mn}\\p{Mc}])[\\u200c\\u200d]',
  '(?<=\\p{Emoji})[\\ufe0e\\ufe0f]',
  // The flags of England, Scotland and Wales.
  '(?<=\\u{1f3f4})[\\u{e0061}-\\u{e007a}]{2,6}\\u{e007f}',
].join('|');

/** What is never seen by itself. */
const UNSEEN = [
  // Controls, but tab and line feed; among them the escape that terminals obey.
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]',
  // Soft hyphen, fillers, marks and turns of direction, spaces without a width, invisible operators, line separators.
  '[\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb]',
  // Selectors and tags, in which whole sentences can be hidden.
  '[\\ufe00-\\ufe0f\\u{e0000}-\\u{e0fff}]',
].join('|');

// eslint-disable-next-line no-misleading-character-class -- each stands for itself, and none is to be combined
const SEARCHED = new RegExp(`(?<kept>${SHAPING})|${UNSEEN}`, 'gu');

/** The text with everything unseen shown by its number, for example as `⟨U+202E⟩`. */
export function visible(text: string): string {
  return text.replace(SEARCHED, (found: string, kept: string | undefined) =>
    kept === undefined ? number(found) : found,
  );
}

function number(char: string): string {
  return `⟨U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`;
}
