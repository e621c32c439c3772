/** How commands print: tables for people at 80 columns, JSON for programs. */
import Table from 'cli-table3';

/** Prints `value` as JSON where that was asked for; else what `human` makes of it. */
export function print<T>(value: T, json: boolean | undefined, human: (value: T) => string): void {
  process.stdout.write(`${json ? JSON.stringify(value, null, 2) : human(value)}\n`);
}

/** A plain table: a header line, columns two spaces apart, numbers to the right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const numeric = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'),
  );
  const none = '';
  const result = new Table({
    head: [...head],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true },
    colAligns: numeric.map((yes) => (yes ? 'right' : 'left')),
    chars: {
      top: none,
      'top-mid': none,
      'top-left': none,
      'top-right': none,
      bottom: none,
      'bottom-mid': none,
      'bottom-left': none,
      'bottom-right': none,
      left: none,
      'left-mid': none,
      mid: none,
      'mid-mid': none,
      right: none,
      'right-mid': none,
      middle: none,
    },
  });
  result.push(...rows.map((row) => row.map(String)));
  return result
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const BARS = '▁▂▃▄▅▆▇█';

/** Numbers as a row of bars, the lowest to the highest of `range`. */
export function sparkline(values: readonly number[], range?: readonly [number, number]): string {
  const [low, high] = range ?? [Math.min(...values), Math.max(...values)];
  const width = high - low || 1;
  return values
    .map((value) => {
      const share = Math.min(1, Math.max(0, (value - low) / width));
      return BARS[Math.round(share * (BARS.length - 1))];
    })
    .join('');
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'];

/** Bytes in powers of 1000, three digits. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${UNITS[unit]}`;
}
