// The keys of the chat. While an input method composes a word, Enter chooses that word.

/** Whether the key belongs to the input method. WebKit ends the composition first; 229 is all that tells it then. */
export function composing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229;
}

/** What every key does, as the list shows it. */
export const SHORTCUTS = [
  { keys: 'Enter', does: 'Send' },
  { keys: 'Shift + Enter', does: 'New line' },
  { keys: 'Ctrl + .', does: 'Stop the answer' },
  { keys: 'Ctrl + Shift + O', does: 'New conversation' },
  { keys: 'Ctrl + Shift + F', does: 'Search all that was said' },
  { keys: 'Ctrl + /', does: 'This list' },
  { keys: '↑ ↓', does: 'Go through the conversations' },
  { keys: 'F2', does: 'Rename the conversation' },
  { keys: 'Delete', does: 'Delete the conversation; it can be brought back' },
  { keys: 'Ctrl + K', does: 'All commands of Tandem' },
];

export type Act = 'stop' | 'new' | 'search' | 'list';

/** What a key asks of the chat, wherever the keyboard is in it. */
export function actOf(event: KeyboardEvent): Act | null {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (event.shiftKey) return key === 'o' ? 'new' : key === 'f' ? 'search' : null;
  return key === '.' ? 'stop' : key === '/' ? 'list' : null;
}
