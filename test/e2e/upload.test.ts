/** Updates that arrive damaged, odd or late: each gets its code, and the round goes on. */
import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { SHA256_HEADER, failure, roundDetail, uploadAnswer } from '../../protocol/http.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import type { BlobStore } from '../../server/core/ports.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import type { Coordinator } from '../../server/app.js';
import type { CoordinatorOptions } from '../../server/settings.js';
import {
  OPERATOR,
  closeCoordinators,
  errorOf,
  putUpdate,
  request,
  sha256,
  startCoordinator,
  updateFile,
  updateOf,
} from './support/coordinator.js';
import { runWithPeer } from './support/joined.js';
import { Peer, leaveAfterEach } from './support/peer.js';
import { head, openWire, parseAnswer } from './support/tcp.js';

closeCoordinators('each');
leaveAfterEach();

const MEGABYTE = 1024 * 1024;

let coordinator: Coordinator;
let spool: Spool;
let runId: string;
let token: string;
let peer: Peer;
let id: string;

/** A coordinator, and a client that has been given an assignment. */
async function begin(options: CoordinatorOptions = {}): Promise<void> {
  spool = new Spool();
  coordinator = await startCoordinator({ blobs: spool.store, ...options });
  ({ runId, token, peer } = await runWithPeer(coordinator));
  ({ id } = await peer.assignment());
}

beforeEach(() => begin());

/** Shows what was begun to be stored, and whether it has been kept or thrown away. */
class Spool {
  /** Staged, and neither committed nor discarded. */
  open = 0;
  #begun = 0;
  #watch: () => void = () => undefined;
  readonly #blobs = createMemoryBlobStore();

  readonly store: BlobStore = {
    ...this.#blobs,
    stage: async (source, maxBytes) => {
      this.#begun++;
      this.#watch();
      const blob = await this.#blobs.stage(source, maxBytes);
      this.open++;
      const settle = (work: () => Promise<void>) => async (): Promise<void> => {
        await work();
        this.open--;
      };
      return {
        ...blob,
        commit: settle(() => blob.commit()),
        discard: settle(() => blob.discard()),
      };
    },
  };

  /** Resolves when so many more bodies have begun to arrive. */
  begun(count: number): Promise<void> {
    const wanted = this.#begun + count;
    return new Promise((resolve) => {
      this.#watch = () => {
        if (this.#begun >= wanted) resolve();
      };
    });
  }
}

/** The assignment is still good: nothing that happened to it before has used it up. */
async function expectUnused(): Promise<void> {
  const response = await putUpdate(coordinator, id, token, updateFile(id));
  expect(response.status).toBe(201);
  await peer.nth('weighed');
  const path = `/v1/runs/${runId}/checkpoints/1`;
  const bytes = new Uint8Array(await (await request(coordinator, path, token)).arrayBuffer());
  const { tensors } = decodeSafetensors(bytes);
  expect([...tensors['dense/kernel'].data]).toEqual([1.25, 2.25, 3.25, 4.25, 5.25, 6.25]);
  expect(spool.open).toBe(0);
}

const path = (): string => `/v1/assignments/${id}/update`;
const startOf = (): string => `PUT ${path()} HTTP/1.1`;
const auth = () => ({ authorization: `Bearer ${token}`, [SHA256_HEADER]: 'a'.repeat(64) });

describe('faults of transport, which use nothing up', () => {
  it('no hash', async () => {
    const response = await request(coordinator, path(), token, {
      method: 'PUT',
      body: updateFile(id),
    });
    expect([response.status, (await errorOf(response)).code]).toEqual([400, 'bad_request']);
    await expectUnused();
  });

  it.each(['abc', 'A'.repeat(64), `${'a'.repeat(64)}, ${'a'.repeat(64)}`])(
    'a hash that is none: %s',
    async (hash) => {
      const response = await putUpdate(coordinator, id, token, updateFile(id), {
        [SHA256_HEADER]: hash,
      });
      expect([response.status, (await errorOf(response)).code]).toEqual([400, 'wrong_hash']);
      await expectUnused();
    },
  );

  it('the hash of something else', async () => {
    const headers = { [SHA256_HEADER]: sha256(updateFile(id, 1)) };
    const response = await putUpdate(coordinator, id, token, updateFile(id), headers);
    const error = await errorOf(response);
    expect([response.status, error.code, error.retryable]).toEqual([400, 'wrong_hash', true]);
    expect(error.details?.sha256).toBe(sha256(updateFile(id)));
    await expectUnused();
  });

  it('a body that ends too early, told to who still listens', async () => {
    const wire = openWire(coordinator.url);
    wire.send(head({ ...auth(), 'content-length': 1000 }, startOf()));
    wire.send('only this');
    wire.socket.end();
    const answer = parseAnswer(await wire.answer);
    expect([answer.status, answer.error.code, answer.error.retryable]).toEqual([
      400,
      'truncated',
      true,
    ]);
    await expectUnused();
  });

  it('a body whose connection is reset', async () => {
    const wire = openWire(coordinator.url);
    wire.send(head({ ...auth(), 'content-length': 1000 }, startOf()));
    await new Promise<void>((resolve) => wire.socket.write('only this', () => resolve()));
    wire.socket.resetAndDestroy();
    await wire.answer;
    await expectUnused();
  });

  it('a chunked body that ends in mid-chunk', async () => {
    const wire = openWire(coordinator.url);
    wire.send(head({ ...auth(), 'transfer-encoding': 'chunked' }, startOf()));
    wire.send('ff\r\nfar less than 255 bytes');
    wire.socket.end();
    expect(parseAnswer(await wire.answer).error.code).toBe('truncated');
    await expectUnused();
  });

  it('a body that is announced as too large, answered before it is read', async () => {
    const body = new Uint8Array(50 * MEGABYTE);
    const response = await putUpdate(coordinator, id, token, body);
    const error = await errorOf(response);
    expect([response.status, error.code, error.retryable]).toEqual([413, 'too_large', false]);
    expect(error.message).toContain(`${body.byteLength} bytes`);
    await expectUnused();
  });

  it('a body that turns out too large', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += MEGABYTE;
        controller.enqueue(new Uint8Array(MEGABYTE));
        if (sent >= 50 * MEGABYTE) controller.close();
      },
    });
    const init = { method: 'PUT', headers: auth(), body, duplex: 'half' } as RequestInit;
    const response = await request(coordinator, path(), token, init);
    expect([response.status, (await errorOf(response)).code]).toEqual([413, 'too_large']);
    expect(sent).toBeLessThan(50 * MEGABYTE);
    await expectUnused();
  });

  it('an answer reaches also a peer that reads only after it has sent all', async () => {
    const bytes = 20 * MEGABYTE;
    const headers = { ...auth(), 'content-length': bytes };
    const answer = await new Promise<{ status?: number; text: string }>((resolve, reject) => {
      const req = httpRequest(`${coordinator.url}${path()}`, { method: 'PUT', headers }, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('end', () =>
          resolve({ status: res.statusCode, text: Buffer.concat(chunks).toString() }),
        );
      });
      req.on('error', reject);
      req.end(Buffer.alloc(bytes));
    });
    expect(answer.status).toBe(413);
    expect(failure.parse(JSON.parse(answer.text)).error.code).toBe('too_large');
    await expectUnused();
  });

  it('a compressed body', async () => {
    const body = gzipSync(updateFile(id));
    const response = await putUpdate(coordinator, id, token, body, { 'content-encoding': 'gzip' });
    const error = await errorOf(response);
    expect([response.status, error.code]).toEqual([400, 'bad_request']);
    expect(error.message).toContain('content-encoding');
    await expectUnused();
  });

  it('a body that stands still, whose connection is then closed', async () => {
    await begin({ uploadIdleMs: 500 });
    const wire = openWire(coordinator.url);
    wire.send(head({ ...auth(), 'content-length': 1000 }, startOf()));
    wire.send('and then nothing');
    const answer = parseAnswer(await wire.answer);
    expect([answer.status, answer.error.code, answer.error.retryable]).toEqual([
      408,
      'too_slow',
      true,
    ]);
    await expectUnused();
  });

  it('a body that trickles', async () => {
    await begin({ uploadIdleMs: 500, limits: { minBytesPerSecond: 4096 } });
    const wire = openWire(coordinator.url);
    wire.send(head({ ...auth(), 'content-length': 1000 }, startOf()));
    const drip = setInterval(() => wire.send('.'), 20);
    const answer = await wire.answer;
    clearInterval(drip);
    expect(parseAnswer(answer).error.code).toBe('too_slow');
    await expectUnused();
  });

  it('more uploads at once than a client may have', async () => {
    const four = spool.begun(4);
    const wires = Array.from({ length: 4 }, () => {
      const wire = openWire(coordinator.url);
      wire.send(head({ ...auth(), 'content-length': 1000 }, startOf()));
      return wire;
    });
    await four;
    const fifth = await putUpdate(coordinator, id, token, updateFile(id));
    expect([fifth.status, (await errorOf(fifth)).code]).toEqual([429, 'rate_limited']);
    expect(fifth.headers.get('retry-after')).toMatch(/^\d+$/);
    // The end of one of the others makes room.
    wires[0].socket.end();
    expect(parseAnswer(await wires[0].answer).error.code).toBe('truncated');
    for (const { socket } of wires) socket.destroy();
    await expectUnused();
  });
});

describe('content that is refused, which uses the assignment up', () => {
  const ones = (n: number): number[] => Array<number>(n).fill(1);
  const contents: [string, (id: string) => Uint8Array, string][] = [
    [
      'no safetensors',
      () => new TextEncoder().encode('this is no safetensors file'),
      'bad_safetensors',
    ],
    ['half a file', (a) => updateFile(a).subarray(0, 100), 'bad_safetensors'],
    [
      'NaN',
      (a) =>
        updateOf(a, [
          [1, 2, NaN, 4, 5, 6],
          [1, 2],
        ]),
      'not_finite',
    ],
    ['infinity', (a) => updateOf(a, [ones(6), [1, Infinity]]), 'not_finite'],
    ['another shape', (a) => updateOf(a, [ones(6), [1, 2]], 10, [2, 3]), 'wrong_shape'],
    ['no examples', (a) => updateFile(a, 1, 0), 'bad_facts'],
    ['too great a value', (a) => updateOf(a, [ones(6), [1, 1e9]]), 'over_cap'],
    ['an update for another assignment', () => updateFile('another'), 'bad_facts'],
  ];
  it.each(contents)('%s', async (_what, file, code) => {
    const body = file(id);
    const response = await putUpdate(coordinator, id, token, body);
    const { error, receipt } = failure.parse(await response.json());
    expect([response.status, error.code]).toEqual([422, code]);
    expect(receipt).toMatchObject({ status: 'rejected', sha256: sha256(body), duplicate: false });
    expect(spool.open).toBe(0);

    const same = await putUpdate(coordinator, id, token, body);
    expect(same.status).toBe(422);
    expect(failure.parse(await same.json()).receipt?.duplicate).toBe(true);
    const better = await putUpdate(coordinator, id, token, updateFile(id));
    expect([better.status, (await errorOf(better)).code]).toEqual([409, 'assignment_used']);

    const round = await request(coordinator, `/v1/runs/${runId}/rounds/1?attempt=1`, OPERATOR);
    const detail = roundDetail.parse(await round.json());
    expect(detail).toMatchObject({ accepted: 0, rejected: 1, version: null });
    expect(detail.updates[0].receipt).toMatchObject({ status: 'rejected', code });
  });
});

describe('an update', () => {
  it('counts once, however often and however parallel it is sent', async () => {
    const body = updateFile(id);
    const responses = await Promise.all(
      Array.from({ length: 4 }, () => putUpdate(coordinator, id, token, body)),
    );
    const receipts = await Promise.all(
      responses.map(async (response) => uploadAnswer.parse(await response.json()).receipt),
    );
    expect(receipts.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(new Set(receipts.map(({ receivedAt }) => receivedAt)).size).toBe(1);
    expect(responses.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201]);
    expect(await peer.nth('weighed')).toMatchObject({ weight: 1 });
  });

  it('of a round that is over is late', async () => {
    await request(coordinator, `/v1/runs/${runId}/stop`, OPERATOR, { method: 'POST' });
    const response = await putUpdate(coordinator, id, token, updateFile(id));
    const { error, receipt } = failure.parse(await response.json());
    expect([response.status, error.code, receipt?.status]).toEqual([410, 'late', 'late']);
    expect(spool.open).toBe(0);
  });

  it('of a round that never was is unknown, before a byte of it is read', async () => {
    const wire = openWire(coordinator.url);
    wire.send(
      head({ ...auth(), 'content-length': 1000 }, 'PUT /v1/assignments/never/update HTTP/1.1'),
    );
    const answer = parseAnswer(await wire.answer);
    expect([answer.status, answer.error.code]).toEqual([404, 'assignment_unknown']);
    await expectUnused();
  });
});
