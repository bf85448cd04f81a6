// A long text in parts, so that words at its end change the last part alone.

/** How long a part is at least, in characters. */
const LEAST = 2_000;

/** The text cut after line ends. Parts before the last one stay as they are while the text grows. */
export function chunksOf(text: string): string[] {
  const chunks: string[] = [];
  let from = 0;
  while (text.length - from > LEAST) {
    const end = text.indexOf('\n', from + LEAST);
    if (end < 0 || end === text.length - 1) break;
    chunks.push(text.slice(from, end + 1));
    from = end + 1;
  }
  chunks.push(text.slice(from));
  return chunks;
}
