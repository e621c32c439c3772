/** The control channel: who may connect, presence, and what hostile clients can not do. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { errorBody } from '../../protocol/errors.js';
import { runDetail } from '../../protocol/http.js';
import type { RunDetail } from '../../protocol/http.js';
import { PROTOCOL_VERSION, assignment, welcome } from '../../protocol/messages.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('all');
leaveAfterEach();

let coordinator: Coordinator;
let url: string;
beforeAll(async () => {
  coordinator = await startCoordinator();
  ({ url } = coordinator);
});

interface Enrolled {
  readonly runId: string;
  readonly token: string;
}

/** A run with one client that is enrolled, and not there yet. */
async function enrolled(changes: Parameters<typeof createRun>[1] = {}): Promise<Enrolled> {
  const { id: runId } = await createRun(coordinator, changes);
  return { runId, token: (await enrol(coordinator, runId, 'anna')).token };
}

async function detailOf(runId: string): Promise<RunDetail> {
  return runDetail.parse(await (await request(coordinator, `/v1/runs/${runId}`, OPERATOR)).json());
}

const codeOf = (error: { data?: unknown }) => errorBody.parse(error.data).code;

describe('connecting', () => {
  it.each([
    ['nothing', {}, 'unauthorized'],
    ['a token that was never given out', { token: 'trb_nobody' }, 'unauthorized'],
    ['a token that is no text', { token: { $ne: null } }, 'unauthorized'],
    ['a token without end', { token: 'x'.repeat(20_000) }, 'unauthorized'],
    ['the operator token', { token: OPERATOR }, 'forbidden'],
  ])('with %s is refused', async (_what, auth, code) => {
    const error = await new Peer(url, auth).refused();
    expect(codeOf(error)).toBe(code);
  });

  it('from a page of another site is refused', async () => {
    const { token } = await enrolled();
    for (const transport of ['websocket', 'polling']) {
      const options = { transports: [transport], extraHeaders: { origin: 'https://evil.example' } };
      expect(codeOf(await new Peer(url, { token }, options).refused())).toBe('origin_refused');
    }
  });

  it('works by long polling as by WebSocket', async () => {
    const { token } = await enrolled();
    const peer = new Peer(url, { token }, { transports: ['polling'] });
    expect(await peer.hello()).toMatchObject({ ok: true });
  });

  it('is refused to the ninth connection of a client', async () => {
    const { token } = await enrolled();
    const peers = Array.from({ length: 9 }, () => new Peer(url, { token }));
    const error = await Promise.race(peers.map((peer) => peer.refused()));
    expect(codeOf(error)).toBe('rate_limited');
  });

  it('without a hello does not last', async () => {
    const impatient = await startCoordinator({ limits: { helloTimeoutMs: 100 } });
    const run = await createRun(impatient);
    const { token } = await enrol(impatient, run.id, 'anna');
    const silent = new Peer(impatient.url, { token });
    expect(await silent.nth('goodbye')).toMatchObject({ code: 'too_slow', retryable: true });
    await silent.disconnected();
  });
});

describe('hello', () => {
  it('is answered with who the client is and what is open for it', async () => {
    const { runId, token } = await enrolled();
    const first = new Peer(url, { token });
    const answer = await first.hello();
    if (!answer.ok) throw new Error(answer.error.message);
    expect(welcome.parse(answer.value)).toEqual({
      runId,
      clientId: 'anna',
      role: 'source',
      status: 'running',
      version: 0,
      assignments: [],
    });
    const given = assignment.parse(await first.assignment());
    expect(given).toMatchObject({ runId, round: 1, kind: 'train', baseVersion: 0, vectors: [] });

    first.leave();
    const second = new Peer(url, { token });
    const resumed = await second.hello();
    if (!resumed.ok) throw new Error(resumed.error.message);
    expect(resumed.value.assignments.map(({ id }) => id)).toEqual([given.id]);
    expect(resumed.value.assignments[0].remainingMs).toBeLessThanOrEqual(given.remainingMs);
  });

  it('in another version of the protocol is refused, with the one that is served', async () => {
    const { runId, token } = await enrolled();
    const answer = await new Peer(url, { token }).hello({ protocolVersion: 99 });
    expect(answer).toMatchObject({
      ok: false,
      error: {
        code: 'protocol_version',
        retryable: false,
        details: { served: [PROTOCOL_VERSION] },
      },
    });
    expect((await detailOf(runId)).clients[0].present).toBe(false);
  });

  it('must come before anything else', async () => {
    const { token } = await enrolled();
    const answer = await new Peer(url, { token }).send('progress', {
      assignmentId: 'a',
      fraction: 0,
    });
    expect(answer).toMatchObject({ ok: false, error: { code: 'bad_request' } });
  });

  it('of a run that is over says so', async () => {
    const { runId, token } = await enrolled();
    await request(coordinator, `/v1/runs/${runId}/stop`, OPERATOR, { method: 'POST' });
    const answer = await new Peer(url, { token }).hello();
    expect(answer).toMatchObject({ ok: true, value: { status: 'stopped', assignments: [] } });
  });

  it('can be said twice', async () => {
    const { runId, token } = await enrolled();
    const peer = await Peer.join(url, token);
    expect(await peer.hello({ evaluates: true })).toMatchObject({ ok: true });
    expect((await detailOf(runId)).clients[0].present).toBe(true);
  });
});

describe('a client that connects again', () => {
  it('keeps its newest connection where an older one says hello late', async () => {
    const { runId, token } = await enrolled();
    const from = (process: string, connection: number) => {
      return new Peer(url, { token, origin: { process, connection } });
    };
    const [older, newer] = [from('one', 4), from('one', 5)];
    expect(await newer.hello()).toMatchObject({ ok: true });
    expect(await older.hello()).toMatchObject({ ok: false, error: { code: 'replaced' } });
    expect((await detailOf(runId)).clients[0].present).toBe(true);
    expect(newer.received('goodbye')).toEqual([]);
    // Another process counts for itself: there the newest hello goes before.
    const other = from('two', 1);
    expect(await other.hello()).toMatchObject({ ok: true });
    expect(await newer.nth('goodbye')).toMatchObject({ code: 'replaced' });
  });

  it('replaces its first connection, which is told, and was never away', async () => {
    // Nobody who leaves would be waited for.
    const { runId, token } = await enrolled({ graceMs: 1 });
    const first = await Peer.join(url, token);
    const { id } = await first.assignment();
    const second = await Peer.join(url, token);
    expect(await first.nth('goodbye')).toMatchObject({ code: 'replaced', retryable: false });
    expect(await first.disconnected()).toBe('io server disconnect');
    expect((await detailOf(runId)).clients[0].present).toBe(true);

    const upload = await putUpdate(coordinator, id, token, updateFile(id));
    expect(upload.status).toBe(201);
    expect(await second.nth('weighed')).toMatchObject({ assignmentId: id });
    expect(first.received('weighed')).toEqual([]);
    expect((await detailOf(runId)).history[0]).toMatchObject({
      attempt: 1,
      dropped: 0,
      accepted: 1,
    });
  });

  it('leaves when its last connection ends', async () => {
    const { runId, token } = await enrolled({ graceMs: 1, retries: 0 });
    const first = await Peer.join(url, token);
    await first.assignment();
    const second = await Peer.join(url, token);
    await first.disconnected();
    second.leave();
    let detail: RunDetail;
    do detail = await detailOf(runId);
    while (detail.status === 'running');
    expect(detail.clients[0].present).toBe(false);
    expect(detail.history[0]).toMatchObject({ phase: 'abandoned', dropped: 1 });
  });
});

describe('messages', () => {
  it('of hello and progress are shown to operators, while the client is there', async () => {
    const { runId, token } = await enrolled();
    const software = { backends: ['wasm', 'cpu'], sdkVersion: '1.2.3' };
    const peer = await Peer.join(url, token, software);
    expect((await detailOf(runId)).clients[0]).toMatchObject({ ...software, loss: null });
    const { id } = await peer.assignment();
    const answer = await peer.send('progress', { assignmentId: id, fraction: 0.25, loss: 1.5 });
    expect(answer).toEqual({ ok: true, value: null });
    const shown = { ...software, progress: 0.25, loss: 1.5 };
    expect((await detailOf(runId)).clients[0]).toMatchObject(shown);
    const unknown = await peer.send('progress', { assignmentId: 'of-another', fraction: 1 });
    expect(unknown).toMatchObject({ ok: false, error: { code: 'assignment_unknown' } });
  });

  it('that decline end the assignment', async () => {
    const { runId, token } = await enrolled({ retries: 0 });
    const peer = await Peer.join(url, token);
    const { id } = await peer.assignment();
    expect(await peer.send('decline', { assignmentId: id, reason: 'no memory' })).toMatchObject({
      ok: true,
    });
    let state = await peer.nth('run');
    for (let n = 2; state.status === 'running'; n++) state = await peer.nth('run', n);
    expect(state.status).toBe('failed');
    expect((await detailOf(runId)).history[0]).toMatchObject({ phase: 'abandoned', dropped: 1 });
  });

  it('about the assignment of another client are refused', async () => {
    const { runId, token } = await enrolled({ quorum: { min: 2 } });
    const other = await enrol(coordinator, runId, 'bert');
    const [anna, bert] = [await Peer.join(url, token), await Peer.join(url, other.token)];
    const { id } = await anna.assignment();
    const answer = await bert.send('decline', { assignmentId: id, reason: 'mine now' });
    expect(answer).toMatchObject({ ok: false, error: { code: 'assignment_unknown' } });
  });

  it('reach only the clients of their run', async () => {
    const [one, two] = [await enrolled(), await enrolled()];
    const [a, b] = [await Peer.join(url, one.token), await Peer.join(url, two.token)];
    await Promise.all([a.assignment(), b.assignment()]);
    await request(coordinator, `/v1/runs/${one.runId}/stop`, OPERATOR, { method: 'POST' });
    for (let n = 1; (await a.nth('run', n)).status === 'running'; n++);
    await b.send('progress', {}); // a round trip: whatever was sent before has arrived
    expect(b.received('closed')).toEqual([]);
    expect(b.received('run').filter(({ status }) => status !== 'running')).toEqual([]);
  });

  const wrong: [string, string, unknown[]][] = [
    ['no event of ours', 'train', [{}]],
    ['the name of an inherited property', 'constructor', [{}]],
    ['the event that Node throws for', 'error', [{}]],
    ['__proto__', '__proto__', [{}]],
    ['no argument', 'progress', []],
    ['two arguments', 'progress', [{}, {}]],
    ['null', 'progress', [null]],
    ['a list', 'progress', [[1]]],
    ['bytes', 'progress', [Buffer.from('x')]],
    [
      'a polluted prototype',
      'decline',
      [JSON.parse('{"__proto__":{"ok":1},"assignmentId":"a","reason":""}') as unknown],
    ],
    ['an unknown field', 'progress', [{ assignmentId: 'a', fraction: 0, role: 'target' }]],
    ['a share over 1', 'progress', [{ assignmentId: 'a', fraction: 2 }]],
    ['a reason without end', 'decline', [{ assignmentId: 'a', reason: 'x'.repeat(10_000) }]],
  ];
  it.each(wrong)('with %s are bad requests', async (_what, event, args) => {
    const { token } = await enrolled();
    const peer = await Peer.join(url, token);
    const answer = await peer.send(event, ...args);
    expect(answer).toMatchObject({ ok: false, error: { code: 'bad_request' } });
    expect(({} as Record<string, unknown>).ok).toBeUndefined();
  });

  it('of any kind leave the coordinator and the connection as they were', async () => {
    const patient = await startCoordinator({
      limits: { messages: { burst: 1e6, perSecond: 1e6 } },
    });
    const run = await createRun(patient);
    const { token } = await enrol(patient, run.id, 'anna');
    const peer = await Peer.join(patient.url, token);
    const { id } = await peer.assignment();
    const event = fc.oneof(fc.constantFrom('hello', 'progress', 'decline', 'error'), fc.string());
    const shape = fc.record({
      assignmentId: fc.anything(),
      fraction: fc.anything(),
      reason: fc.anything(),
    });
    const argument = fc.oneof(
      fc.jsonValue(),
      shape.map((value) => JSON.parse(JSON.stringify(value)) as unknown),
    );
    await fc.assert(
      fc.asyncProperty(
        event,
        fc.array(argument, { maxLength: 3 }),
        fc.boolean(),
        async (name, args, ack) => {
          // Names that the client library keeps for itself cannot be sent with it.
          fc.pre(
            ![
              'connect',
              'connect_error',
              'disconnect',
              'disconnecting',
              'newListener',
              'removeListener',
            ].includes(name),
          );
          if (!ack) peer.socket.emit(name, ...args);
          else expect(await peer.send(name, ...args)).toMatchObject({ ok: false });
        },
      ),
      { numRuns: 300, seed: 7 },
    );
    expect(await peer.send('progress', { assignmentId: id, fraction: 1 })).toMatchObject({
      ok: true,
    });
  });

  it('that come too fast are refused, and who goes on is thrown out', async () => {
    const { token } = await enrolled();
    const peer = await Peer.join(url, token);
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => peer.send('progress', { assignmentId: 'a', fraction: 0 })),
    );
    const codes = answers.map((answer) => (answer.ok ? 'ok' : answer.error.code));
    expect(codes[0]).toBe('assignment_unknown');
    expect(codes.at(-1)).toBe('rate_limited');
    for (let i = 0; i < 400; i++) peer.socket.emit('progress', {});
    expect(await peer.nth('goodbye')).toMatchObject({ code: 'rate_limited', retryable: true });
    await peer.disconnected();
  });
});

describe('packets that no client library sends', () => {
  /** Sends packets of Engine.IO as they are, after a proper handshake. */
  async function sendRaw(token: string, packets: readonly string[]): Promise<void> {
    const address = `${url}/socket.io/?EIO=4&transport=polling`;
    const opened = await (await fetch(address)).text();
    const { sid } = JSON.parse(opened.slice(1)) as { sid: string };
    const session = `${address}&sid=${sid}`;
    const post = async (body: string): Promise<void> => {
      await (await fetch(session, { method: 'POST', body })).text();
    };
    await post(`40${JSON.stringify({ token })}`);
    expect(await (await fetch(session)).text()).toMatch(/^40/);
    for (const packet of packets) await post(packet);
    await post('1'); // leaves, if it has not been thrown out
  }

  const broken: [string, string[]][] = [
    ['nothing', ['']],
    ['an unknown packet', ['9']],
    ['an event without JSON', ['42']],
    ['an event that is broken JSON', ['42["hello",{']],
    ['an event that is no list', ['42{"hello":1}']],
    ['an event without a name', ['42[]']],
    ['an event with a number for a name', ['421[7,{}]']],
    ['a reserved event', ['42["disconnect"]']],
    ['an acknowledgement that was not asked for', ['4399[1]']],
    ['attachments that never come', ['45100000-["hello",{"_placeholder":true,"num":0}]']],
    ['a placeholder out of range', ['451-["hello",{"_placeholder":true,"num":-1}]', 'bAQ==']],
    ['bytes out of the blue', ['bAQID']],
    ['another namespace', ['40/admin,{"token":"x"}', '42/admin,["hello",{}]']],
    ['depth', [`42["hello",${'['.repeat(30_000)}${']'.repeat(30_000)}]`]],
    ['more than a message may hold', [`42["hello","${'x'.repeat(70_000)}"]`]],
    ['many packets in one', [Array<string>(5_000).fill('42["hello"]').join('\u001e')]],
  ];
  it.each(broken)('%s ends at most the connection that sent it', async (_what, packets) => {
    // A cohort of all would wait for bert, who never says hello.
    const { runId, token } = await enrolled({ cohort: { size: 1 } });
    const other = await enrol(coordinator, runId, 'bert');
    const bystander = await Peer.join(url, token);
    const { id } = await bystander.assignment();
    await sendRaw(other.token, packets);
    const answer = await bystander.send('progress', { assignmentId: id, fraction: 0.5 });
    expect(answer).toEqual({ ok: true, value: null });
  });

  it.each([
    ['?EIO=3&transport=polling'],
    ['?EIO=4&transport=carrier-pigeon'],
    ['?EIO=4&transport=polling&sid=none'],
    [''],
  ])('a handshake of another kind is refused: %s', async (query) => {
    const response = await fetch(`${url}/socket.io/${query}`);
    expect(response.status).toBe(400);
    await response.text();
  });
});
