/** The control channel: who may connect, what a hello is answered, and presence. */
import { beforeAll, describe, expect, it } from 'vitest';
import { errorBody } from '../../protocol/errors.js';
import type { RunDetail } from '../../protocol/http.js';
import { PROTOCOL_VERSION, assignment, welcome } from '../../protocol/messages.js';
import type { RunSpecInput } from '../../protocol/run.js';
import {
  OPERATOR,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import type { RunWithClient } from './support/joined.js';
import { detailOf, runWithClient } from './support/joined.js';
import { coordinator, useCoordinator } from './support/one-coordinator.js';
import { Peer } from './support/peer.js';

useCoordinator();

let url: string;
beforeAll(() => {
  ({ url } = coordinator);
});

/** A run with one client that is enrolled, and not there yet. */
function enrolled(changes: Partial<RunSpecInput> = {}): Promise<RunWithClient> {
  return runWithClient(coordinator, changes);
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
    const { token } = await runWithClient(impatient);
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
    expect((await detailOf(coordinator, runId)).clients[0].present).toBe(false);
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
    expect((await detailOf(coordinator, runId)).clients[0].present).toBe(true);
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
    expect((await detailOf(coordinator, runId)).clients[0].present).toBe(true);
    await newer.send('progress', {}); // a round trip: whatever was sent before has arrived
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
    expect((await detailOf(coordinator, runId)).clients[0].present).toBe(true);

    const upload = await putUpdate(coordinator, id, token, updateFile(id));
    expect(upload.status).toBe(201);
    expect(await second.nth('weighed')).toMatchObject({ assignmentId: id });
    expect(first.received('weighed')).toEqual([]);
    expect((await detailOf(coordinator, runId)).history[0]).toMatchObject({
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
    do detail = await detailOf(coordinator, runId);
    while (detail.status === 'running');
    expect(detail.clients[0].present).toBe(false);
    expect(detail.history[0]).toMatchObject({ phase: 'abandoned', dropped: 1 });
  });
});
