/** A storage that is full, damaged, or let go of what is old, as peers and operators see it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RunSpecInput } from '../../protocol/run.js';
import { blobPath, createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  postJson,
  putUpdate,
  request,
  sha256,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { detailOf } from './support/joined.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

interface Joined {
  readonly peer: Peer;
  readonly token: string;
}

async function joined(coordinator: Coordinator, runId: string, name: string): Promise<Joined> {
  const { token } = await enrol(coordinator, runId, name);
  return { peer: await Peer.join(coordinator.url, token), token };
}

async function nowOf(coordinator: Coordinator, runId: string): Promise<string> {
  return (await detailOf(coordinator, runId)).now;
}

describe('a storage with a limit', () => {
  const two: Partial<RunSpecInput> = { cohort: { size: 2 }, quorum: { min: 2 } };

  it('refuses an update without a receipt, says so, and takes it when there is room', async () => {
    const blobs = createMemoryBlobStore();
    const coordinator = await startCoordinator({ blobs, storageLimitBytes: 1024 ** 2 });
    const first = await createRun(coordinator, two);
    const [anna, carl] = [
      await joined(coordinator, first.id, 'anna'),
      await joined(coordinator, first.id, 'carl'),
    ];
    const second = await createRun(coordinator);
    const bert = await joined(coordinator, second.id, 'bert');
    const [forAnna, forBert] = [await anna.peer.assignment(), await bert.peer.assignment()];
    await carl.peer.assignment();
    // An operator fills what uploads may use, up to one update and a little more.
    const update = updateFile(forAnna.id);
    let used = 0;
    for await (const { bytes } of blobs.list()) used += bytes;
    const filler = new Uint8Array(Math.floor(0.9 * 1024 ** 2) - used - update.byteLength - 9);
    const filled = await request(coordinator, `/v1/blobs/${sha256(filler)}`, OPERATOR, {
      method: 'PUT',
      body: filler,
    });
    expect(filled.status).toBe(201);
    expect((await putUpdate(coordinator, forAnna.id, anna.token, update)).status).toBe(201);

    const late = updateFile(forBert.id);
    const refused = await putUpdate(coordinator, forBert.id, bert.token, late);
    expect(refused.status).toBe(507);
    const error = await errorOf(refused);
    expect(error).toMatchObject({ code: 'storage_full', retryable: true });
    expect(error.retryAfterMs).toBeGreaterThan(1000);
    expect(await coordinator.store.assignment(forBert.id)).toMatchObject({
      state: 'invited',
      update: null,
    });
    expect(await nowOf(coordinator, second.id)).toContain('the storage is full');

    // The other run is stopped: its update is deleted.
    await postJson(coordinator, `/v1/runs/${first.id}/stop`, OPERATOR, {});
    const taken = await putUpdate(coordinator, forBert.id, bert.token, late);
    expect(taken.status).toBe(201);
    await bert.peer.assignment(2);
    expect(await nowOf(coordinator, second.id)).not.toContain('full');
  });
});

describe('an update that was altered on the disk', () => {
  it('is said, never folded, and made whole by its client', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-damage-'));
    folders.push(folder);
    const blobs = await createDirectoryBlobStore(folder);
    const coordinator = await startCoordinator({ blobs });
    const run = await createRun(coordinator, { cohort: { size: 2 }, quorum: { min: 2 } });
    const [anna, bert] = [
      await joined(coordinator, run.id, 'anna'),
      await joined(coordinator, run.id, 'bert'),
    ];
    const [forAnna, forBert] = [await anna.peer.assignment(), await bert.peer.assignment()];
    const update = updateFile(forAnna.id, 0.25);
    expect((await putUpdate(coordinator, forAnna.id, anna.token, update)).status).toBe(201);
    const path = blobPath(folder, sha256(update));
    const bytes = await readFile(path);
    bytes[bytes.byteLength - 1] ^= 0x40;
    await writeFile(path, bytes);
    await putUpdate(coordinator, forBert.id, bert.token, updateFile(forBert.id, 0.25));
    await vi.waitFor(async () => {
      expect(await nowOf(coordinator, run.id)).toContain('the update of "anna" for round 1');
    });
    expect(await nowOf(coordinator, run.id)).toContain(path);
    const events = await request(coordinator, `/v1/runs/${run.id}/events`, OPERATOR);
    expect(await events.text()).toContain('blob-damaged');

    const again = await putUpdate(coordinator, forAnna.id, anna.token, update);
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({ receipt: { status: 'accepted', duplicate: true } });
    await anna.peer.nth('weighed');
    const model = await request(coordinator, `/v1/runs/${run.id}/checkpoints/1`, OPERATOR);
    expect(model.status).toBe(200);
  });
});

describe('what a run has let go', () => {
  it('is gone, with the reason, while the rest is there', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, {
      ...{ rounds: 4, keepCheckpoints: 2, after: [{ name: 'ema' }] },
    });
    const anna = await joined(coordinator, run.id, 'anna');
    for (const turn of [1, 2, 3, 4]) {
      const { id } = await anna.peer.assignment(turn);
      await putUpdate(coordinator, id, anna.token, updateFile(id));
      await anna.peer.nth('weighed', turn);
    }
    const get = (path: string): Promise<Response> =>
      request(coordinator, `/v1/runs/${run.id}/checkpoints/${path}`, OPERATOR);
    await vi.waitFor(async () => expect((await get('2')).status).toBe(410));
    for (const version of ['1', '2', '3/average']) {
      const response = await get(version);
      expect(response.status).toBe(410);
      expect(await errorOf(response)).toMatchObject({ code: 'gone', retryable: false });
    }
    for (const version of ['0', '3', '4', 'newest', '4/average', 'newest/average']) {
      expect((await get(version)).status).toBe(200);
    }
    expect((await get('5')).status).toBe(404);
  });
});
