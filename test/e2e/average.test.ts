/** The moving average of a run's checkpoints over HTTP. */
import { describe, expect, it } from 'vitest';
import { VERSION_HEADER } from '../../protocol/http.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import type { Coordinator } from '../../server/app.js';
import type { CoordinatorOptions } from '../../server/settings.js';
import { connectApi } from '../../server/cli/api.js';
import { Gate } from '../support/gate.js';
import {
  OPERATOR,
  closeCoordinators,
  errorOf,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { runWithPeer } from './support/joined.js';
import { leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();

interface Finished {
  readonly coordinator: Coordinator;
  readonly runId: string;
  readonly token: string;
}

/** A run of two rounds, each of which moves every kernel by 0.5 and every bias by -0.5. */
async function finished(
  after: RunSpecInput['after'],
  storage: Pick<CoordinatorOptions, 'store' | 'blobs'> = {},
  keepUpdates = true,
): Promise<Finished> {
  const coordinator = await startCoordinator({ ...storage });
  // Without it, only the newest state is kept, and so only the newest average.
  const { runId, token, peer } = await runWithPeer(coordinator, { after, keepUpdates });
  for (const turn of [1, 2]) {
    const { id } = await peer.assignment(turn);
    const response = await putUpdate(coordinator, id, token, updateFile(id, 0.5));
    expect(response.status).toBe(201);
    await peer.nth('weighed', turn);
  }
  return { coordinator, runId, token };
}

/** Where blobs are not opened before they may be, once it is watched. */
function watchedStorage() {
  const store = createMemoryStore();
  const blobs = createMemoryBlobStore();
  const gate = new Gate();
  let [isWatched, opened, lookups] = [false, 0, 0];
  let look: () => void = () => undefined;
  return {
    store: {
      ...store,
      checkpoint: async (runId: string, version: number) => {
        const found = await store.checkpoint(runId, version);
        if (isWatched) lookups++;
        look();
        return found;
      },
    },
    blobs: {
      ...blobs,
      open: async (sha256: string) => {
        if (isWatched) {
          opened++;
          await gate.pass();
        }
        return blobs.open(sha256);
      },
    },
    watch: () => (isWatched = true),
    goOn: () => gate.open(),
    opened: () => opened,
    /** Resolves when so many checkpoints were looked up. */
    lookups: (count: number) =>
      new Promise<void>((resolve) => {
        look = () => {
          if (lookups >= count) resolve();
        };
        look();
      }),
  };
}

const pathOf = ({ runId }: Finished, version: number | 'newest'): string =>
  `/v1/runs/${runId}/checkpoints/${version}/average`;

async function biasAt(here: Finished, version: number | 'newest'): Promise<number[]> {
  const response = await request(here.coordinator, pathOf(here, version), OPERATOR);
  expect(response.status).toBe(200);
  const { tensors } = decodeSafetensors(new Uint8Array(await response.arrayBuffer()));
  expect(Object.keys(tensors)).toEqual(['dense/kernel', 'dense/bias']);
  return [...(tensors['dense/bias'].data as Float32Array)];
}

describe('GET …/checkpoints/:version/average', () => {
  it('gives the average up to that version, as a model', async () => {
    const here = await finished([{ name: 'ema', options: { d: 0.5 } }]);
    // The bias goes -1, -1.5, -2 and .5, 0, -.5.
    expect(await biasAt(here, 0)).toEqual([-1, 0.5]);
    expect(await biasAt(here, 1)).toEqual([-1.25, 0.25]);
    expect(await biasAt(here, 2)).toEqual([-1.625, -0.125]);
    expect(await biasAt(here, 'newest')).toEqual([-1.625, -0.125]);
  });

  it('is what `tributary model get --average` asks for', async () => {
    const here = await finished([{ name: 'ema', options: { d: 0.5 } }]);
    const api = connectApi(here.coordinator.url, OPERATOR);
    const response = await request(here.coordinator, pathOf(here, 2), OPERATOR);
    const average = new Uint8Array(await response.arrayBuffer());
    expect(await api.model(here.runId, 'newest', { average: true })).toEqual(average);
    expect(await api.model(here.runId, 2)).not.toEqual(average);
  });

  it('is cached as the checkpoint itself is, and for operators only', async () => {
    const here = await finished([{ name: 'ema', options: {} }]);
    const { coordinator, token } = here;
    const answer = await request(coordinator, pathOf(here, 1), OPERATOR);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
    expect(answer.headers.get(VERSION_HEADER)).toBe('1');
    const headers = { 'if-none-match': answer.headers.get('etag')! };
    expect((await request(coordinator, pathOf(here, 1), OPERATOR, { headers })).status).toBe(304);
    for (const version of [1, 'newest'] as const) {
      expect((await request(coordinator, pathOf(here, version), token)).status).toBe(403);
    }
    expect((await request(coordinator, pathOf(here, 1), null)).status).toBe(401);
    expect((await request(coordinator, pathOf(here, 9), OPERATOR)).status).toBe(404);
  });

  it('is computed for one operator at a time', async () => {
    const storage = watchedStorage();
    const here = await finished([{ name: 'ema', options: {} }], storage);
    storage.watch();
    const asked = [1, 2].map((version) =>
      request(here.coordinator, pathOf(here, version), OPERATOR),
    );
    await storage.lookups(2);
    // The second one has come as far as it can get: what follows takes no time but turns.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(storage.opened()).toBe(1);
    storage.goOn();
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('says how to get one where the run keeps none', async () => {
    const here = await finished([]);
    const response = await request(here.coordinator, pathOf(here, 1), OPERATOR);
    expect(response.status).toBe(404);
    const { code, message } = await errorOf(response);
    expect(code).toBe('not_found');
    expect(message).toContain('"after": [{ "name": "ema" }]');
  });
});
