/** Requests that make no sense, pages of other sites, and what is no HTTP at all. */
import { beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../../protocol/http.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { TributaryError } from '../../protocol/errors.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  initFile,
  postJson,
  request,
  startCoordinator,
} from './support/coordinator.js';
import { head, openWire, parseAnswer } from './support/tcp.js';

closeCoordinators('all');

let coordinator: Coordinator;
beforeAll(async () => {
  coordinator = await startCoordinator({ allowedOrigins: ['https://lab.example'] });
});

const get = (path: string, token: string | null = OPERATOR, headers: Record<string, string> = {}) =>
  request(coordinator, path, token, { headers });

describe('requests that make no sense', () => {
  it.each([
    ['/nowhere', 404, 'not_found'],
    ['/v1/runs/none', 404, 'run_not_found'],
    ['/v1/runs/%00', 404, 'run_not_found'],
    [`/v1/runs/${'a'.repeat(500)}`, 404, 'run_not_found'],
    ['/v1/runs/%E0%A4%A', 400, 'bad_request'],
    ['/v1/runs/none/rounds/one', 404, 'run_not_found'],
  ])('%s is answered with %i', async (path, status, code) => {
    const response = await get(path);
    expect([response.status, (await errorOf(response)).code]).toEqual([status, code]);
  });

  it('names the round that is not there', async () => {
    const run = await createRun(coordinator);
    const round = await get(`/v1/runs/${run.id}/rounds/9`);
    expect((await errorOf(round)).message).toContain('no round 9');
    const attempt = await get(`/v1/runs/${run.id}/rounds/1?attempt=2`);
    expect((await errorOf(attempt)).message).toContain('no attempt 2 at round 1');
    const list = await get(`/v1/runs/${run.id}/rounds/1?attempt=1&attempt=2`);
    expect(list.status).toBe(400);
  });

  const bodies: [string, BodyInit, string, RegExp][] = [
    ['malformed JSON', '{"name":', 'application/json', /not JSON/],
    ['no body', '', 'application/json', /not JSON/],
    ['text that is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'application/json', /UTF-8/],
    ['another type', '{}', 'text/plain', /application\/json/],
    ['a list', '[]', 'application/json', /run/],
    ['a field that is unknown', '{"nmae":"x"}', 'application/json', /run/],
  ];
  it.each(bodies)('%s is a bad request', async (_what, body, type, message) => {
    const response = await request(coordinator, '/v1/runs', OPERATOR, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error.code).toBe('bad_request');
    expect(error.message).toMatch(message);
  });

  it('names what is wrong in an enrolment', async () => {
    const run = await createRun(coordinator);
    const path = `/v1/runs/${run.id}/clients`;
    const role = await errorOf(
      await postJson(coordinator, path, OPERATOR, { name: 'a', role: 'boss' }),
    );
    expect(role.message).toMatch(/^enrolment: role/);
    const name = await errorOf(await postJson(coordinator, path, OPERATOR, { name: '../etc' }));
    expect(name.message).toMatch(/^enrolment: name/);
    await enrol(coordinator, run.id, 'anna');
    const taken = await postJson(coordinator, path, OPERATOR, { name: 'anna' });
    expect([taken.status, (await errorOf(taken)).code]).toEqual([409, 'name_taken']);
  });

  it('refuses a model that is not what its address says', async () => {
    const path = `/v1/blobs/${'a'.repeat(64)}`;
    const response = await request(coordinator, path, OPERATOR, { method: 'PUT', body: initFile });
    expect([response.status, (await errorOf(response)).code]).toEqual([400, 'wrong_hash']);
    const odd = await request(coordinator, '/v1/blobs/abc', OPERATOR, {
      method: 'PUT',
      body: initFile,
    });
    expect((await errorOf(odd)).message).toContain('64 lower-case hex digits');
  });
});

describe('every answer', () => {
  it('has a request id, the one that a proxy brought if it is plain', async () => {
    const own = await get('/healthz', null);
    expect(own.headers.get('x-request-id')).toMatch(/^[\w-]{36}$/);
    const brought = await get('/healthz', null, { 'x-request-id': 'proxy-1.2' });
    expect(brought.headers.get('x-request-id')).toBe('proxy-1.2');
    const odd = await get('/healthz', null, { 'x-request-id': 'a b"c' });
    expect(odd.headers.get('x-request-id')).not.toBe('a b"c');
  });

  it('keeps browsers from caching and guessing, and lets pages compute', async () => {
    const response = await get('/v1/runs');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('x-powered-by')).toBeNull();
    const policy = response.headers.get('content-security-policy');
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
    expect(policy).toContain("worker-src 'self' blob:");
    expect(policy).toContain("connect-src 'self' data: blob:;");
    // TF.js hangs on pages with these two.
    expect(response.headers.get('cross-origin-opener-policy')).toBeNull();
    expect(response.headers.get('cross-origin-embedder-policy')).toBeNull();
  });
});

describe('pages', () => {
  const preflight = (origin: string) =>
    request(coordinator, '/v1/assignments/a/update', null, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'authorization,content-type,x-tributary-sha256',
      },
    });

  it('of allowed origins may send what clients send, and read what they need', async () => {
    const response = await preflight('https://lab.example');
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe('https://lab.example');
    expect(response.headers.get('access-control-allow-methods')).toContain('PUT');
    const allowed = response.headers.get('access-control-allow-headers');
    expect(allowed).toBe('authorization,content-type,x-tributary-sha256,x-request-id');
    const answer = await get('/v1/runs', 'no-such-token-00', { origin: 'https://lab.example' });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://lab.example');
    expect(answer.headers.get('access-control-expose-headers')).toContain('retry-after');
    expect(answer.headers.get('cross-origin-resource-policy')).toBe('cross-origin');
  });

  it.each(['https://evil.example', 'http://lab.example', 'https://lab.example:8443', 'null'])(
    'of %s are refused',
    async (origin) => {
      for (const response of [await preflight(origin), await get('/v1/rules', null, { origin })]) {
        expect([response.status, (await errorOf(response)).code]).toEqual([403, 'origin_refused']);
        expect(response.headers.get('access-control-allow-origin')).toBeNull();
      }
    },
  );

  it('of the coordinator itself may do what they do', async () => {
    const own = new URL(coordinator.url).origin;
    expect((await get('/v1/rules', null, { origin: own })).status).toBe(200);
    const behindProxy = await startCoordinator({ publicUrl: 'https://fl.example.org/lab' });
    const direct = { url: behindProxy.localUrl };
    const headers = { origin: 'https://fl.example.org' };
    expect((await request(direct, '/v1/rules', null, { headers })).status).toBe(200);
  });

  it('of any origin may come where all are allowed', async () => {
    const open = await startCoordinator({ allowedOrigins: '*' });
    const headers = { origin: 'https://any.example' };
    const response = await request(open, '/v1/rules', null, { headers });
    expect(response.headers.get('access-control-allow-origin')).toBe('https://any.example');
  });
});

describe('what is no HTTP, or too much of it', () => {
  const wrong: [string, string | Uint8Array, number, string][] = [
    [
      'one byte that is wrong',
      `GET /healthz HTTP/1.1\r\nhost: x\u0000y\r\n\r\n`,
      400,
      'bad_request',
    ],
    ['a method that is none', 'FROBNICATE / HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'bad_request'],
    ['TLS', Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0), 400, 'bad_request'],
    [
      'two lengths',
      head({ 'content-length': '5\r\ncontent-length: 6' }, 'POST /v1/runs HTTP/1.1'),
      400,
      'bad_request',
    ],
    [
      'a length and chunks',
      head({ 'content-length': 5, 'transfer-encoding': 'chunked' }, 'POST /v1/runs HTTP/1.1'),
      400,
      'bad_request',
    ],
    ['a header bomb', head({ bomb: 'x'.repeat(100_000) }, 'GET / HTTP/1.1'), 431, 'bad_request'],
    [
      'a thousand headers',
      head(
        Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x-${i}`, 1])),
        'GET / HTTP/1.1',
      ),
      431,
      'bad_request',
    ],
    [
      'an address bomb',
      `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      431,
      'bad_request',
    ],
  ];
  it.each(wrong)('%s is told so, and nobody else notices', async (_what, bytes, status, code) => {
    const wire = openWire(coordinator.url);
    wire.send(bytes);
    const answer = parseAnswer(await wire.answer);
    expect([answer.status, answer.error.code]).toEqual([status, code]);
    expect((await get('/readyz', null)).status).toBe(200);
  });

  it('a connection that says nothing and goes is no trouble', async () => {
    const wire = openWire(coordinator.url);
    wire.socket.end();
    expect(await wire.answer).toBe('');
    expect((await get('/readyz', null)).status).toBe(200);
  });

  it('an upgrade to something that is not served is hung up on', async () => {
    const wire = openWire(coordinator.url);
    wire.send(head({ connection: 'upgrade', upgrade: 'websocket' }, 'GET /elsewhere HTTP/1.1'));
    expect(await wire.answer).toBe('');
  });

  it('a specification that is too long is refused without being read', async () => {
    const body = JSON.stringify({ name: 'x'.repeat(5 * 1024 * 1024) });
    const response = await request(coordinator, '/v1/runs', OPERATOR, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect([response.status, (await errorOf(response)).code]).toEqual([413, 'too_large']);
  });

  it('a JSON body that nests without end is a bad request', async () => {
    const body = '['.repeat(200_000) + ']'.repeat(200_000);
    const response = await request(coordinator, '/v1/runs', OPERATOR, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect([response.status, (await errorOf(response)).code]).toEqual([400, 'bad_request']);
  });
});

describe('faults of our own', () => {
  it('are told with a request id, and without a stack', async () => {
    const store = { ...createMemoryStore(), runs: () => Promise.resolve([]) };
    const broken = await startCoordinator({ store });
    store.runs = () => Promise.reject(new Error('secret of the store at /srv/x.ts:12'));
    const response = await request(broken, '/v1/runs', OPERATOR);
    const text = await response.text();
    const { error } = failure.parse(JSON.parse(text));
    expect([response.status, error.code]).toEqual([500, 'internal']);
    expect(error.details?.requestId).toBe(response.headers.get('x-request-id'));
    expect(text).not.toContain('secret');
    expect(text).not.toContain('.ts');
  });

  it('that pass are told with the time to come back', async () => {
    const store = createMemoryStore();
    const away = await startCoordinator({ store });
    store.run = () => Promise.reject(new TributaryError('storage_unavailable', 'no database'));
    const response = await request(away, '/readyz', null);
    const error = await errorOf(response);
    expect([response.status, error.code, error.retryable]).toEqual([
      503,
      'storage_unavailable',
      true,
    ]);
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
  });
});
