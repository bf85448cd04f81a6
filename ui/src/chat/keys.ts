// Keys while an input method composes a word: Enter then chooses that word.

/** Whether the key belongs to the input method. WebKit ends the composition first; 229 is all that tells it then. */
export function composing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229;
}
