/** The composition root: where it answers, how it stops, what it keeps. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { health, runList } from '../../protocol/http.js';
import { operatorTokenPath, storedOperatorToken } from '../../server/adapters/operator-token.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { createCoordinator } from '../../server/app.js';
import type { BlobStore } from '../../server/core/ports.js';
import { testDatabase } from '../support/postgres.js';
import {
  OPERATOR,
  closeCoordinators,
  errorOf,
  putUpdate,
  request,
  sha256,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { runWithPeer } from './support/joined.js';
import { Peer, leaveAfterEach } from './support/peer.js';
import { head, openWire } from './support/tcp.js';

closeCoordinators('each');
leaveAfterEach();

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tributary-app-'));
  cleanups.push(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

async function ownServer(): Promise<Server> {
  const server = createServer((_req, res) => res.end('mine'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return server;
}

/** Blobs, and a way to wait until the next one begins to arrive. */
function watchedBlobs(): { blobs: BlobStore; staging: () => Promise<void> } {
  const inner = createMemoryBlobStore();
  let begun = (): void => undefined;
  const stage: BlobStore['stage'] = (source, maxBytes) => {
    begun();
    return inner.stage(source, maxBytes);
  };
  const staging = () => new Promise<void>((resolve) => (begun = resolve));
  return { blobs: { ...inner, stage }, staging };
}

const originOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

describe('a coordinator in a server of somebody else', () => {
  it('answers under its path, and leaves the rest to the others', async () => {
    const server = await ownServer();
    const coordinator = await startCoordinator({ server, basePath: '/fl' });
    expect(coordinator.url).toBe(`${originOf(server)}/fl`);
    expect((await request(coordinator, '/healthz', null)).status).toBe(200);
    for (const path of ['/', '/healthz', '/flood', '/socket.io/']) {
      expect(await (await fetch(originOf(server) + path)).text()).toBe('mine');
    }
    const { token, peer } = await runWithPeer(coordinator, { rounds: 1 });
    const { id } = await peer.assignment();
    expect((await putUpdate(coordinator, id, token, updateFile(id))).status).toBe(201);
    await peer.nth('weighed');
  });

  it('leaves it as it was, and open, when it is closed', async () => {
    const server = await ownServer();
    const coordinator = await startCoordinator({ server, basePath: '/fl/' });
    const { peer } = await runWithPeer(coordinator);
    await coordinator.close();
    await peer.disconnected();
    expect(await (await fetch(`${originOf(server)}/fl/healthz`)).text()).toBe('mine');
    expect(server.listenerCount('request')).toBe(1);
    expect(server.listenerCount('upgrade')).toBe(0);
  });

  it('does not touch the WebSockets of others', async () => {
    const server = await ownServer();
    server.on('upgrade', (_req, socket) => socket.end('HTTP/1.1 101 Mine\r\n\r\n'));
    await startCoordinator({ server, basePath: '/fl' });
    const wire = openWire(originOf(server));
    wire.send(head({ connection: 'upgrade', upgrade: 'websocket' }, 'GET /theirs HTTP/1.1'));
    expect(await wire.answer).toContain('101 Mine');
  });
});

describe('behind a proxy', () => {
  it('answers under the public path, whether or not the proxy removes it', async () => {
    const coordinator = await startCoordinator({ publicUrl: 'https://fl.example.org/lab' });
    expect(coordinator.url).toBe('https://fl.example.org/lab');
    for (const path of ['/lab/healthz', '/healthz']) {
      const response = await fetch(coordinator.localUrl + path);
      expect(health.parse(await response.json()).status).toBe('ok');
    }
  });
});

describe('stopping', () => {
  it.each(['its own server', 'a shared one'])(
    'on %s tells clients, lets uploads under way end, and refuses what comes next',
    async (where) => {
      const store = createMemoryStore();
      const { blobs, staging } = watchedBlobs();
      const shared = where === 'a shared one' ? { server: await ownServer() } : {};
      const coordinator = await startCoordinator({ store, blobs, ...shared });
      const { token, peer } = await runWithPeer(coordinator, { rounds: 1 });
      const { id } = await peer.assignment();
      const body = updateFile(id);
      const headers = {
        authorization: `Bearer ${token}`,
        'x-tributary-sha256': sha256(body),
        'content-length': body.byteLength,
        connection: 'close',
      };
      const uploading = staging();
      const wire = openWire(coordinator.url);
      wire.send(head(headers, `PUT /v1/assignments/${id}/update HTTP/1.1`));
      wire.send(body.subarray(0, 50));
      await uploading;

      const closing = coordinator.close();
      expect(await peer.nth('goodbye')).toMatchObject({ code: 'shutting_down', retryable: true });
      const next = request(coordinator, '/v1/rules', null);
      if (where === 'a shared one') expect((await errorOf(await next)).code).toBe('shutting_down');
      else await expect(next).rejects.toThrow();
      wire.send(body.subarray(50));
      expect(await wire.answer).toMatch(/^HTTP\/1\.1 201/);
      await closing;
      expect(await store.assignment(id)).toMatchObject({ state: 'accepted' });
    },
  );

  it('does not wait for ever', async () => {
    // The upload itself would be waited for longer than the test.
    const coordinator = await startCoordinator({ uploadIdleMs: 120_000, limits: { stopMs: 50 } });
    const { token, peer } = await runWithPeer(coordinator);
    const { id } = await peer.assignment();
    const wire = openWire(coordinator.url);
    const headers = {
      authorization: `Bearer ${token}`,
      'x-tributary-sha256': 'a'.repeat(64),
      'content-length': 99,
    };
    wire.send(head(headers, `PUT /v1/assignments/${id}/update HTTP/1.1`));
    await coordinator.close();
    await wire.answer;
  });

  it('and starting again takes the run up where it was', async () => {
    const parts = { store: createMemoryStore(), blobs: createMemoryBlobStore() };
    const first = await startCoordinator(parts);
    const { token, peer: before } = await runWithPeer(first, { rounds: 1 });
    const { id } = await before.assignment();
    await first.close();

    const second = await startCoordinator(parts);
    const peer = new Peer(second.url, { token });
    const answer = await peer.hello();
    expect(answer).toMatchObject({ ok: true, value: { assignments: [{ id }] } });
    await putUpdate(second, id, token, updateFile(id));
    await peer.announced('completed');
    expect(await peer.nth('weighed')).toMatchObject({ assignmentId: id, weight: 1 });
  });

  it('can be asked for twice', async () => {
    const coordinator = await startCoordinator();
    await Promise.all([coordinator.close(), coordinator.close()]);
    await coordinator.close();
  });
});

describe('starting', () => {
  it('on a port that is taken says which setting to change, and leaves nothing behind', async () => {
    const server = await ownServer();
    const { port } = server.address() as AddressInfo;
    await expect(startCoordinator({ port })).rejects.toMatchObject({
      code: 'bad_request',
      message: expect.stringContaining(`TRIBUTARY_PORT: ${port} is taken`) as string,
    });
  });

  it('with a store of your own wants a blob store of your own', async () => {
    const starting = createCoordinator({
      store: createMemoryStore(),
      dataDir: folder(),
      log: pino({ level: 'silent' }),
    });
    await expect(starting).rejects.toMatchObject({ code: 'bad_request' });
  });

  it.each(['directory', 'postgres'] as const)(
    'on Postgres with blobs in %s migrates it, and finds everything again',
    async (blobs) => {
      const database = await testDatabase();
      cleanups.push(() => database.drop());
      const options = { databaseUrl: database.url, blobs, dataDir: folder() };
      const start = () =>
        createCoordinator({
          ...options,
          port: 0,
          operatorToken: OPERATOR,
          log: pino({ level: 'silent' }),
        });
      const first = await start();
      const { runId, token, peer } = await runWithPeer(first, { rounds: 1 });
      const { id } = await peer.assignment();
      await putUpdate(first, id, token, updateFile(id));
      await peer.nth('weighed');
      await first.close();

      const second = await start();
      cleanups.push(() => second.close());
      const { runs } = runList.parse(await (await request(second, '/v1/runs', OPERATOR)).json());
      expect(runs).toMatchObject([{ id: runId, status: 'completed', version: 1 }]);
      const model = await request(second, `/v1/runs/${runId}/checkpoints/newest`, OPERATOR);
      expect(model.headers.get('etag')).toBe(
        `"${sha256(new Uint8Array(await model.arrayBuffer()))}"`,
      );
    },
  );
});

describe('the operator token', () => {
  it('is made once, and only its owner may read it', async () => {
    const dataDir = folder();
    const first = await startCoordinator({ dataDir, operatorToken: null });
    const path = operatorTokenPath(dataDir);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, 'utf8').trim()).toBe(first.operatorToken);
    const second = await startCoordinator({ dataDir, operatorToken: null });
    expect(second.operatorToken).toBe(first.operatorToken);
    expect((await request(second, '/v1/runs', first.operatorToken)).status).toBe(200);
    expect((await errorOf(await request(second, '/v1/runs', OPERATOR))).code).toBe('unauthorized');
  });

  it('is the same for all that start at once', async () => {
    const dataDir = folder();
    const tokens = await Promise.all(Array.from({ length: 8 }, () => storedOperatorToken(dataDir)));
    expect(new Set(tokens).size).toBe(1);
    expect(tokens[0].length).toBeGreaterThanOrEqual(40);
  });

  it('that is too short to be one is refused, with its file', async () => {
    const dataDir = folder();
    writeFileSync(operatorTokenPath(dataDir), '\n');
    await expect(storedOperatorToken(dataDir)).rejects.toThrow(operatorTokenPath(dataDir));
    await expect(startCoordinator({ operatorToken: 'short' })).rejects.toThrow(/16 characters/);
  });
});
