/** What one peer, one address or everybody together may take of a coordinator, and how it is said. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { errorBody } from '../../protocol/errors.js';
import type { ErrorBody } from '../../protocol/errors.js';
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
  runSpec,
  sha256,
  startCoordinator,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';
import type { Wire } from './support/tcp.js';
import { head, openWire, parseAnswer } from './support/tcp.js';

closeCoordinators('each');
leaveAfterEach();

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function tokens(coordinator: Coordinator, count: number): Promise<string[]> {
  const { id } = await createRun(coordinator);
  const names = Array.from({ length: count }, (_, i) => `client-${i}`);
  return Promise.all(names.map(async (name) => (await enrol(coordinator, id, name)).token));
}

async function refusalOf(peer: Peer): Promise<ErrorBody> {
  return errorBody.parse((await peer.refused()).data);
}

/** What becomes of each of these: let in, or sent away with an error. */
function fates(peers: readonly Peer[]): Promise<(ErrorBody | null)[]> {
  return Promise.all(
    peers.map((peer) =>
      Promise.race([
        refusalOf(peer),
        new Promise<null>((resolve) => peer.socket.on('connect', () => resolve(null))),
      ]),
    ),
  );
}

describe('sockets that come at once', () => {
  it('are let in at a rate; the others are told one time after the other', async () => {
    const coordinator = await startCoordinator({ connectionsPerSecond: 5 });
    const list = await tokens(coordinator, 15);
    const told = await fates(list.map((token) => new Peer(coordinator.url, { token })));
    const busy = told.filter((error) => error !== null);
    expect(busy.length).toBeGreaterThanOrEqual(5);
    expect(busy.length).toBeLessThanOrEqual(10);
    expect(new Set(busy.map(({ code }) => code))).toEqual(new Set(['busy']));
    const waits = busy.map(({ retryAfterMs = 0 }) => retryAfterMs).sort((a, b) => a - b);
    expect(waits[0]).toBeGreaterThanOrEqual(1_000);
    // A fifth of a second each: that is how long it takes to let them in.
    expect(waits.at(-1)).toBeGreaterThanOrEqual(1_000 + (busy.length - 1) * 190);
  });

  it('are sent home each with a time of its own when the coordinator stops', async () => {
    const coordinator = await startCoordinator({ connectionsPerSecond: 10 });
    const list = await tokens(coordinator, 8);
    const peers = await Promise.all(list.map((token) => Peer.join(coordinator.url, token)));
    await coordinator.close();
    const goodbyes = await Promise.all(peers.map((peer) => peer.nth('goodbye')));
    expect(new Set(goodbyes.map(({ code }) => code))).toEqual(new Set(['shutting_down']));
    const waits = goodbyes.map(({ retryAfterMs = 0 }) => retryAfterMs);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(1_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1_800);
    expect(new Set(waits).size).toBeGreaterThan(1);
  });
});

describe('an address', () => {
  it('has so many connections, and is told so on the next one', async () => {
    const coordinator = await startCoordinator({ connectionsPerAddress: 3 });
    const { hostname: host, port } = new URL(coordinator.url);
    const open = (): Promise<Socket> =>
      new Promise((resolve) => {
        const socket = connect({ host, port: Number(port) }, () => resolve(socket));
        sockets.push(socket);
      });
    const [first] = [await open(), await open(), await open()];
    const refused = openWire(coordinator.url);
    const answer = parseAnswer(await refused.answer);
    expect([answer.status, answer.error.code]).toEqual([429, 'rate_limited']);
    expect(answer.error.retryAfterMs).toBeGreaterThan(0);
    first.destroy();
    await vi.waitFor(async () => {
      const wire = openWire(coordinator.url);
      sockets.push(wire.socket);
      wire.send(head({ connection: 'close' }, 'GET /healthz HTTP/1.1'));
      expect(await wire.answer).toContain('200 OK');
    });
  });

  it('is not served on a connection that was one too many', async () => {
    const coordinator = await startCoordinator({ connectionsPerAddress: 5 });
    const { id } = await createRun(coordinator, { join: 'open' });
    const { hostname: host, port } = new URL(coordinator.url);
    for (let i = 0; i < 5; i++) {
      const socket = connect({ host, port: Number(port) });
      sockets.push(socket.on('error', () => undefined));
      await once(socket, 'connect');
    }
    const body = JSON.stringify({ name: 'mallory' });
    const headers = { 'content-length': String(body.length), 'content-type': 'application/json' };
    const refused = openWire(coordinator.url);
    refused.send(head(headers, `POST /v1/runs/${id}/join HTTP/1.1`) + body);
    expect(parseAnswer(await refused.answer).status).toBe(429);
    await vi.waitFor(() => expect(refused.socket.destroyed).toBe(true));
    expect(await coordinator.store.clients(id)).toEqual([]);
  });

  it('behind a proxy has as many for itself, REST and sockets together', async () => {
    const coordinator = await startCoordinator({ connectionsPerAddress: 1, trustProxy: 1 });
    const [token] = await tokens(coordinator, 1);
    const options = {
      transports: ['websocket'],
      extraHeaders: { 'x-forwarded-for': '192.0.2.1' },
    };
    const peer = new Peer(coordinator.url, { token }, options);
    expect(await peer.hello()).toMatchObject({ ok: true });
    const get = (address: string): Promise<Response> =>
      request(coordinator, '/healthz', null, { headers: { 'x-forwarded-for': address } });
    const full = await get('192.0.2.1');
    expect([full.status, (await errorOf(full)).code]).toEqual([429, 'rate_limited']);
    expect(full.headers.get('retry-after')).toMatch(/^\d+$/);
    expect((await get('192.0.2.2')).status).toBe(200);
    const second = new Peer(coordinator.url, { token }, options);
    await second.refused();
    peer.leave();
    await vi.waitFor(async () => expect((await get('192.0.2.1')).status).toBe(200));
  });

  it('may guess so many tokens; whoever has a good one goes on', async () => {
    const limits = { strangers: { burst: 5, perSecond: 0.01 } };
    const coordinator = await startCoordinator({ limits });
    const [token] = await tokens(coordinator, 1);
    const ask = async (guess: string): Promise<[number, string | null]> => {
      const response = await request(coordinator, '/v1/me', guess);
      await response.arrayBuffer();
      return [response.status, response.headers.get('retry-after')];
    };
    expect((await ask(token))[0]).toBe(200);
    for (let i = 0; i < 3; i++) expect(await ask(`trb_guess-${i}`)).toEqual([401, null]);
    // On sockets, and among operators' tokens, the same account is drawn on.
    const peer = new Peer(coordinator.url, { token: 'trb_guess' });
    expect((await refusalOf(peer)).code).toBe('unauthorized');
    expect(await ask('tro_guess')).toEqual([401, null]);
    const [status, retryAfter] = await ask('trb_guess-9');
    expect([status, Number(retryAfter) >= 1]).toEqual([429, true]);
    expect((await refusalOf(new Peer(coordinator.url, { token: 'trb_no' }))).code).toBe(
      'rate_limited',
    );
    expect((await ask(token))[0]).toBe(200);
    expect((await ask(OPERATOR))[0]).toBe(403);
    expect(await (await Peer.join(coordinator.url, token)).hello()).toMatchObject({ ok: true });
  });
});

describe('runs', () => {
  it('may be live up to a number, and a stopped one makes room', async () => {
    const coordinator = await startCoordinator({ maxRuns: 2 });
    const [first] = [await createRun(coordinator), await createRun(coordinator)];
    const more = (): Promise<Response> => postJson(coordinator, '/v1/runs', OPERATOR, runSpec());
    const response = await more();
    const error = await errorOf(response);
    expect([response.status, error.code]).toEqual([409, 'too_many_runs']);
    expect(error.help).toContain('TRIBUTARY_MAX_RUNS');
    await request(coordinator, `/v1/runs/${first.id}/stop`, OPERATOR, { method: 'POST' });
    expect((await more()).status).toBe(201);
  });
});

describe('JSON', () => {
  const post = (coordinator: Coordinator, body: string): Promise<Response> =>
    request(coordinator, '/v1/runs', OPERATOR, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });

  it('that nests too deep is refused, in every field that takes any value', async () => {
    const coordinator = await startCoordinator();
    const deep = '['.repeat(1_000) + ']'.repeat(1_000);
    for (const field of ['body', 'rule', 'unknown']) {
      const response = await post(coordinator, `{"name":"x","${field}":${deep}}`);
      const error = await errorOf(response);
      expect([response.status, error.code]).toEqual([400, 'bad_request']);
      expect(error.message).toBe('body: nests deeper than 64 levels');
    }
  });

  it('that would change prototypes is refused, or changes nothing', async () => {
    const coordinator = await startCoordinator();
    await createRun(coordinator);
    const spec = JSON.stringify(runSpec({ init: { blob: sha256(initFile) } }));
    const proto = await post(coordinator, spec.replace('{', '{"__proto__":{"polluted":1},'));
    expect([proto.status, (await errorOf(proto)).code]).toEqual([400, 'bad_request']);
    const options =
      '"rule":{"name":"fedavg","options":{"constructor":{"prototype":{"polluted":1}}}}';
    const other = await post(coordinator, spec.replace('"rule":{"name":"fedavg"}', options));
    expect([other.status, (await errorOf(other)).code]).toEqual([422, 'rule_options']);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('on sockets is held to the same, and the connection goes on', async () => {
    const coordinator = await startCoordinator();
    const [token] = await tokens(coordinator, 1);
    const peer = await Peer.join(coordinator.url, token);
    const deep: unknown = JSON.parse('['.repeat(500) + ']'.repeat(500));
    const polluting: unknown = JSON.parse('{"assignmentId":"a","fraction":1,"__proto__":{"x":1}}');
    for (const message of [deep, { assignmentId: deep, fraction: 1 }, polluting]) {
      const answer = await peer.send('progress', message);
      expect(answer).toMatchObject({ ok: false, error: { code: 'bad_request' } });
    }
    expect(await peer.hello()).toMatchObject({ ok: true });
  });
});

describe('four gigabytes that are only announced', () => {
  it.each([
    ['POST /v1/runs HTTP/1.1', OPERATOR],
    [`PUT /v1/blobs/${'a'.repeat(64)} HTTP/1.1`, OPERATOR],
  ])('to %s are refused before a byte is read', async (start, token) => {
    const coordinator = await startCoordinator();
    const wire = openWire(coordinator.url);
    wire.send(
      head(
        {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'x-tributary-sha256': 'a'.repeat(64),
          'content-length': 2 ** 32,
        },
        start,
      ),
    );
    const answer = parseAnswer(await wire.answer);
    expect([answer.status, answer.error.code]).toEqual([413, 'too_large']);
  });
});

describe('who does not speak is hung up on', () => {
  const limits = { headersTimeoutMs: 300, helloTimeoutMs: 300 };
  const upgrade = {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': 13,
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };

  it.each<[string, string]>([
    ['nothing at all', ''],
    ['half a line', 'GET /hea'],
    ['headers that do not end', 'GET /healthz HTTP/1.1\r\nhost: x\r\n'],
  ])('%s', async (_what, words) => {
    const coordinator = await startCoordinator({ limits });
    const wire = openWire(coordinator.url);
    wire.send(words);
    expect(parseAnswer(await wire.answer).error.code).toBe('too_slow');
  });

  it('an answered request, and then half of the next', async () => {
    const coordinator = await startCoordinator({ limits });
    const wire = openWire(coordinator.url);
    wire.send(head({}, 'GET /healthz HTTP/1.1'));
    wire.send('GET /healthz HTTP/1.1\r\nhost:');
    expect(await wire.answer).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  /** Resolves when the other side has said that it closes; a WebSocket says so in a frame. */
  async function closed(wire: Wire): Promise<void> {
    let last: Buffer = Buffer.alloc(0);
    await new Promise<void>((resolve) => {
      wire.socket.on('data', (chunk: Buffer) => {
        last = chunk;
        if (last.includes(Buffer.of(0x88))) resolve();
      });
      wire.socket.on('close', () => resolve());
    });
    expect(last[0]).toBe(0x88);
    wire.socket.destroy();
  }

  it('a WebSocket without the handshake of Socket.IO', async () => {
    const coordinator = await startCoordinator({ limits });
    const wire = openWire(coordinator.url);
    wire.send(head(upgrade, 'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1'));
    await closed(wire);
  });

  it('a WebSocket that was refused, and stays', async () => {
    const coordinator = await startCoordinator({ limits });
    const wire = openWire(coordinator.url);
    wire.send(head(upgrade, 'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1'));
    await new Promise((resolve) => wire.socket.once('data', resolve));
    const text = Buffer.from('40{"token":"trb_nobody"}');
    wire.send(Buffer.concat([Buffer.of(0x81, 0x80 | text.length, 0, 0, 0, 0), text]));
    await closed(wire);
    wire.socket.end();
    expect(await wire.answer).toContain('"code":"unauthorized"');
  });

  it('a client that does not say hello', async () => {
    const coordinator = await startCoordinator({ limits });
    const [token] = await tokens(coordinator, 1);
    const peer = new Peer(coordinator.url, { token });
    expect((await peer.nth('goodbye')).code).toBe('too_slow');
    await peer.disconnected();
  });
});

// Windows has no such limit.
describe.skipIf(process.platform !== 'linux')('a process that may open few files', () => {
  it('drops connections well before it runs out of them, and goes on', async () => {
    const script = fileURLToPath(new URL('../support/serve-limited.ts', import.meta.url));
    const limited = 'ulimit -n 300 && exec "$0" --import tsx "$@"';
    const child = spawn('sh', ['-c', limited, process.execPath, script]);
    const ended = new Promise((resolve) => child.on('close', resolve));
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const url = await new Promise<string>((resolve) =>
      child.stdout.on('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
    );
    const { hostname: host, port } = new URL(url);
    const served = await Promise.all(
      Array.from({ length: 400 }, () => {
        const socket = connect({ host, port: Number(port) });
        sockets.push(socket);
        socket.on('error', () => undefined);
        socket.write(head({}, 'GET /healthz HTTP/1.1'));
        return new Promise<boolean>((resolve) => {
          socket.once('data', () => resolve(true));
          socket.once('close', () => resolve(false));
        });
      }),
    );
    const open = served.filter(Boolean).length;
    expect(sockets.filter(({ closed }) => !closed)).toHaveLength(open);
    expect(open).toBeGreaterThan(100);
    expect(open).toBeLessThanOrEqual(150);
    // A flood of connections is a line, not a flood of lines.
    expect(log.match(/connections are dropped/g)).toHaveLength(1);
    for (const socket of sockets.splice(0)) socket.destroy();
    await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200));
    child.stdin.end();
    expect(await ended).toBe(0);
    expect(log).not.toContain('EMFILE');
  });
});
