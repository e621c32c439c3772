/** Whole runs aggregated in worker threads, as built, held against the same runs without any. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeDataset } from '../../client/data/load.js';
import { encodeParams } from '../../client/params.js';
import { initialParams as initialTfjsParams } from '../../client/tfjs/model.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { RunSpecInput } from '../../protocol/run.js';
import type { BlobLocation } from '../../server/adapters/aggregation/services.js';
import { workerAggregator } from '../../server/adapters/aggregation/worker-aggregator.js';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import { createPostgresBlobStore } from '../../server/adapters/blob-postgres.js';
import { limited } from '../../server/adapters/storage-limit.js';
import { StorageRoom } from '../../server/adapters/storage-room.js';
import { migrate } from '../../server/adapters/postgres/migrator.js';
import { tfjsOracles } from '../../server/adapters/tfjs-oracle.js';
import { createWasmKernels } from '../../server/adapters/wasm-kernels.js';
import type { BlobStore, OracleProvider } from '../../server/core/ports.js';
import { aggregate } from '../../server/engine/aggregation.js';
import type { Aggregator } from '../../server/engine/aggregator.js';
import { largeRound } from '../support/large-round.js';
import { initialModel, plainRun, plainTrainer } from '../support/plain-task.js';
import { testDatabase } from '../support/postgres.js';
import type { SimulatedOutcome, SimulatedRunOptions } from '../support/simulated-run.js';
import { simulateRun } from '../support/simulated-run.js';
import { tinyData, tinyTask } from '../support/tiny-task.js';

const ROUNDS = 2;
const NAMES = ['ada', 'Bo', 'cyd', 'dot'];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-worker-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Only the compiler makes a file that a worker can start from: `npm run build:server`. */
function built(blobs: BlobLocation, oracles: OracleProvider, size = 1): Aggregator {
  const entry = new URL('../../dist/server/adapters/aggregation/worker.js', import.meta.url);
  return workerAggregator({ blobs, oracles, size, limitMs: 60_000, entry });
}

interface Place {
  readonly blobs: BlobStore;
  readonly at: BlobLocation;
}

async function inDirectory(): Promise<Place> {
  return { blobs: await createDirectoryBlobStore(folder), at: { kind: 'directory', folder } };
}

async function expectSameBits(
  run: SimulatedRunOptions,
  { blobs, at }: Place,
  oracles: OracleProvider = tfjsOracles(blobs),
): Promise<SimulatedOutcome> {
  const aggregator = built(at, oracles);
  try {
    const inWorker = await simulateRun({ ...run, blobs, aggregator, oracles });
    const inline = await simulateRun({ ...run, blobs, oracles });
    expect(inWorker.status).toBe('completed');
    expect(inWorker.checkpoints).toHaveLength(ROUNDS + 1);
    expect(inWorker.checkpoints).toEqual(inline.checkpoints);
    return inWorker;
  } finally {
    await aggregator.close();
  }
}

function plain(overrides: Partial<RunSpecInput>): SimulatedRunOptions {
  return {
    spec: plainRun(NAMES.length, { rounds: ROUNDS, ...overrides }),
    init: initialModel,
    players: NAMES.map((name, k) => {
      const role = name === 'dot' ? 'target' : 'source';
      return { name, role, train: plainTrainer(name, 20 + k) };
    }),
  };
}

describe('a run that is aggregated in a worker has the bits of one that is not', () => {
  it.each<Partial<RunSpecInput>>([
    { rule: { name: 'fedavg' }, optimizer: { name: 'adam', options: { eta: 0.05 } } },
    { rule: { name: 'median' } },
    { rule: { name: 'fedgp', options: { beta: 'auto' } } },
  ])('under %j', async (choice) => {
    await expectSameBits(plain(choice), await inDirectory());
  });

  it('where it is large enough for other workers to help', async () => {
    const { blobs, at } = await inDirectory();
    const oracles = tfjsOracles(blobs);
    const input = await largeRound(blobs, { updates: 24, size: 300_001 });
    const inline = await aggregate(input, { blobs, oracles, kernels: createWasmKernels() });
    const aggregator = built(at, oracles, 3);
    try {
      // The first time, the others have yet to start.
      for (let time = 0; time < 4; time++) {
        expect(await aggregator.aggregate(input)).toEqual(inline);
      }
    } finally {
      await aggregator.close();
    }
  });

  it('with its blobs in Postgres', async () => {
    const database = await testDatabase();
    await migrate(database.url);
    const at = { url: database.url, spoolDir: join(folder, 'spool') };
    const blobs = await createPostgresBlobStore(at);
    try {
      await expectSameBits(plain({}), { blobs, at: { kind: 'postgres', ...at } });
    } finally {
      await blobs.close();
      await database.drop();
    }
  });

  it('and what the worker stores counts in the room of the coordinator', async () => {
    const { blobs, at } = await inDirectory();
    const room = new StorageRoom(10 ** 9);
    await room.recount(blobs);
    const here = limited(blobs, room, 'coordinator');
    const there = { ...at, room: room.shared };
    await expectSameBits(plain({ seed: 77 }), { blobs: here, at: there });
    const counted = room.usedBytes;
    await room.recount(blobs);
    expect(counted).toBe(room.usedBytes);
  });

  it('with a proxy set, on which the worker itself computes', async () => {
    const task = await tinyTask();
    const place = await inDirectory();
    const proxy = tfjsOracles(place.blobs);
    let openedHere = 0;
    const counted: OracleProvider = {
      ...proxy,
      open: (run, buffers) => {
        openedHere++;
        return proxy.open(run, buffers);
      },
    };
    const run: SimulatedRunOptions = {
      spec: {
        ...plainRun(2, { rounds: ROUNDS }),
        task,
        rule: { name: 'fedlaw', options: { epochs: 3, learningRate: 0.05 } },
        training: { batchSize: 8, learningRate: 0.2 },
      },
      init: encodeParams(task.model, await initialTfjsParams(task.model, 4)),
      proxy: encodeDataset(tinyData('proxy', 40)),
      players: ['ada', 'Bo'].map((name) => {
        return { name, role: 'source', train: tfjsTrainer({ data: tinyData(name, 30) }) };
      }),
    };
    await expectSameBits(run, place, counted);
    // By the run without a worker, once a round.
    expect(openedHere).toBe(ROUNDS);
  });

  it('with an oracle that only the coordinator can ask, such as a client', async () => {
    const asked: string[] = [];
    const oracles: OracleProvider = {
      describe: () => 'client',
      open: (run, buffers) => {
        asked.push(`open ${run.id.slice(0, 5)} ${Object.keys(buffers).sort().join(' ')}`);
        return Promise.resolve({
          batches: 2,
          // Half the squared distance from a tenth: its gradient is params - 0.1.
          lossAndGrad: (params, batch) => {
            asked.push(`batch ${batch}`);
            const grad = params.map((value) => value - 0.1);
            const loss = grad.reduce((sum, value) => sum + (value * value) / 2, 0);
            return Promise.resolve({ loss, grad });
          },
          close: () => Promise.resolve(void asked.push('close')),
        });
      },
    };
    const choice: Partial<RunSpecInput> = {
      rule: { name: 'fedlaw', options: { epochs: 2 } },
      oracle: { kind: 'client', timeoutMs: 60_000 },
    };
    await expectSameBits(plain(choice), await inDirectory(), oracles);
    const rounds = asked.filter((what) => what.startsWith('open'));
    expect(rounds).toEqual(Array(2 * ROUNDS).fill('open plain running-mean vocabulary'));
    expect(asked.filter((what) => what === 'close')).toHaveLength(2 * ROUNDS);
    expect(asked.slice(0, asked.length / 2)).toEqual(asked.slice(asked.length / 2));
  });

  it('and fails as the other does, with the reason of the oracle', async () => {
    const refuse = (): Promise<never> => Promise.reject(new Error('the target is at lunch'));
    const oracles: OracleProvider = { describe: () => 'client', open: refuse };
    const { blobs, at } = await inDirectory();
    const aggregator = built(at, oracles);
    const choice: Partial<RunSpecInput> = {
      rule: { name: 'fedlaw' },
      oracle: { kind: 'client' },
      retries: 0,
    };
    const outcome = await simulateRun({ ...plain(choice), blobs, oracles, aggregator });
    expect(outcome).toMatchObject({ status: 'failed' });
    await aggregator.close();
  });
});
