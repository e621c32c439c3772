/** A whole run on the real engine with everything in memory: fast enough for many permutations. */
import type { TrainFunction } from '../../client/types.js';
import type { Role, RunSpecInput } from '../../protocol/run.js';
import { runSpec } from '../../protocol/run.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createLoopback } from '../../server/adapters/loopback.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { systemClock } from '../../server/adapters/system-clock.js';
import { tfjsOracles } from '../../server/adapters/tfjs-oracle.js';
import type { BlobStore, OracleProvider } from '../../server/core/ports.js';
import type { Checkpoint } from '../../server/core/records.js';
import type { Aggregator } from '../../server/engine/aggregator.js';
import { putBlob } from '../../server/engine/checkpoints.js';
import { createEngine } from '../../server/engine/create-engine.js';
import type { ArrivalOrder } from '../../server/simulation/schedule.js';
import { Schedule } from '../../server/simulation/schedule.js';
import { simulatedClients } from '../../server/simulation/simulated-client.js';
import { initialModel, plainTrainer } from './plain-task.js';

export interface SimulatedPlayer {
  readonly name: string;
  readonly role: Role;
  readonly train: TrainFunction;
}

export interface SimulatedRunOptions {
  readonly spec: Omit<RunSpecInput, 'init'>;
  readonly init: Uint8Array;
  /** Enrolled and connected in this order. */
  readonly players: readonly SimulatedPlayer[];
  readonly order?: ArrivalOrder;
  /** The proxy set of a FedLAW oracle. */
  readonly proxy?: Uint8Array;
  /** In memory, if nothing is said. */
  readonly blobs?: BlobStore;
  /** In this thread, if nothing is said. */
  readonly aggregator?: Aggregator;
  readonly oracles?: OracleProvider;
}

export interface SimulatedOutcome {
  readonly status: string;
  /** Model and state of every version, from 0 on. */
  readonly checkpoints: readonly Pick<Checkpoint, 'version' | 'sha256' | 'stateSha256'>[];
  /** `round client`, in the order in which updates were accepted. */
  readonly arrivals: readonly string[];
}

/**
 * The sha256 of every checkpoint of a run of plain trainers that nothing happens to, from version 0 on.
 *
 * @param examples By client.
 */
export async function plainCheckpoints(
  spec: SimulatedRunOptions['spec'],
  examples: Readonly<Record<string, number>>,
): Promise<string[]> {
  const players = Object.entries(examples).map(([name, count]) => {
    return { name, role: 'source' as const, train: plainTrainer(name, count) };
  });
  const { checkpoints } = await simulateRun({ spec, init: initialModel, players });
  return checkpoints.map(({ sha256 }) => sha256);
}

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

export async function simulateRun(options: SimulatedRunOptions): Promise<SimulatedOutcome> {
  const { players, order, proxy, aggregator, blobs = createMemoryBlobStore() } = options;
  const [store, loopback] = [createMemoryStore(), createLoopback()];
  const engine = createEngine({
    store,
    blobs,
    transport: loopback.transport,
    clock: systemClock(),
    oracles: options.oracles ?? tfjsOracles(blobs),
    ...(aggregator && { aggregator }),
    log: silent,
  });
  loopback.bind(engine);
  try {
    const init = await putBlob(blobs, options.init);
    const data = proxy && (await putBlob(blobs, proxy)).sha256;
    const spec = runSpec.parse({
      ...options.spec,
      init: { blob: init.sha256 },
      ...(data && { oracle: { kind: 'proxy', data, batchSize: 16 } }),
    });
    const run = await engine.createRun(spec);
    const arrivals: string[] = [];
    const schedule = new Schedule(order);
    const clients = simulatedClients({ engine, loopback, blobs, task: spec.task, schedule });
    const status = await new Promise<string>((resolve, reject) => {
      const connectAll = async (): Promise<void> => {
        for (const { name, role, train } of players) {
          const { client } = await engine.enrol(run.id, name, role);
          await clients.connect({
            client,
            train,
            onReceipt: ({ round, clientId, status }) => {
              if (status === 'accepted') arrivals.push(`${round} ${clientId}`);
              else reject(new Error(`round ${round}: the update of ${clientId} is ${status}`));
            },
            onRun: (state) => {
              if (state.status !== 'running') resolve(state.status);
            },
            onFailure: reject,
          });
        }
      };
      connectAll().catch(reject);
    });
    await schedule.idle();
    const checkpoints = [];
    for (let version = 0; version <= spec.rounds; version++) {
      const checkpoint = await store.checkpoint(run.id, version);
      if (!checkpoint) break;
      const { sha256, stateSha256 } = checkpoint;
      checkpoints.push({ version, sha256, stateSha256 });
    }
    return { status, checkpoints, arrivals };
  } finally {
    await engine.close();
    await store.close();
  }
}
