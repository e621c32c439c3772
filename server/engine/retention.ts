/**
 * What is deleted when (docs/decisions/0014). Updates go with their round (`releaseUpdates`); here go
 * states and vectors of a rule once the next version is committed, models beyond `keepCheckpoints`,
 * and, by a sweep of all blobs, what nothing that is stored needs.
 */
import type { ListedBlob } from '../core/ports.js';
import type { Checkpoint, Run } from '../core/records.js';
import type { EngineParts } from './engine.js';
import { UnderWay } from './under-way.js';

/** A sweep does not compete with the runs that a start takes up. */
const FIRST_SWEEP_MS = 10_000;
/**
 * What an operator has uploaded for a run that is yet to be created looks like what a crash has left,
 * and a day is time enough to create it.
 */
const ORPHAN_MS = 24 * 3_600_000;
const BLOBS_AT_ONCE = 500;

export interface RetentionOptions {
  /** How far apart sweeps are; none where nothing is said. */
  readonly sweepEveryMs?: number | undefined;
  /** How old a blob that nothing needs must be for a sweep to delete it. */
  readonly orphanMs?: number;
}

export class Retention {
  readonly #storing = new UnderWay();
  readonly #deleting = new UnderWay();
  #sweeping: Promise<unknown> = Promise.resolve();
  #cancelWake: (() => void) | null = null;
  #turn = 0;

  constructor(
    private readonly parts: Pick<EngineParts, 'store' | 'blobs' | 'clock' | 'meter' | 'log'>,
    private readonly options: RetentionOptions = {},
  ) {}

  /** Sweeps from now on. Also after `stop`. */
  start(): void {
    const { sweepEveryMs } = this.options;
    if (sweepEveryMs === undefined || this.#cancelWake) return;
    this.#wake(Math.min(FIRST_SWEEP_MS, sweepEveryMs), sweepEveryMs);
  }

  /** Ends a sweep that is under way; what a commit has left is deleted first. */
  async stop(): Promise<void> {
    this.#cancelWake?.();
    this.#cancelWake = null;
    this.#turn++;
    await Promise.all([this.#sweeping, this.#deleting.settled()]);
  }

  /**
   * Work that may store blobs before it stores a row that names them. Rounds of two runs may come to
   * the same model or state: what one of them lets go, the other may be about to record.
   */
  whileStoring<T>(work: () => Promise<T>): Promise<T> {
    return this.#storing.track(work());
  }

  /** A run has a newer version than this one. Never throws: what is left over now, a sweep finds. */
  superseded({ id, spec }: Run, { stateSha256, broadcast }: Checkpoint): void {
    const rule = [stateSha256, broadcast?.sha256].filter((sha256) => typeof sha256 === 'string');
    const work = async (): Promise<void> => {
      const expired = await this.parts.store.expireCheckpoints(id);
      await this.#release([...(spec.keepUpdates ? [] : rule), ...expired]);
    };
    void this.#deleting.track(this.#quietly('what a commit let go is left to a sweep', work));
  }

  /** Looks at every blob once. */
  async sweep(): Promise<void> {
    const { store, blobs, clock, log } = this.parts;
    const turn = this.#turn;
    const isOver = (): boolean => turn !== this.#turn;
    for (const { id } of await store.runs()) {
      if (isOver()) return;
      await this.#release(await store.expireCheckpoints(id));
    }
    const before = clock.now() - (this.options.orphanMs ?? ORPHAN_MS);
    let deleted = 0;
    for await (const batch of batches(blobs.list(), before)) {
      if (isOver()) return;
      deleted += await this.#deleteUnneeded(batch, before);
    }
    await blobs.tidy();
    if (deleted > 0) log.info({ blobs: deleted }, 'blobs that nothing needs were deleted');
  }

  /**
   * Blobs that were needed until now. Who was storing the same content is waited for; who begins
   * later makes it young again, and it is left alone.
   */
  async #release(hashes: readonly string[]): Promise<void> {
    if (hashes.length === 0) return;
    const before = this.parts.clock.now();
    await this.#storing.settled();
    await this.#deleteUnneeded(hashes, before);
  }

  async #deleteUnneeded(hashes: readonly string[], storedBefore: number): Promise<number> {
    const needed = await this.parts.store.needed(hashes);
    const unneeded = hashes.filter((sha256) => !needed.has(sha256));
    for (const sha256 of unneeded) await this.parts.blobs.delete(sha256, storedBefore);
    if (unneeded.length > 0) this.parts.meter?.collected(unneeded.length);
    return unneeded.length;
  }

  #wake(inMs: number, everyMs: number): void {
    const { clock } = this.parts;
    this.#cancelWake = clock.wakeAt(clock.now() + inMs, () => {
      this.#sweeping = this.#quietly('the sweep ended early', () => this.sweep()).then(() => {
        if (this.#cancelWake) this.#wake(everyMs, everyMs);
      });
    });
  }

  async #quietly(message: string, work: () => Promise<void>): Promise<void> {
    await work().catch((err: unknown) => this.parts.log.warn({ err }, message));
  }
}

async function* batches(
  blobs: AsyncIterable<ListedBlob>,
  storedBefore: number,
): AsyncGenerator<string[]> {
  let batch: string[] = [];
  for await (const { sha256, storedAt } of blobs) {
    if (storedAt >= storedBefore) continue;
    batch.push(sha256);
    if (batch.length < BLOBS_AT_ONCE) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
