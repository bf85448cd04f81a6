import { describe, expect, test } from 'vitest';

import type { BenchResult, Comparison, Spread } from '../bindings';
import { inOrder, proposedPair, toggled } from './choose';
import { caseName, number, ratio, shortName, withSpread } from './figures';
import { comparisonTable, resultTable } from './forum';
import { axis, jitter, place } from '../kit/scale';
import { clearness } from './words';

const spread = (...values: number[]): Spread => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const std = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length);
  return { mean, std, values };
};

function result(id: string, over: Partial<BenchResult> = {}): BenchResult {
  return {
    id,
    at: 0,
    label: id,
    model: 'step',
    case: { prompt_tokens: 512, generate_tokens: 64, runs: 3 },
    latency_s: 0.002,
    samples: [],
    pp_tps: spread(1090, 1093, 1096),
    tg_tps: spread(16.8, 16.9, 17),
    ttft_s: spread(0.51, 0.512, 0.514),
    acceptance: null,
    circumstances: { image: 'sha256:1', driver: '580' },
    notes: [],
    ended: null,
    run: 'run-1',
    simulated: false,
    ...over,
  };
}

const acceptance = { rate: 0.65, mean_length: 2.96, per_position: [0.9, 0.65, 0.4] };
const mtp = (id: string, over: Partial<BenchResult> = {}) => result(id, { acceptance, ...over });

describe('figures in words', () => {
  test('context and requests at once stand in the short names, as the field writes them', () => {
    const plain = { prompt_tokens: 2048, generate_tokens: 128, runs: 3 };
    const deep = { ...plain, depth: 4096, concurrency: 4 };
    expect(shortName('tg_tps', plain)).toBe('tg128');
    expect(shortName('pp_tps', { ...plain, depth: 4096 })).toBe('pp2048 @ d4096');
    expect(shortName('tg_tps', deep)).toBe('tg128 @ d4096 (c4)');
    expect(caseName({ ...deep, method: 'llama-benchy' })).toBe(
      'pp2048 · tg128 @ d4096 (c4) · 3 repeats · as llama-benchy',
    );
  });

  test('have the digits they are worth', () => {
    expect(number(27.63, 'tg_tps')).toBe('27.6');
    expect(number(412.4, 'tg_tps')).toBe('412');
    expect(number(12345.6, 'pp_tps')).toBe('12\u202f346');
    expect(number(0.5123, 'ttft_s')).toBe('0.512');
    expect(number(2.345, 'ttft_s')).toMatch(/^2\.3[45]$/);
    expect(number(Number.NaN, 'ttft_s')).toBe('–');
  });

  test('one repeat has no spread, none has no figure', () => {
    expect(withSpread(spread(16.8, 16.9, 17), 'tg_tps')).toBe('16.9 ± 0.1');
    expect(withSpread(spread(16.9), 'tg_tps')).toBe('16.9');
    expect(withSpread({ mean: 0, std: 0, values: [] }, 'tg_tps')).toBe('–');
  });

  test('a ratio that cannot be told is not told', () => {
    expect([1.634, 0].map(ratio)).toEqual(['1.63 ×', '–']);
  });

  test('sooner is better for the first token, faster for the rest', () => {
    const line = {
      name: '',
      unit: '',
      a: 1,
      b: 1,
      interval: null,
      paired: true,
      needed: 3,
      clear: true,
      more_is_better: true,
    };
    expect(clearness({ ...line, figure: 'tg_tps', ratio: 1.6 })).toBe('faster');
    expect(clearness({ ...line, figure: 'ttft_s', ratio: 1.1 })).toBe('longer');
    expect(clearness({ ...line, figure: 'tg_tps', ratio: 1.6, clear: false })).toBe(
      'not beyond chance',
    );
    expect(clearness({ ...line, figure: 'tg_tps', ratio: 0 })).toBe('not known');
  });
});

describe('the pair that is proposed', () => {
  test('is plain and MTP of one run, the newest such', () => {
    const results = [
      result('hand', { at: 9, run: null }),
      mtp('mtp-2', { at: 8, run: 'run-2' }),
      result('plain-2', { at: 7, run: 'run-2' }),
      mtp('mtp-1', { at: 4 }),
      result('plain-1', { at: 3 }),
    ];
    expect(proposedPair(results)).toEqual(['plain-2', 'mtp-2']);
  });

  test('else the newest of each that measured the same', () => {
    const other = { prompt_tokens: 2048, generate_tokens: 64, runs: 3 };
    expect(
      proposedPair([
        result('longer', { at: 9, run: null, case: other }),
        mtp('mtp', { at: 8, run: null }),
        result('plain', { at: 1, run: null }),
      ]),
    ).toEqual(['plain', 'mtp']);
  });

  test('real figures are not set beside rehearsed ones unasked', () => {
    expect(
      proposedPair([
        mtp('rehearsed', { at: 9, run: null, simulated: true }),
        mtp('mtp', { at: 8, run: null }),
        result('plain', { at: 1, run: null }),
      ]),
    ).toEqual(['plain', 'mtp']);
  });

  test('else the newest two; of one or none there is no pair to show', () => {
    expect(proposedPair([result('b', { at: 2 }), result('a', { at: 1 })])).toEqual(['a', 'b']);
    expect(proposedPair([result('a')])).toEqual(['a']);
    expect(proposedPair([])).toEqual([]);
  });

  test('a third mark takes the place of the first', () => {
    expect(toggled(['a', 'b'], 'c')).toEqual(['b', 'c']);
    expect(toggled(['a', 'b'], 'a')).toEqual(['b']);
  });

  test('plain comes before MTP, whichever was marked first', () => {
    const results = [mtp('m', { at: 1 }), result('p', { at: 2 })];
    expect(inOrder(['m', 'p'], results)).toEqual(['p', 'm']);
  });
});

describe('the axis', () => {
  test('begins at zero, ends at a round number and holds everything', () => {
    expect(axis([16.9, 27.6])).toEqual({ end: 30, ticks: [0, 10, 20, 30] });
    expect(axis([0.51, 0.53])).toEqual({ end: 0.6, ticks: [0, 0.2, 0.4, 0.6] });
    for (const most of [0.001, 0.3, 1, 7, 99, 1234, 1e6]) {
      const { end, ticks } = axis([most]);
      expect(end, `axis up to ${most}`).toBeGreaterThanOrEqual(most);
      expect(ticks.length, `marks up to ${most}`).toBeLessThanOrEqual(6);
      expect(ticks.at(-1)).toBe(end);
    }
  });

  test('without a value it is still an axis', () => {
    expect(axis([])).toEqual({ end: 1, ticks: [0, 1] });
    expect(place(Number.NaN, 1, 100)).toBe(0);
    expect(place(5, 10, 200)).toBe(100);
  });

  test('repeats that came out alike do not cover each other', () => {
    expect(jitter([10, 10, 10, 60], 8, 4)).toEqual([0, 4, -4, 0]);
  });
});

describe('the table for a forum', () => {
  const a = result('Plain');
  const b = mtp('MTP | 3', {
    tg_tps: spread(27.4, 27.6, 27.8),
    circumstances: { image: 'sha256:1', driver: '581' },
  });
  const comparison: Comparison = {
    a,
    b,
    figures: [
      {
        figure: 'tg_tps',
        name: 'Writing',
        unit: 'tokens/s',
        a: 16.9,
        b: 27.6,
        ratio: 1.633,
        interval: [1.6, 1.66],
        paired: true,
        needed: 3,
        clear: true,
        more_is_better: true,
      },
      {
        figure: 'pp_tps',
        name: 'Reading',
        unit: 'tokens/s',
        a: 1093,
        b: 1093,
        ratio: 1,
        interval: null,
        paired: false,
        needed: null,
        clear: false,
        more_is_better: true,
      },
    ],
    differences: [{ name: 'driver', a: '580', b: '581' }],
    verdict: '“MTP” writes 1.63 × as fast as “Plain”.',
  };

  test('has the verdict, both sides, what was the same and what differed', () => {
    expect(comparisonTable(comparison).split('\n')).toEqual([
      '“MTP” writes 1.63 × as fast as “Plain”.',
      '',
      '|  | Plain | MTP \\| 3 | ratio |',
      '| --- | --: | --: | --: |',
      '| Token generation (tg) | 16.9 ± 0.1 tokens/s | 27.6 ± 0.2 tokens/s | 1.63 × (1.60 to 1.66 ×) |',
      '| Prompt processing (pp) | 1\u202f093 ± 2 tokens/s | 1\u202f093 ± 2 tokens/s | 1.00 ×, not beyond chance |',
      '| Draft acceptance | – | 65 %, 2.96 tokens a step |  |',
      '',
      "`step`, pp512 · tg64 · 3 repeats, mean ± standard deviation, by llama-benchy's definitions, measured with Tandem.",
      '',
      '- image: `sha256:1`',
      '- driver: `580` against `581`',
      '',
    ]);
  });

  test('says so when the machines were rehearsed', () => {
    expect(resultTable(result('x', { simulated: true }))).toContain('rehearsed machines');
    expect(resultTable(result('x'))).not.toContain('rehearsed');
  });

  test('a name cannot break out of its cell or its code', () => {
    const text = resultTable(result('a|b\nc', { circumstances: { args: '`x`\n# y' } }));
    expect(text).toContain('| a\\|b c |');
    expect(text).toContain("- args: `'x' # y`");
  });
});
