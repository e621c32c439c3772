/**
 * One run of a story on the real engine, with everything in memory: the same rounds, receipts and
 * bytes as over the network, without one.
 */
import { encodeDataset } from '../../client/data/load.js';
import { initialParams } from '../../client/tfjs/model.js';
import { encodeParams } from '../../client/params.js';
import { tfjsEvaluator, tfjsTrainer } from '../../client/tfjs/trainer.js';
import { TributaryError } from '../../protocol/errors.js';
import type { RunState } from '../../protocol/messages.js';
import { createMemoryBlobStore } from '../adapters/blob-memory.js';
import { createLoopback } from '../adapters/loopback.js';
import { createMemoryStore } from '../adapters/memory-store.js';
import { systemClock } from '../adapters/system-clock.js';
import { tfjsOracles } from '../adapters/tfjs-oracle.js';
import type { AssignmentRecord, BlobStore, RoundRecord, Run, Store } from '../core/ports.js';
import { putBlob } from '../engine/checkpoints.js';
import { createEngine } from '../engine/create-engine.js';
import type { Engine, Log } from '../engine/engine.js';
import type { ArrivalOrder } from './schedule.js';
import { Schedule } from './schedule.js';
import { simulatedClients } from './simulated-client.js';
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
  /** Updates of the last round, with the weights that they were given. */
  readonly last: readonly AssignmentRecord[];
  /** Accuracy on the held-out set after each round. */
  readonly accuracy: readonly number[];
}

const silent: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** The name of the client that holds the test set. */
const EVALUATOR = 'held-out';

/** @throws TributaryError where the run does not complete. */
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
    const { over } = await connectAll(story, run, {
      engine,
      loopback,
      blobs,
      task: story.task,
      schedule,
    });
    const { status, reason } = await over;
    if (status !== 'completed')
      throw new TributaryError('internal', `${storyRun.label}: ${reason ?? status}`);
    await schedule.idle();
    return await resultOf(run, store);
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

interface Network {
  readonly engine: Engine;
  readonly loopback: ReturnType<typeof createLoopback>;
  readonly blobs: BlobStore;
  readonly task: Story['task'];
  readonly schedule: Schedule;
}

/** Connects every client and the evaluator. `over` resolves when the run is over. */
async function connectAll(
  story: Story,
  run: Run,
  network: Network,
): Promise<{ over: Promise<RunState> }> {
  const clients = simulatedClients(network);
  const evaluator = await network.engine.enrol(run.id, EVALUATOR, 'evaluator');
  let ended: (state: RunState) => void;
  let failed: (error: unknown) => void;
  const over = new Promise<RunState>((resolve, reject) => {
    ended = resolve;
    failed = reject;
  });
  // A result without one of its clients, or without its evaluation, must not pass for one.
  const onFailure = (error: unknown): void => failed(error);
  await clients.connect({
    client: evaluator.client,
    evaluate: tfjsEvaluator({ data: story.test }),
    onFailure,
    onRun: (state) => {
      if (state.status !== 'running') ended(state);
    },
  });
  for (const { name, role, data } of story.clients) {
    const { client } = await network.engine.enrol(run.id, name, role);
    await clients.connect({ client, train: tfjsTrainer({ data }), onFailure });
  }
  return { over };
}

async function resultOf(run: Run, store: Store): Promise<ExperimentResult> {
  const rounds = (await store.rounds(run.id)).filter(({ round }) => round.version !== null);
  const final = rounds.at(-1);
  const last = final
    ? await store.assignments(run.id, final.round.number, final.round.attempt)
    : [];
  return {
    run,
    rounds,
    last: last.filter(({ kind }) => kind === 'train'),
    accuracy: rounds.flatMap(({ evaluation }) => evaluation?.pooled.accuracy ?? []),
  };
}
