/**
 * One kernel at one size, in a process of its own, so that its peak RSS is its own. Prints a line of
 * JSON. `tsx bench/case.ts KERNEL K P REPETITIONS`
 */
import { fill } from './fill.js';
import type { Candidate } from './measure.js';
import { cpuSeconds, interleaved } from './measure.js';
import type { Numpy } from './numpy.js';
import { openNumpy } from './numpy.js';
import type { Resident } from './resident.js';
import { resident } from './resident.js';
import type { Subject } from './subjects.js';
import { subjects } from './subjects.js';

/** Units of work (see Subject.cost) of one run, at most: then fewer elements are measured. */
const WORK = 4e9;
/** For plain loops, which are ten to a hundred times slower. */
const SLOW_WORK = 1e9;

export interface CaseResult {
  readonly kernel: string;
  readonly K: number;
  readonly P: number;
  /** Bytes of updates a second of CPU time, by candidate. */
  readonly bytesPerSecond: Readonly<Record<string, number>>;
  readonly peakRssBytes: number;
}

function sizes({ cost }: Subject, K: number, P: number): { whole: number; slow: number } {
  const within = (work: number): number =>
    Math.max(1024, Math.min(P, Math.floor(work / K / cost(K))));
  return { whole: within(WORK), slow: within(SLOW_WORK) };
}

async function measure(
  subject: Subject,
  [K, P, repetitions]: readonly [number, number, number],
  x: Resident,
  numpy: Numpy | null,
): Promise<CaseResult['bytesPerSecond']> {
  const { whole, slow } = sizes(subject, K, P);
  const candidates: Record<string, { size: number; run: Candidate }> = {
    read: { size: whole, run: () => cpuSeconds(() => x.readSum(whole)) },
    ours: { size: whole, run: () => cpuSeconds(() => subject.run(x, whole)) },
    plain: { size: slow, run: () => cpuSeconds(() => subject.plain(x, slow)) },
  };
  for (const name of numpy ? subject.numpy : []) {
    candidates[name] = { size: whole, run: () => numpy!.run(name, K, whole) };
  }
  const runs = Object.fromEntries(Object.entries(candidates).map(([name, { run }]) => [name, run]));
  const seconds = await interleaved(runs, { repetitions, warmUp: 2 });
  return Object.fromEntries(
    Object.entries(candidates).map(([name, { size }]) => [name, (4 * K * size) / seconds[name]]),
  );
}

const [kernel, ...numbers] = process.argv.slice(2);
const [K, P, repetitions] = numbers.map(Number);
const subject = subjects.find(({ name }) => name === kernel);
if (!subject) throw new Error(`no kernel "${kernel}": ${subjects.map((s) => s.name).join(', ')}`);
const numpy = await openNumpy();
const x = resident(K, P, fill);
const bytesPerSecond = await measure(subject, [K, P, repetitions], x, numpy);
numpy?.close();
const peakRssBytes = process.resourceUsage().maxRSS * 1024;
const result: CaseResult = { kernel, K, P, bytesPerSecond, peakRssBytes };
process.stdout.write(`${JSON.stringify(result)}\n`);
