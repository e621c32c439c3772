/**
 * Faults that are known to have stopped, hung or poisoned coordinators of this kind, one of each. The
 * process stays up, the answer names the fault, and the round that waits meanwhile ends as it should.
 */
import { gzipSync } from 'node:zlib';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorBody } from '../../protocol/errors.js';
import { failure } from '../../protocol/http.js';
import type { Assignment } from '../../protocol/messages.js';
import { head, openWire, parseAnswer } from '../e2e/support/tcp.js';
import { eventually } from '../support/database.js';
import { initialModel, plainRun } from '../support/plain-task.js';
import type { RawClient } from '../support/raw-client.js';
import { put, rawClient, sha256 } from '../support/raw-client.js';
import { createPlainRun, OPERATOR_TOKEN } from '../support/stage.js';
import type { UpdateParts } from '../support/updates.js';
import { encode, goodUpdate, withFacts, withTensor } from '../support/updates.js';
import type { Victim } from './support/victim.js';
import { openVictim } from './support/victim.js';

let victim: Victim;
beforeAll(async () => {
  victim = await openVictim();
});
afterAll(() => victim.close());

const kernel = (...values: number[]) => ({
  shape: [3, 2],
  data: Float32Array.from({ length: 6 }, (_, i) => values.at(i) ?? 0.125),
});
const examples = (text: string | null) => (good: UpdateParts) =>
  withFacts(good, { numExamples: text });

const contents: readonly [string, (good: UpdateParts) => UpdateParts, string, RegExp][] = [
  ['NaN in a tensor', (good) => withTensor(good, 'kernel', kernel(1, NaN)), 'not_finite', /kernel/],
  ['infinity', (good) => withTensor(good, 'kernel', kernel(-Infinity)), 'not_finite', /kernel/],
  [
    'a wrong shape',
    (good) => withTensor(good, 'kernel', { shape: [2, 3], data: new Float32Array(6) }),
    'wrong_shape',
    /kernel/,
  ],
  [
    'a shape that would broadcast',
    (good) => withTensor(good, 'kernel', { shape: [1, 2], data: new Float32Array(2) }),
    'wrong_shape',
    /kernel/,
  ],
  [
    'a scalar that would broadcast',
    (good) => withTensor(good, 'bias', { shape: [], data: new Float32Array(1) }),
    'wrong_shape',
    /bias/,
  ],
  ['no number of examples', examples(null), 'bad_facts', /numExamples/],
  ['zero examples', examples('0'), 'bad_facts', /numExamples/],
  ['fewer than no examples', examples('-5'), 'bad_facts', /numExamples/],
  ['half an example', examples('0.5'), 'bad_facts', /numExamples/],
  ['examples beyond any number', examples('1e400'), 'bad_facts', /numExamples/],
  ['as many examples as there are', examples('9007199254740991'), 'over_cap', /numExamples/],
  ['examples as text', examples('"1000"'), 'bad_facts', /numExamples/],
  [
    'a value that would overflow the sum',
    (good) => withTensor(good, 'kernel', kernel(3e38)),
    'over_cap',
    /deltaMax/,
  ],
  [
    'the facts of another assignment',
    (good) => withFacts(good, { assignmentId: '"00000000-0000-0000-0000-000000000000"' }),
    'bad_facts',
    /another assignment/,
  ],
  [
    'facts that would change every object',
    (good) => ({ ...good, facts: `{"__proto__":{"numExamples":5},${good.facts.slice(1)}` }),
    'bad_facts',
    /./,
  ],
];

describe('an update with', () => {
  let clients: RawClient[];
  beforeAll(async () => {
    ({ clients } = await victim.openRound(contents.length + 1));
  });

  it.each(contents.map((content, k) => [...content, k] as const))(
    '%s is rejected, and named',
    async (_what, change, code, says, k) => {
      const assignment = await clients[k].assignment();
      const body = encode(change(goodUpdate(assignment, 3, 1000)));
      const answer = await put(victim.url + assignment.uploadPath, body, clients[k]);
      expect(answer).toMatchObject({ status: 422, code, receipt: { status: 'rejected' } });
      expect(answer.message).toMatch(says);
    },
  );
});

describe('a client that', () => {
  it('sends for a round that is over, or for none, changes nothing', async () => {
    const { runId, clients } = await victim.openRound(1);
    const first = await clients[0].assignment();
    const url = victim.url + first.uploadPath;
    expect(await put(url, encode(goodUpdate(first, 0.5, 10)), clients[0])).toMatchObject({
      status: 201,
    });
    await completed(runId);
    const before = sha256(await victim.coordinator.api.model(runId, 1));
    const again = encode(goodUpdate(first, 8, 1000));
    expect(await put(url, again, clients[0])).toMatchObject({ code: 'assignment_used' });
    const future = first.uploadPath.replace(first.id, 'f'.repeat(first.id.length));
    expect(await put(victim.url + future, again, clients[0])).toMatchObject({
      code: 'assignment_unknown',
    });
    expect(sha256(await victim.coordinator.api.model(runId, 1))).toBe(before);
  });

  it('comes a second time under one identity takes the place of the first, and counts once', async () => {
    const run = await createPlainRun(victim.coordinator.api, oneRound(1), { ada: 'source' });
    const first = await rawClient(victim.url, 'ada', run.tokens.ada);
    const given = await first.assignment();
    const second = await rawClient(victim.url, 'ada', run.tokens.ada);
    expect(second.welcome.assignments.map(({ id }) => id)).toEqual([given.id]);
    const answers = await Promise.all([send(first, given, 0.5), send(second, given, 0.25)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    await completed(run.id);
    const { updates } = await victim.coordinator.api.round(run.id, 1);
    expect(updates.map(({ weight }) => weight)).toEqual([1]);
  });

  it('leaves after the others have sent does not keep the round waiting', async () => {
    const spec = oneRound(3, { graceMs: 1, quorum: { min: 2, share: 0.6 } });
    const names = { ada: 'source', bob: 'source', cyd: 'source' } as const;
    const run = await createPlainRun(victim.coordinator.api, spec, names);
    const [ada, bob, cyd] = await Promise.all(
      Object.keys(names).map((name) => rawClient(victim.url, name, run.tokens[name])),
    );
    expect(await send(ada, await ada.assignment(), 0.5)).toMatchObject({ status: 201 });
    expect(await send(bob, await bob.assignment(), 0.5)).toMatchObject({ status: 201 });
    await cyd.assignment();
    cyd.leave();
    const { history } = await completed(run.id);
    expect(history[0]).toMatchObject({ phase: 'closed', accepted: 2, dropped: 1 });
  });
});

describe('a connection that', () => {
  it('says nothing is closed in the end, and holds nobody up', async () => {
    const wires = Array.from({ length: 50 }, () => openWire(victim.url));
    expect((await fetch(`${victim.url}/readyz`)).status).toBe(200);
    for (const wire of wires) wire.socket.end();
    await Promise.all(wires.map((wire) => wire.answer));
  });

  it('opens a socket and never says hello is told to go', { timeout: 30_000 }, async () => {
    const token = victim.bait.tokens['eve-1'];
    const socket = io(victim.url, { auth: { token }, forceNew: true, reconnection: false });
    const goodbye = new Promise((resolve) => socket.once('goodbye', resolve));
    await new Promise((resolve) => socket.once('disconnect', resolve));
    expect(errorBody.parse(await goodbye).code).toBe('too_slow');
  });

  it('announces 4 GB is refused before it sends them', async () => {
    const [client] = (await victim.openRound(1)).clients;
    const { uploadPath } = await client.assignment();
    const wire = openWire(victim.url);
    const headers = {
      authorization: `Bearer ${client.token}`,
      'x-tributary-sha256': 'a'.repeat(64),
      'content-length': 4 * 1024 ** 3,
    };
    wire.send(head(headers, `PUT ${uploadPath} HTTP/1.1`));
    const answer = eventuallyAnswered(wire.socket);
    expect((await answer).error.code).toBe('too_large');
    wire.socket.destroy();
  });

  it.each([
    ['one byte that is no HTTP', Uint8Array.of(0)],
    ['a byte 0xff', Uint8Array.of(0xff, 0x0d, 0x0a, 0x0d, 0x0a)],
    ['the beginning of TLS', Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc)],
    ['a pickle', Buffer.from('\u0080\u0004\u0095cposix\nsystem\n', 'latin1')],
    ['a protocol buffer', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)],
  ])('begins with %s is hung up on', async (_what, bytes) => {
    const wire = openWire(victim.url);
    wire.socket.end(bytes);
    expect(parseAnswer(await wire.answer).status).toBe(400);
  });
});

describe('a body that', () => {
  it.each(['gzip', 'br', 'deflate', 'gzip, gzip'])(
    'is packed (%s) is refused unread',
    async (encoding) => {
      const bomb = gzipSync(Buffer.alloc(64 * 1024 ** 2));
      const answer = await post('/v1/runs', bomb, { 'content-encoding': encoding });
      expect(answer).toMatchObject({ status: 400, code: 'bad_request' });
      expect(answer.message).toMatch(/encoding/);
    },
  );

  it('nests without end is refused', async () => {
    const deep = `{"name":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(await post('/v1/runs', deep)).toMatchObject({ status: 400, code: 'bad_request' });
  });

  it.each(['__proto__', 'constructor', 'prototype'])(
    'would change every object through %s changes none',
    async (key) => {
      const spec = { ...oneRound(1), init: { blob: sha256(initialModel) } };
      const text = JSON.stringify(spec).slice(0, -1);
      const answer = await post('/v1/runs', `${text},"${key}":{"polluted":true,"rounds":1}}`);
      expect(answer).toMatchObject({ status: 400, code: 'bad_request' });
      expect(answer.message).toContain(key);
    },
  );
});

describe('a name that', () => {
  const names = [
    '../../etc/passwd',
    '..',
    '.',
    'a/b',
    'a\\b',
    '\u0000',
    'a\nb',
    '%2e%2e',
    'c'.repeat(300),
    '',
  ];
  it.each(names)('would be a path is refused: %j', async (name) => {
    const path = `/v1/runs/${victim.bait.id}/clients`;
    const answer = await post(path, JSON.stringify({ name, role: 'source' }));
    expect(answer).toMatchObject({ status: 400, code: 'bad_request' });
    const run = { ...oneRound(1), name, init: { blob: sha256(initialModel) } };
    expect(await post('/v1/runs', JSON.stringify(run))).toMatchObject({ status: 400 });
  });

  it.each(['..%2f..%2f..%2fetc%2fpasswd', '%2e%2e%2fpackage.json', '..%5c..%5cx', 'index.html%00'])(
    'climbs out of the folder of pages finds nothing: %s',
    async (path) => {
      for (const from of ['', '/sdk', '/v1/blobs', `/v1/runs/${victim.bait.id}/checkpoints`]) {
        const response = await fetch(`${victim.url}${from}/${path}`);
        expect([400, 401, 404]).toContain(response.status);
        expect(await response.text()).not.toMatch(/root:|"dependencies"/);
      }
    },
  );
});

it('and after all that nothing has happened', () => victim.expectUnharmed());

function oneRound(clients: number, changes: Parameters<typeof plainRun>[1] = {}) {
  return plainRun(clients, { rounds: 1, evaluateEvery: 0, ...changes });
}

function send(client: RawClient, assignment: Assignment, value: number) {
  const body = encode(goodUpdate(assignment, value, 10));
  return put(victim.url + assignment.uploadPath, body, client);
}

function completed(runId: string) {
  return eventually(`run ${runId} completes`, async () => {
    const run = await victim.coordinator.api.run(runId);
    return run.status === 'completed' ? run : null;
  });
}

/** The operator posts JSON that no JSON library would write. */
async function post(path: string, body: BodyInit, headers: Record<string, string> = {}) {
  const response = await fetch(victim.url + path, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      'content-type': 'application/json',
      ...headers,
    },
    body,
  });
  const { error } = failure.parse(await response.json());
  return { status: response.status, code: error.code, message: error.message };
}

/** The answer that comes while the connection is still open. */
function eventuallyAnswered(socket: ReturnType<typeof openWire>['socket']) {
  return new Promise<ReturnType<typeof parseAnswer>>((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (!text.endsWith('}')) return;
      try {
        resolve(parseAnswer(text));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.once('close', () => reject(new Error(`closed after ${JSON.stringify(text)}`)));
  });
}
