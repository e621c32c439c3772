/** What is logged: enough to find a request again, and no secret. */
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { redactedPaths } from '../../server/adapters/http/logging.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import type { CoordinatorOptions } from '../../server/settings.js';
import type { BlobStore } from '../../server/core/ports.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { runWithPeer } from './support/joined.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();

type Line = Record<string, unknown> & { level: number; msg: string };

/** A coordinator that logs everything, and what it has logged. */
async function logged(options: CoordinatorOptions = {}) {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const log = pino({ level: 'trace', redact: [...redactedPaths] }, stream);
  const coordinator = await startCoordinator({ log, ...options });
  return {
    coordinator,
    text: () => lines.join(''),
    lines: () => lines.map((line) => JSON.parse(line) as Line),
  };
}

it('no token, whoever sends it and wherever', async () => {
  const { coordinator, text } = await logged();
  const { token, peer } = await runWithPeer(coordinator);
  const { id } = await peer.assignment();
  await putUpdate(coordinator, id, token, updateFile(id));
  await putUpdate(coordinator, id, token, new Uint8Array(9));
  await request(coordinator, '/v1/runs', token);
  await request(coordinator, '/v1/runs', `${token}x`);
  await new Peer(coordinator.url, { token: `${token}y` }).refused();
  await peer.nth('weighed');
  await coordinator.close();
  expect(text().length).toBeGreaterThan(1000);
  expect(text()).not.toContain(token);
  expect(text()).not.toContain(OPERATOR);
});

it('a request under the id that its peer was told, and its address behind trusted proxies', async () => {
  const { coordinator, lines } = await logged({ trustProxy: 1 });
  const response = await request(coordinator, '/v1/runs/none', OPERATOR, {
    headers: { 'x-forwarded-for': '203.0.113.9' },
  });
  await response.text();
  await coordinator.close();
  const id = response.headers.get('x-request-id');
  const line = lines().find(
    ({ msg, req }) => msg === 'request completed' && (req as { id: string }).id === id,
  );
  expect(line).toMatchObject({
    req: { method: 'GET', url: '/v1/runs/none', from: '203.0.113.9' },
    res: { status: 404 },
  });
});

it('why an answer broke off, which the peer sees as an error and not as the end', async () => {
  const blobs = createMemoryBlobStore();
  let broken = false;
  const read = (start: number, length: number) =>
    start > 0
      ? Promise.reject(new Error('the disk is gone'))
      : Promise.resolve(new Uint8Array(length));
  const readInto = (): Promise<void> => Promise.reject(new Error('nobody reads like this'));
  const failing: BlobStore = {
    ...blobs,
    open: async (sha256) =>
      broken ? { sha256, bytes: 10_000_000, where: 'nowhere', read, readInto } : blobs.open(sha256),
  };
  const { coordinator, lines } = await logged({ blobs: failing });
  const run = await createRun(coordinator);
  broken = true;
  const response = await request(coordinator, `/v1/runs/${run.id}/checkpoints/0`, OPERATOR);
  expect(response.status).toBe(200);
  await expect(response.arrayBuffer()).rejects.toThrow();
  await coordinator.close();
  const line = lines().find(({ msg }) => msg === 'an answer broke off');
  expect(line).toMatchObject({ level: 40, err: { message: 'the disk is gone' } });
});
