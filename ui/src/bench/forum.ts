// A measurement as people post it: a Markdown table with what it was measured on.

import type { BenchResult, Comparison } from '../bindings';
import {
  caseName,
  FIGURES,
  interval,
  isFigure,
  NAMES,
  percent,
  ratio,
  withSpread,
} from './figures';

/** One measurement. */
export function resultTable(result: BenchResult): string {
  return document(
    [
      row(['', cell(result.label)]),
      row(['---', '--:']),
      ...FIGURES.map((figure) =>
        row([nameOf(figure), `${withSpread(result[figure], figure)} ${NAMES[figure].unit}`]),
      ),
      ...acceptanceRows([result]),
    ],
    [result],
    circumstanceLines(result.circumstances),
  );
}

/** Two measurements with what lies between them. */
export function comparisonTable(comparison: Comparison): string {
  const { a, b } = comparison;
  const rows = comparison.figures.flatMap((line) => {
    if (!isFigure(line.figure)) return [];
    const { figure } = line;
    const unit = NAMES[figure].unit;
    return [
      row([
        nameOf(figure),
        `${withSpread(a[figure], figure)} ${unit}`,
        `${withSpread(b[figure], figure)} ${unit}`,
        `${ratio(line.ratio)}${line.interval ? ` (${interval(line.interval)})` : ''}${line.clear ? '' : ', not beyond chance'}`,
      ]),
    ];
  });
  const same = Object.fromEntries(
    Object.entries(a.circumstances).filter(([name, value]) => b.circumstances[name] === value),
  );
  const differing = comparison.differences.map(
    (difference) => `- ${difference.name}: ${code(difference.a)} against ${code(difference.b)}`,
  );
  return document(
    [
      row(['', cell(a.label), cell(b.label), 'ratio']),
      row(['---', '--:', '--:', '--:']),
      ...rows,
      ...acceptanceRows([a, b]),
    ],
    [a, b],
    [...circumstanceLines(same), ...differing],
    cell(comparison.verdict),
  );
}

function document(
  table: string[],
  results: BenchResult[],
  lines: string[],
  verdict?: string,
): string {
  const [first] = results;
  const measured = [...new Set(results.map((result) => caseName(result.case)))].join(' against ');
  return [
    ...(verdict === undefined ? [] : [verdict, '']),
    ...table,
    '',
    `${code(first?.model ?? null)}, ${measured}, mean ± standard deviation, by llama-benchy's definitions, measured with Tandem.`,
    ...(results.some((result) => result.simulated)
      ? ['**Measured on rehearsed machines: these figures say nothing about real ones.**']
      : []),
    ...results.flatMap((result) => result.notes.map((note) => `**${cell(note.says)}**`)),
    ...(lines.length > 0 ? ['', ...lines] : []),
    '',
  ].join('\n');
}

function acceptanceRows(results: BenchResult[]): string[] {
  if (results.every((result) => result.acceptance === null)) return [];
  const cells = results.map((result) =>
    result.acceptance === null
      ? '–'
      : `${percent(result.acceptance.rate)}, ${result.acceptance.mean_length.toFixed(2)} tokens a step`,
  );
  return [row(['Draft acceptance', ...cells, ...(results.length > 1 ? [''] : [])])];
}

function circumstanceLines(circumstances: Record<string, string>): string[] {
  return Object.entries(circumstances).map(([name, value]) => `- ${name}: ${code(value)}`);
}

function nameOf(figure: (typeof FIGURES)[number]): string {
  return `${NAMES[figure].plain} (${NAMES[figure].short})`;
}

function row(cells: string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** A bar or a line break in a name would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/\s+/g, ' ');
}

function code(text: string | null): string {
  return text === null ? 'not said' : `\`${text.replaceAll('`', "'").replace(/\s+/g, ' ')}\``;
}
