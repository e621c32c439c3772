/** What the probe told of the coordinator, and what follows from it. */
import { z } from 'zod';

const sample = z.object({
  at: z.number(),
  rss: z.number(),
  heapUsed: z.number(),
  external: z.number(),
  cpuMs: z.number(),
  p99: z.number(),
  max: z.number(),
});
export type Sample = z.infer<typeof sample>;

export class Vitals {
  readonly #samples: Sample[] = [];

  add(raw: unknown): void {
    this.#samples.push(sample.parse(raw));
  }

  between(began: number, ended: number): Sample[] {
    return this.#samples.filter(({ at }) => at >= began && at <= ended);
  }
}

const MB = 1e6;
/** Share of the samples at the beginning in which caches and pools fill. */
const WARM_UP = 0.25;

export interface Memory {
  readonly startMb: number;
  readonly endMb: number;
  /** Least squares over all but the first quarter. */
  readonly mbPer100Rounds: number;
}

/** RSS over a stretch of so many rounds. */
export function memoryOf(samples: readonly Sample[], rounds: number): Memory {
  const rss = samples.map((each) => each.rss / MB);
  const warm = rss.slice(Math.floor(rss.length * WARM_UP));
  const roundsASample = rounds / Math.max(1, rss.length);
  return {
    startMb: rss[0] ?? NaN,
    endMb: rss.at(-1) ?? NaN,
    mbPer100Rounds: (slopeOf(warm) / roundsASample) * 100,
  };
}

function slopeOf(values: readonly number[]): number {
  const n = values.length;
  const meanX = (n - 1) / 2;
  const meanY = values.reduce((sum, y) => sum + y, 0) / n;
  let [xy, xx] = [0, 0];
  values.forEach((y, x) => {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
  });
  return xx === 0 ? 0 : xy / xx;
}

/** Growth that a thousand rounds may show: a twentieth of what the process holds. */
export function isFlat({ mbPer100Rounds, endMb }: Memory): boolean {
  return mbPer100Rounds * 10 < endMb / 20;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}
