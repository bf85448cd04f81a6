// Markdown that has only half arrived. A lone `**` or a bracket without its end would show as marks for a
// moment and then turn into something else; this closes what is open at the end so that the text is calm.

import { mathAt } from './math';

/** The text with the marks closed that are open at its very end. */
export function closePartial(source: string): string {
  const fence = openFence(source);
  // Inside a code block everything is literal, and Markdown itself ends the block with the text.
  if (fence !== null) return withoutHalfFence(source, fence);
  const start = source.lastIndexOf('\n\n') + 1;
  return source.slice(0, start) + closeInline(source.slice(start));
}

/** The fence that is still open, if one is. */
function openFence(source: string): string | null {
  let open: string | null = null;
  for (const line of source.split('\n')) {
    const mark = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    if (mark === null) continue;
    const [, fence = '', rest = ''] = mark;
    if (open === null) {
      // Backticks after a fence of backticks make it inline code.
      if (fence.startsWith('`') && rest.includes('`')) continue;
      open = fence;
    } else if (fence[0] === open[0] && fence.length >= open.length && rest.trim() === '') {
      open = null;
    }
  }
  return open;
}

// The closing fence arrives mark by mark; one or two of them are no line of code.
function withoutHalfFence(source: string, fence: string): string {
  const end = source.lastIndexOf('\n') + 1;
  const last = source.slice(end);
  const opensHere = last.trimStart().startsWith(fence);
  return !opensHere && /^ {0,3}[`~]{1,2}$/.test(last) && last.trim()[0] === fence[0]
    ? source.slice(0, end)
    : source;
}

function closeInline(paragraph: string): string {
  let text = dropHalfTag(dropHalfLink(paragraph));
  const closers: string[] = [];
  let code: string | null = null;
  for (let i = 0; i < text.length;) {
    const char = text[i] ?? '';
    const math = code === null && (char === '\\' || char === '$') ? mathAt(text, i) : null;
    if (math?.closed) {
      i = math.end;
      continue;
    }
    // Mathematics without its end is its source: nothing in it is open but what was open before.
    if (math !== null) {
      const before = text.slice(0, i);
      return before + closers.reverse().join('') + text.slice(i);
    }
    if (char === '\\' && code === null) {
      i += 2;
      continue;
    }
    if (char === '`') {
      const ticks = run(text, i);
      if (code === null) code = ticks;
      else if (code === ticks) code = null;
      i += ticks.length;
      continue;
    }
    if (code === null && (char === '*' || char === '~')) {
      const marks = run(text, i);
      for (const mark of split(marks, closers.at(-1))) toggle(closers, mark, text, i, marks.length);
      i += marks.length;
      continue;
    }
    i += 1;
  }
  if (code !== null)
    return text.trimEnd().endsWith(code) ? text.slice(0, text.lastIndexOf(code)) : text + code;
  while (closers.length > 0) {
    const mark = closers.pop() ?? '';
    // Nothing follows the opening mark yet: leave it out until something does.
    if (text.endsWith(mark)) text = text.slice(0, -mark.length);
    else text = text.trimEnd() + mark;
  }
  return text;
}

/** The marks of the same kind from here on. */
function run(text: string, from: number): string {
  let to = from;
  while (text[to] === text[from]) to += 1;
  return text.slice(from, to);
}

/** `***` is strong and emphasis, `~~` is struck through, a single `~` is only a tilde. */
function split(marks: string, open: string | undefined): string[] {
  if (marks.startsWith('~')) return marks.length === 2 ? ['~~'] : [];
  if (marks.length > 3) return [];
  // What was opened last is closed first.
  if (marks.length === 3) return open === '*' ? ['*', '**'] : ['**', '*'];
  return [marks];
}

function toggle(closers: string[], mark: string, text: string, at: number, length: number): void {
  if (closers.at(-1) === mark) {
    closers.pop();
    return;
  }
  const before = text[at - 1] ?? '\n';
  const after = text[at + length] ?? '';
  // `2 * 3` and a list's bullet open nothing.
  if (/\s/.test(after) || (after === '' && mark === '*' && /\n/.test(before))) return;
  closers.push(mark);
}

// `<br` is no word.
function dropHalfTag(text: string): string {
  return text.replace(/<(?:b(?:r\s*\/?)?)?$/i, '');
}

// `[text](https://exa` shows as its text until the address is whole.
function dropHalfLink(text: string): string {
  const half = /!?\[([^\][\n]*)\]\([^()\s]*$/.exec(text);
  if (half !== null) return text.slice(0, half.index) + (half[1] ?? '');
  const label = /!?\[([^\][\n]*)$/.exec(text);
  // A footnote shows once its name is whole.
  if (label?.[1]?.startsWith('^') && label.index > 0) return text.slice(0, label.index);
  return label !== null && label.index > 0 && text[label.index - 1] !== '\\'
    ? text.slice(0, label.index) + (label[1] ?? '')
    : text;
}
