import { describe, expect, it } from 'vitest';

import { ago, bytes, duration, gib, inSentence, number, rate, share } from './format';

describe('figures', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [4_856_000_000, '4.9 GB'],
    [129_000_000_000, '129 GB'],
    [3_936_000_000_000, '3.9 TB'],
  ])('%d bytes is %s', (n, text) => {
    expect(bytes(n)).toBe(text);
  });

  it('counts memory in binary units', () => {
    expect(gib(127_600_748 * 1024)).toBe('122 GiB');
  });

  it('names the unit once where both are in it', () => {
    expect(share(40_000_000_000, 129_000_000_000, 'bytes')).toBe('40.0 of 129 GB');
    expect(share(40_000_000, 129_000_000_000, 'bytes')).toBe('40.0 MB of 129 GB');
    expect(share(4, 13, 'shards')).toBe('4 of 13 shards');
    expect(share(4, null, 'shards')).toBe('4 shards');
  });

  it('shows rates and counts', () => {
    expect(rate(112_400_000, 'bytes')).toBe('112 MB/s');
    expect(number(262_144)).toBe('262,144');
    expect(number(27.64)).toBe('27.6');
  });
});

describe('times', () => {
  it.each([
    [0.2, 'under a second'],
    [48, '48 s'],
    [360, '6 min'],
    [4800, '1 h 20 min'],
    [7200, '2 h'],
  ])('%d seconds is %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });

  it('are said as people say them', () => {
    const now = new Date(2026, 10, 21, 10, 0).getTime();
    expect(ago(now - 10_000, now)).toBe('just now');
    expect(ago(now - 600_000, now)).toBe('10 min ago');
    expect(ago(new Date(2026, 10, 21, 8, 5).getTime(), now)).toBe('today at 08:05');
    expect(ago(new Date(2026, 10, 20, 23, 59).getTime(), now)).toBe('yesterday at 23:59');
    expect(ago(new Date(2026, 10, 17, 9, 0).getTime(), now)).toBe('Tuesday at 09:00');
    expect(ago(new Date(2026, 8, 1, 9, 0).getTime(), now)).toBe('1 September 2026');
  });
});

it('lowers a title inside a sentence, but not what is spelled in capitals', () => {
  expect(inSentence('Start the server, with MTP')).toBe('start the server, with MTP');
  expect(inSentence('MTP layers')).toBe('MTP layers');
});
