/** A worker thread that aggregates one round at a time, seen from the coordinator. */
import { Worker } from 'node:worker_threads';
import type { OracleProvider } from '../../core/ports.js';
import type { AggregationInput, AggregationResult } from '../../engine/aggregation.js';
import type { Piece } from '../../engine/pieces.js';
import { spoolIn } from '../blob-directory.js';
import { removeSpooledBy } from '../spool.js';
import { Line } from './line.js';
import { OracleDesk } from './oracle.js';
import type {
  BlobLocation,
  CoordinatorServices,
  WorkerServices,
  WorkerSettings,
} from './services.js';

/** The worker ended before its answer: out of memory, by `process.exit`, by an error nobody caught. */
export class ThreadEnded extends Error {
  override readonly name = 'ThreadEnded';
}

/** What a worker may ask of the coordinator. */
export interface ThreadServices {
  readonly oracles: OracleProvider;
  /** A piece of the round that it aggregates, for another worker. */
  readonly offer: (piece: Piece, input: AggregationInput) => Promise<boolean>;
}

export class AggregationThread {
  readonly #worker: Worker;
  readonly #desk: OracleDesk;
  readonly #line: Line<WorkerServices, CoordinatorServices>;
  #input: AggregationInput | null = null;
  #isAlive = true;
  #isWarm = false;
  /** Resolves when the thread has ended, and what it left is removed. Never rejects. */
  readonly gone: Promise<void>;

  constructor(entry: URL, settings: WorkerSettings, { oracles, offer }: ThreadServices) {
    this.#worker = new Worker(entry, { workerData: settings, name: 'tributary aggregation' });
    this.gone = tidiedAfter(this.#worker, settings.blobs);
    this.#desk = new OracleDesk(oracles);
    const desk = this.#desk;
    this.#line = new Line<WorkerServices, CoordinatorServices>(this.#worker, {
      openOracle: (buffers) => desk.openOracle(buffers),
      lossAndGrad: (question) => desk.lossAndGrad(question),
      closeOracle: () => desk.closeOracle(),
      offer: (piece) => (this.#input ? offer(piece, this.#input) : Promise.resolve(false)),
    });
    const ended = (why: string): void => this.#ended(new ThreadEnded(why));
    this.#worker.on('error', (error: unknown) => {
      ended(error instanceof Error ? error.message : String(error));
    });
    this.#worker.on('messageerror', (error) => void this.end(new ThreadEnded(error.message)));
    this.#worker.on('exit', (code) => ended(`it exited with code ${code}`));
    // Idle, it must not keep a process alive that has nothing else to do.
    this.#worker.unref();
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** Whether it has answered once: until then it loads its modules. */
  get isWarm(): boolean {
    return this.#isWarm;
  }

  /** Lets it load, so that it can help at once from then on. */
  warmUp(): void {
    const answered = (): void => void (this.#isWarm = this.#isAlive);
    this.#line.ask('help', { kind: 'verify', blobs: [] }).then(answered, answered);
  }

  /** @throws ThreadEnded where the worker does not live to answer; what aggregating throws. */
  async aggregate(input: AggregationInput): Promise<AggregationResult> {
    this.#desk.serve(input.run);
    this.#input = input;
    return this.#busyWith(this.#line.ask('aggregate', input));
  }

  /** @throws ThreadEnded, and what doing the piece throws. */
  help(piece: Piece): Promise<void> {
    return this.#busyWith(this.#line.ask('help', piece));
  }

  async #busyWith<T>(work: Promise<T>): Promise<T> {
    this.#worker.ref();
    try {
      return await work;
    } finally {
      this.#isWarm = this.#isAlive;
      this.#worker.unref();
    }
  }

  /** Ends it wherever it is. What it had been asked fails with `why`. */
  async end(why: Error): Promise<void> {
    this.#ended(why);
    // Else a process that only waits for this would be over before it.
    this.#worker.ref();
    await this.#worker.terminate();
    await this.gone;
  }

  #ended(why: Error): void {
    this.#isAlive = false;
    this.#line.break(why);
    // Its oracle may be a client that is long gone: nothing is lost with it.
    this.#desk.leave().catch(() => undefined);
  }
}

/** Resolves when a thread has ended, and what it was writing is removed. Never rejects. */
async function tidiedAfter(worker: Worker, blobs: BlobLocation): Promise<void> {
  // Asked now: a thread that has ended has no number any more.
  const { threadId } = worker;
  await new Promise((resolve) => worker.once('exit', resolve));
  // What cannot be removed now, the next start removes.
  await removeSpooledBy(threadId, spoolOf(blobs)).catch(() => undefined);
}

function spoolOf(blobs: BlobLocation): string {
  return blobs.kind === 'directory' ? spoolIn(blobs.folder) : blobs.spoolDir;
}
