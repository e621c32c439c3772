/**
 * One run of a story on the real engine, with everything in memory: the same rounds, receipts and
 * bytes as over the network, without one.
 */
import { encodeDataset } from '../../client/data/load.js';
import { decodeParams, encodeParams } from '../../client/params.js';
import { initialParams } from '../../client/tfjs/model.js';
import type { Params } from '../../client/types.js';
import { TributaryError } from '../../protocol/errors.js';
import { createMemoryBlobStore } from '../adapters/blob-memory.js';
import { createLoopback } from '../adapters/loopback.js';
import { createMemoryStore } from '../adapters/memory-store.js';
import { systemClock } from '../adapters/system-clock.js';
import { tfjsOracles } from '../adapters/tfjs-oracle.js';
import type { BlobStore, Store } from '../core/ports.js';
import type { AssignmentRecord, RoundRecord, Run } from '../core/records.js';
import { putBlob, readAll } from '../engine/checkpoints.js';
import { createEngine } from '../engine/create-engine.js';
import type { Log } from '../engine/engine.js';
import { connectAll } from './participants.js';
import type { ArrivalOrder } from './schedule.js';
import { Schedule } from './schedule.js';
import type { Story, StoryRun } from './stories.js';
import { specOf } from './stories.js';

export interface ExperimentOptions {
  /** In which order results arrive; by default as they are computed. */
  readonly order?: ArrivalOrder;
  readonly log?: Log;
}

export interface ExperimentResult {
  readonly run: Run;
  /** Committed rounds, oldest first. */
  readonly rounds: readonly RoundRecord[];
  /** Training assignments of the committed rounds, with the weights that they were given. */
  readonly updates: readonly (readonly AssignmentRecord[])[];
  /** Those of the last round. */
  readonly last: readonly AssignmentRecord[];
  /** Accuracy on the held-out set after each round that was evaluated. */
  readonly accuracy: readonly number[];
  /** The final model. */
  readonly model: Params;
  /** Updates of attackers that admission refused. */
  readonly refused: number;
}

const silent: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Plays every round of one run and returns what it came to. The same story and run give the same bits
 * on the same backend.
 *
 * @throws TributaryError as the engine does where it refuses the run; `not_finite` or `over_cap` where
 * training diverged; `internal` where the run ends without being complete.
 */
export async function runExperiment(
  story: Story,
  storyRun: StoryRun,
  options: ExperimentOptions = {},
): Promise<ExperimentResult> {
  const store = createMemoryStore();
  const blobs = createMemoryBlobStore();
  const loopback = createLoopback();
  const engine = createEngine({
    store,
    blobs,
    transport: loopback.transport,
    clock: systemClock(),
    oracles: tfjsOracles(blobs),
    log: options.log ?? silent,
  });
  loopback.bind(engine);
  try {
    const run = await engine.createRun(specOf(story, storyRun, await blobsOf(story, blobs)));
    const schedule = new Schedule(options.order);
    const { task } = story;
    const network = { engine, loopback, blobs, task, schedule };
    const { over, refused } = await connectAll(story, run, network);
    const { status, reason } = await over;
    if (status !== 'completed')
      throw new TributaryError('internal', `${storyRun.label}: ${reason ?? status}`);
    await schedule.idle();
    return { ...(await resultOf(run, store, blobs)), refused: refused() };
  } finally {
    await engine.close();
    await store.close();
  }
}

async function blobsOf(
  { task, common, proxy }: Story,
  blobs: BlobStore,
): Promise<{ init: string; proxy: string | null }> {
  const init = await putBlob(
    blobs,
    encodeParams(task.model, await initialParams(task.model, common.seed)),
  );
  const stored = proxy ? await putBlob(blobs, encodeDataset(proxy)) : null;
  return { init: init.sha256, proxy: stored?.sha256 ?? null };
}

async function resultOf(
  run: Run,
  store: Store,
  blobs: BlobStore,
): Promise<Omit<ExperimentResult, 'refused'>> {
  const rounds = (await store.rounds(run.id)).filter(({ round }) => round.version !== null);
  const updates = await Promise.all(
    rounds.map(async ({ round }) => {
      const records = await store.assignments(run.id, round.number, round.attempt);
      return records.filter(({ kind }) => kind === 'train');
    }),
  );
  const checkpoint = rounds.at(-1)?.checkpoint;
  if (!checkpoint) throw new TributaryError('internal', `run ${run.id} has no final checkpoint`);
  return {
    run,
    rounds,
    updates,
    last: updates.at(-1) ?? [],
    accuracy: rounds.flatMap(({ evaluation }) => evaluation?.pooled.accuracy ?? []),
    model: decodeParams(run.spec.task.model, await readAll(await blobs.open(checkpoint.sha256))),
  };
}
