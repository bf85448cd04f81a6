// Kept measurements of the fake host, and the comparison of two.

import type {
  BenchResult,
  BenchSample,
  Comparison,
  FigureDifference,
  Spread,
} from '../../bindings';

function spread(values: number[]): Spread {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const std = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length);
  return { mean, std, values };
}

/** A measurement around two speeds. */
export function measured(
  id: string,
  label: string,
  at: number,
  pp: number,
  tg: number,
  more: Partial<BenchResult> = {},
): BenchResult {
  const wobble = [0.992, 1.003, 1.006];
  const samples: BenchSample[] = wobble.map((w) => ({
    prompt_tokens: 514,
    completion_tokens: 64,
    ttfr_s: 514 / (pp * w),
    ttft_s: 514 / (pp * w) + 0.041,
    end_s: 514 / (pp * w) + 64 / (tg * w),
    pp_tps: pp * w,
    tg_tps: tg * w,
  }));
  return {
    id,
    at,
    label,
    model: 'step-3.7-flash',
    case: { prompt_tokens: 512, generate_tokens: 64, runs: 3 },
    latency_s: 0.0021,
    samples,
    pp_tps: spread(samples.map((s) => s.pp_tps)),
    tg_tps: spread(samples.map((s) => s.tg_tps)),
    ttft_s: spread(samples.map((s) => s.ttft_s)),
    acceptance: null,
    circumstances: {
      'driver on spark-5c2d': '580.159.03',
      'driver on spark-bd26': '580.142',
      image: 'sha256:9f2c5a7d0be1f6…41ab',
      revision: 'b2ab3ac7',
      'speculative tokens': 'none',
      'tensor parallel': '2',
    },
    run: 'run-1',
    simulated: false,
    ...more,
  };
}

/** Plain and MTP, as a set-up leaves them. */
export function afterSetup(now: number, simulated = false): BenchResult[] {
  const plain = measured('bench-plain', 'Plain', now - 1_800_000, 1093, 16.9, { simulated });
  const mtp = measured('bench-mtp', 'MTP, 3 tokens', now - 900_000, 1047, 27.6, {
    simulated,
    acceptance: { rate: 0.655, mean_length: 2.96, per_position: [0.876, 0.652, 0.436] },
    circumstances: { ...plain.circumstances, 'speculative tokens': '3' },
  });
  return [mtp, plain];
}

/** Two measurements side by side. */
export function compare(a: BenchResult, b: BenchResult): Comparison {
  const line = (
    figure: 'pp_tps' | 'tg_tps' | 'ttft_s',
    name: string,
    unit: string,
    more_is_better: boolean,
  ): FigureDifference => {
    const [x, y] = [a[figure], b[figure]];
    const error = Math.sqrt((x.std ** 2 + y.std ** 2) / Math.max(1, x.values.length));
    return {
      figure,
      name,
      unit,
      a: x.mean,
      b: y.mean,
      ratio: y.mean / x.mean,
      clear: Math.abs(y.mean - x.mean) > 2 * error,
      more_is_better,
    };
  };
  const figures = [
    line('tg_tps', 'Writing', 'tokens/s', true),
    line('pp_tps', 'Reading the prompt', 'tokens/s', true),
    line('ttft_s', 'Time to the first token', 's', false),
  ];
  const names = new Set([...Object.keys(a.circumstances), ...Object.keys(b.circumstances)]);
  const ratio = figures[0]?.ratio ?? 1;
  return {
    a,
    b,
    figures,
    differences: [...names]
      .sort()
      .map((name) => ({ name, a: a.circumstances[name] ?? null, b: b.circumstances[name] ?? null }))
      .filter((d) => d.a !== d.b),
    verdict: `“${b.label}” writes ${ratio.toFixed(2)} × as fast as “${a.label}” (${b.tg_tps.mean.toFixed(1)} against ${a.tg_tps.mean.toFixed(1)} tokens/s); the difference is ${figures[0]?.clear ? 'clear' : 'within the spread of the repeats'}.`,
  };
}
