// A typed address and the port behind it.

/** The address without a port behind it. An IPv6 address carries a port only in brackets. */
export function bare(address: string): string {
  const text = address.trim();
  const bracketed = /^\[(.+)\](?::.*)?$/.exec(text);
  if (bracketed) return bracketed[1] ?? text;
  return text.split(':').length === 2 ? (text.split(':')[0] ?? text) : text;
}

/** The port behind an address, 22 where there is none, `null` where it is not one. */
export function port(address: string): number | null {
  const text = address.trim();
  const typed = text.startsWith('[')
    ? /\]:(.*)$/.exec(text)?.[1]
    : text.split(':').length === 2
      ? text.split(':')[1]
      : undefined;
  if (typed === undefined) return 22;
  const n = Number(typed);
  return /^\d+$/.test(typed) && n > 0 && n < 65_536 ? n : null;
}
