/** CPU time of candidates that take turns: what disturbs one disturbs all. */

/** Does its work once and says how many seconds of CPU time it took. */
export type Candidate = () => number | Promise<number>;

/** The CPU time of this process, all its threads. */
export function cpuSeconds(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** The median time of each candidate, in seconds, after some runs that don't count. */
export async function interleaved<Name extends string>(
  candidates: Readonly<Record<Name, Candidate>>,
  { repetitions, warmUp }: { readonly repetitions: number; readonly warmUp: number },
): Promise<Record<Name, number>> {
  const names = Object.keys(candidates) as Name[];
  const times = new Map(names.map((name) => [name, [] as number[]]));
  for (let run = -warmUp; run < repetitions; run++) {
    for (const name of names) {
      const seconds = await candidates[name]();
      if (run >= 0) times.get(name)?.push(seconds);
    }
  }
  return Object.fromEntries([...times].map(([name, each]) => [name, median(each)])) as Record<
    Name,
    number
  >;
}
