/**
 * Updates that must not count. Each is answered with its code, the round goes on without it, and the
 * model is what the good updates alone make of it.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Params } from '../../client/types.js';
import type { Assignment } from '../../protocol/messages.js';
import type { Role } from '../../protocol/run.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { eventually } from '../support/database.js';
import { initialParams, plainRun } from '../support/plain-task.js';
import type { Answer, RawClient } from '../support/raw-client.js';
import { disconnectAll, put, putTruncated, rawClient, sha256 } from '../support/raw-client.js';
import type { Stage } from '../support/stage.js';
import { createPlainRun, OPERATOR_TOKEN, openStage } from '../support/stage.js';
import { encode, goodUpdate } from '../support/updates.js';
import { badContents } from './bad-contents.js';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterEach(disconnectAll);
afterAll(() => stage.close());

interface Round {
  readonly runId: string;
  readonly clients: readonly RawClient[];
  readonly assignments: readonly Assignment[];
  readonly url: (k: number) => string;
}

/** A run of one round in which every client has its assignment. */
async function openRound(
  names: readonly string[],
  roles: Record<string, Role> = {},
): Promise<Round> {
  const enrolled = {
    ...Object.fromEntries(names.map((name): [string, Role] => [name, 'source'])),
    ...roles,
  };
  const spec = plainRun(names.length, { rounds: 1, quorum: { min: 1, share: 0 } });
  const run = await createPlainRun(stage.api, spec, enrolled);
  const clients: RawClient[] = [];
  for (const name of names) clients.push(await rawClient(stage.url, name, run.tokens[name]));
  const assignments = await Promise.all(clients.map((client) => client.assignment()));
  const url = (k: number): string => stage.url + assignments[k].uploadPath;
  return { runId: run.id, clients, assignments, url };
}

async function modelOf(runId: string, version: number): Promise<Params> {
  const { tensors } = decodeSafetensors(await stage.api.model(runId, version));
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, data as Float32Array]),
  );
}

/** Good updates of constant deltas move every parameter that clients may move by the same number. */
async function expectMoved(
  runId: string,
  good: readonly { value: number; numExamples: number }[],
): Promise<void> {
  const total = good.reduce((sum, { numExamples }) => sum + numExamples, 0);
  const step = good.reduce((sum, { value, numExamples }) => sum + value * numExamples, 0) / total;
  const model = await modelOf(runId, 1);
  for (const [name, before] of Object.entries(initialParams)) {
    const by = name === 'vocabulary' ? 0 : step;
    expect(Array.from(model[name])).toEqual(Array.from(before, (w) => Math.fround(w + by)));
  }
}

describe('an update with wrong content', () => {
  it('gets its code, uses its assignment up, and leaves round and model to the good ones', async () => {
    const good = [
      { value: 0.25, numExamples: 30 },
      { value: -0.5, numExamples: 10 },
    ];
    const names = [...badContents.map((_, k) => `bad-${k}`), 'good-1', 'good-2'];
    const { runId, clients, assignments, url } = await openRound(names);
    const first = badContents.length;

    const accepted = encode(goodUpdate(assignments[first], good[0].value, good[0].numExamples));
    expect(await put(url(first), accepted, clients[first])).toMatchObject({
      status: 201,
      receipt: { status: 'accepted', duplicate: false, sha256: sha256(accepted) },
    });
    for (const [k, { what, bytes, code, status, says }] of badContents.entries()) {
      const body = bytes(goodUpdate(assignments[k], 3, 1000));
      const answer = await put(url(k), body, clients[k]);
      expect.soft(answer, what).toMatchObject({
        code,
        status,
        receipt: { status: 'rejected', duplicate: false, sha256: sha256(body) },
      });
      expect.soft(answer.message, what).toMatch(says);
      // The same again: the same answer. A better one now: too late.
      expect.soft(await put(url(k), body, clients[k]), what).toMatchObject({
        code,
        status,
        receipt: { status: 'rejected', duplicate: true },
      });
      const corrected = encode(goodUpdate(assignments[k], 3, 1000));
      expect.soft(await put(url(k), corrected, clients[k]), what).toMatchObject({
        code: 'assignment_used',
        status: 409,
      });
    }
    const last = first + 1;
    const second = encode(goodUpdate(assignments[last], good[1].value, good[1].numExamples));
    expect(await put(url(last), second, clients[last])).toMatchObject({ status: 201 });

    const run = await runEnded(runId);
    expect(run.history[0]).toMatchObject({
      phase: 'closed',
      attempt: 1,
      invited: names.length,
      accepted: 2,
      rejected: badContents.length,
    });
    await expectMoved(runId, good);

    const { updates } = await stage.api.round(runId, 1);
    for (const [k, { what, code }] of badContents.entries()) {
      const update = updates.find(({ clientId }) => clientId === `bad-${k}`);
      expect(update, what).toMatchObject({ state: 'rejected', receipt: { code }, weight: null });
    }
    const weights = updates.filter(({ state }) => state === 'accepted').map(({ weight }) => weight);
    expect(weights).toEqual([0.75, 0.25]);
  });
});

describe('an update that did not arrive whole', () => {
  it('gets its code and does not use the assignment up', async () => {
    const names = ['cut-short', 'damaged', 'no-hash', 'not-a-hash', 'too-long', 'packed'];
    const { runId, clients, assignments, url } = await openRound(names);
    const good = names.map((_, k) => ({ value: 0.125 * (k + 1), numExamples: 2 ** k }));
    const bodies = good.map(({ value, numExamples }, k) =>
      encode(goodUpdate(assignments[k], value, numExamples)),
    );

    expect(await putTruncated(url(0), bodies[0], clients[0].token)).toMatchObject({
      status: 400,
      code: 'truncated',
      receipt: null,
    });
    const damaged = Uint8Array.from(bodies[1]);
    damaged[damaged.length - 1] ^= 1;
    expect(await put(url(1), damaged, { ...clients[1], hash: sha256(bodies[1]) })).toMatchObject({
      status: 400,
      code: 'wrong_hash',
      receipt: null,
    });
    expect(await put(url(2), bodies[2], { ...clients[2], hash: null })).toMatchObject({
      status: 400,
      code: 'bad_request',
    });
    expect(await put(url(3), bodies[3], { ...clients[3], hash: 'deadbeef' })).toMatchObject({
      status: 400,
      code: 'wrong_hash',
    });
    const long = new Uint8Array(6 * 1024 * 1024);
    expect(await put(url(4), long, clients[4])).toMatchObject({ status: 413, code: 'too_large' });
    expect(await putEncoded(url(5), bodies[5], clients[5].token)).toMatchObject({
      status: 400,
      code: 'bad_request',
    });

    for (const k of names.keys()) {
      const answer = await put(url(k), bodies[k], clients[k]);
      expect(answer, names[k]).toMatchObject({ status: 201, receipt: { status: 'accepted' } });
    }
    await runEnded(runId);
    await expectMoved(runId, good);
  });

  async function putEncoded(url: string, body: Uint8Array, token: string): Promise<Answer> {
    const response = await fetch(url, {
      method: 'PUT',
      body: body as Uint8Array<ArrayBuffer>,
      headers: {
        authorization: `Bearer ${token}`,
        'content-encoding': 'gzip',
        'x-tributary-sha256': sha256(body),
      },
    });
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    return { status: response.status, code: error.code, message: error.message, receipt: null };
  }
});

describe('an update that is sent twice', () => {
  it('gets its first receipt again, and counts once', async () => {
    const { runId, clients, assignments, url } = await openRound(['ada', 'bob']);
    const body = encode(goodUpdate(assignments[0], 0.25, 30));
    const first = await put(url(0), body, clients[0]);
    const second = await put(url(0), body, clients[0]);
    expect(first).toMatchObject({ status: 201, receipt: { status: 'accepted', duplicate: false } });
    expect(second).toMatchObject({ status: 200 });
    expect(second.receipt).toEqual({ ...first.receipt, duplicate: true });
    const other = encode(goodUpdate(assignments[0], 2, 1000));
    expect(await put(url(0), other, clients[0])).toMatchObject({
      status: 409,
      code: 'assignment_used',
    });
    await put(url(1), encode(goodUpdate(assignments[1], -0.5, 10)), clients[1]);
    await runEnded(runId);
    await expectMoved(runId, [
      { value: 0.25, numExamples: 30 },
      { value: -0.5, numExamples: 10 },
    ]);
    const late = await put(url(0), body, clients[0]);
    expect(late.receipt).toEqual({ ...first.receipt, duplicate: true });
  });

  it('counts once where both arrive at the same moment', async () => {
    const { runId, clients, assignments, url } = await openRound(['ada', 'bob']);
    const body = encode(goodUpdate(assignments[0], 0.25, 30));
    const answers = await Promise.all([0, 1, 2].map(() => put(url(0), body, clients[0])));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 201]);
    const rivals = [1, 2, 3].map((value) => encode(goodUpdate(assignments[1], value, 30)));
    const outcomes = await Promise.all(rivals.map((rival) => put(url(1), rival, clients[1])));
    expect(outcomes.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
    const winner = outcomes.findIndex(({ status }) => status === 201) + 1;
    await runEnded(runId);
    await expectMoved(runId, [
      { value: 0.25, numExamples: 30 },
      { value: winner, numExamples: 30 },
    ]);
  });
});

describe('an update for no round that waits for it', () => {
  it('is late where its round is over', async () => {
    const { runId, clients, assignments, url } = await openRound(['ada', 'bob', 'cyd']);
    await put(url(0), encode(goodUpdate(assignments[0], 0.25, 30)), clients[0]);
    await clients[1].decline(assignments[1].id);
    const given = encode(goodUpdate(assignments[1], 2, 30));
    expect(await put(url(1), given, clients[1])).toMatchObject({
      status: 410,
      code: 'late',
      receipt: { status: 'late', duplicate: false },
    });
    const stopped = await openRound(['dot']);
    await stage.api.stop(stopped.runId);
    expect(await stopped.clients[0].closed(stopped.assignments[0].id)).toContain('stopped');
    const body = encode(goodUpdate(stopped.assignments[0], 2, 30));
    expect(await put(stopped.url(0), body, stopped.clients[0])).toMatchObject({
      status: 410,
      code: 'late',
      receipt: { status: 'late', duplicate: false },
    });
    expect(await put(stopped.url(0), body, stopped.clients[0])).toMatchObject({
      status: 410,
      receipt: { status: 'late', duplicate: true },
    });
    await put(url(2), encode(goodUpdate(assignments[2], -0.5, 10)), clients[2]);
    await runEnded(runId);
    await expectMoved(runId, [
      { value: 0.25, numExamples: 30 },
      { value: -0.5, numExamples: 10 },
    ]);
    const { updates } = await stage.api.round(runId, 1);
    expect(updates.map(({ state }) => state)).toEqual(['accepted', 'late', 'accepted']);
  });

  it('is unknown where there never was such an assignment', async () => {
    const { clients, assignments } = await openRound(['ada']);
    const body = encode(goodUpdate(assignments[0], 2, 30));
    for (const id of ['0123456789abcdef0123456789abcdef', 'x', '..%2f..%2fetc', 'a'.repeat(300)]) {
      const answer = await put(`${stage.url}/v1/assignments/${id}/update`, body, clients[0]);
      expect(answer, id).toMatchObject({ status: 404, code: 'assignment_unknown', receipt: null });
    }
  });
});

describe('an update by somebody else', () => {
  it('is refused, whoever else it is, and changes nothing', async () => {
    const { runId, clients, assignments, url } = await openRound(['ada', 'bob'], {
      watcher: 'evaluator',
    });
    const evaluator = await stage.api.enrol(runId, 'watcher-2', 'evaluator');
    const other = await openRound(['ada']);
    const forged = encode(goodUpdate(assignments[0], 2, 1000));
    const refusals: [string, string | undefined, number, string][] = [
      ['another client of the run', clients[1].token, 404, 'assignment_unknown'],
      [
        'a client of the same name in another run',
        other.clients[0].token,
        404,
        'assignment_unknown',
      ],
      ['an evaluator', evaluator.token, 404, 'assignment_unknown'],
      ['the operator', OPERATOR_TOKEN, 403, 'forbidden'],
      ['a stranger', 'trb_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 401, 'unauthorized'],
      ['nobody', undefined, 401, 'unauthorized'],
    ];
    for (const [who, token, status, code] of refusals) {
      const answer = await put(url(0), forged, { token });
      expect(answer, who).toMatchObject({ status, code, receipt: null });
    }
    await put(url(0), encode(goodUpdate(assignments[0], 0.25, 30)), clients[0]);
    await put(url(1), encode(goodUpdate(assignments[1], -0.5, 10)), clients[1]);
    await runEnded(runId);
    await expectMoved(runId, [
      { value: 0.25, numExamples: 30 },
      { value: -0.5, numExamples: 10 },
    ]);
  });
});

/** The run, once it has completed. */
async function runEnded(runId: string) {
  return eventually(`run ${runId} completes`, async () => {
    const run = await stage.api.run(runId);
    return run.status === 'completed' ? run : null;
  });
}
