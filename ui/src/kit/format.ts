// Figures and times as people read them. Decimal units, as disks and the Hub use them.

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** `4.9 GB`. The same rule as `bytes` in the domain's problem.rs, so that sentences and bars agree. */
export function bytes(n: number): string {
  let value = n;
  let unit = 0;
  while (value >= 1000 && unit + 1 < UNITS.length) {
    value /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${Math.round(n)} B`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `128 GiB`: memory is counted in binary units. */
export function gib(n: number): string {
  const value = n / 2 ** 30;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} GiB`;
}

/** A figure with its unit: bytes are scaled, everything else is shown as it is. */
export function amount(n: number, unit: string): string {
  return unit === 'bytes' ? bytes(n) : `${number(n)} ${unit}`;
}

/** `40 of 129 GB`, or only what is done where the whole is not known. */
export function share(done: number, total: number | null, unit: string): string {
  if (total === null) return amount(done, unit);
  if (unit !== 'bytes') return `${number(done)} of ${number(total)} ${unit}`;
  const [a = '', unitA] = bytes(done).split(' ');
  const [b = '', unitB] = bytes(total).split(' ');
  return unitA === unitB ? `${a} of ${b} ${unitB}` : `${a} ${unitA} of ${b} ${unitB}`;
}

/** `112 MB/s`. */
export function rate(perSecond: number, unit: string): string {
  return unit === 'bytes' ? `${bytes(perSecond)}/s` : `${number(perSecond)} ${unit}/s`;
}

/** At most one decimal below 100, none above; thousands apart. */
export function number(n: number): string {
  const digits = Math.abs(n) < 100 && !Number.isInteger(n) ? 1 : 0;
  return n.toLocaleString('en-GB', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** Seconds as people say them: `48 s`, `6 min`, `1 h 20 min`. */
export function duration(seconds: number): string {
  if (seconds < 1) return 'under a second';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}

/** A time as people say it. */
export function ago(at: number, now: number): string {
  const seconds = (now - at) / 1000;
  if (seconds < 45) return 'just now';
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  const then = new Date(at);
  const clock = then.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  const days = daysBetween(then, new Date(now));
  if (days === 0) return `today at ${clock}`;
  if (days === 1) return `yesterday at ${clock}`;
  if (days < 7) return `${then.toLocaleDateString('en-GB', { weekday: 'long' })} at ${clock}`;
  return then.toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
}

/** The exact time, for hovering. */
export function exactly(at: number): string {
  return new Date(at).toLocaleString('en-GB', { dateStyle: 'full', timeStyle: 'medium' });
}

/** Midnights between two times, by the clock of this computer. */
function daysBetween(a: Date, b: Date): number {
  const midnight = (d: Date) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return Math.round((midnight(b) - midnight(a)) / 86_400_000);
}

/** A title as it stands inside a sentence: `Model weights` becomes `model weights`, `MTP layers` stays. */
export function inSentence(title: string): string {
  return /^[A-Z][a-z]/.test(title) ? title.charAt(0).toLowerCase() + title.slice(1) : title;
}
