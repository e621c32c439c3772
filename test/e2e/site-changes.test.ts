/** What becomes of a site that is connected, or in the middle of an upload, when it is changed. */
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { Enrolled } from '../../protocol/http.js';
import { SHA256_HEADER, roundDetail } from '../../protocol/http.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
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
import { Peer, leaveAfterEach } from './support/peer.js';
import type { Sites } from './support/sites.js';
import { sitesOf } from './support/sites.js';
import { head, openWire, parseAnswer } from './support/tcp.js';

closeCoordinators('each');
leaveAfterEach();

interface Scene {
  readonly coordinator: Coordinator;
  readonly runId: string;
  readonly sites: Sites;
  readonly anna: Enrolled;
  readonly bert: Enrolled;
}

async function setUp(): Promise<Scene> {
  const coordinator = await startCoordinator();
  const { id: runId } = await createRun(coordinator, {
    quorum: { min: 1, share: 0.5 },
    graceMs: 120_000,
  });
  const anna = await enrol(coordinator, runId, 'anna');
  const bert = await enrol(coordinator, runId, 'bert');
  return { coordinator, runId, anna, bert, sites: sitesOf(coordinator, runId) };
}

/** An upload whose last byte is held back until `finish` is called. */
function slowUpload(
  { coordinator }: Scene,
  assignmentId: string,
  token: string,
): { finish(): Promise<ReturnType<typeof parseAnswer>> } {
  const body = updateFile(assignmentId);
  const wire = openWire(coordinator.url);
  const headers = {
    authorization: `Bearer ${token}`,
    [SHA256_HEADER]: sha256(body),
    'content-length': body.byteLength,
    connection: 'close',
  };
  wire.send(head(headers, `PUT /v1/assignments/${assignmentId}/update HTTP/1.1`));
  wire.send(body.subarray(0, -1));
  return {
    finish: async () => {
      wire.send(body.subarray(-1));
      return parseAnswer(await wire.answer);
    },
  };
}

async function states({ coordinator, runId }: Scene): Promise<Record<string, string>> {
  const answer = await request(coordinator, `/v1/runs/${runId}/rounds/1`, OPERATOR);
  const { updates } = roundDetail.parse(await answer.json());
  return Object.fromEntries(updates.map(({ clientId, state }) => [clientId, state]));
}

describe('a site that is revoked', () => {
  it('is told and cut off, and its open work ends without it', async () => {
    const scene = await setUp();
    const { coordinator, anna, bert, sites } = scene;
    const peers = await Promise.all(
      [anna, bert].map(({ token }) => Peer.join(coordinator.url, token)),
    );
    const [, work] = await Promise.all(peers.map((peer) => peer.assignment()));
    await sites.revoke('anna');
    // The drop is stored with the revocation, long before anybody's grace is over.
    expect(await states(scene)).toEqual({ anna: 'dropped', bert: 'invited' });
    expect(await peers[0].nth('goodbye')).toMatchObject({ code: 'revoked', retryable: false });
    await peers[0].disconnected();
    expect((await putUpdate(coordinator, work.id, bert.token, updateFile(work.id))).status).toBe(
      201,
    );
    expect((await peers[1].assignment(2)).round).toBe(2);
    expect(peers[1].received('goodbye')).toEqual([]);
  });

  it('is refused at every door from then on', async () => {
    const { coordinator, runId, anna, sites } = await setUp();
    await sites.revoke('anna');
    for (const path of ['/v1/me', `/v1/runs/${runId}/task`, `/v1/runs/${runId}/checkpoints/0`]) {
      const refused = await request(coordinator, path, anna.token);
      expect(refused.status).toBe(403);
      expect(await errorOf(refused)).toMatchObject({ code: 'revoked' });
    }
    const peer = new Peer(coordinator.url, { token: anna.token });
    expect((await peer.refused()).data).toMatchObject({ code: 'revoked' });
    expect((await sites.list()).map(({ id, state }) => [id, state])).toEqual([
      ['anna', 'revoked'],
      ['bert', 'approved'],
    ]);
  });

  it('gets no receipt for an upload that is under way', async () => {
    const scene = await setUp();
    const peer = await Peer.join(scene.coordinator.url, scene.anna.token);
    await Peer.join(scene.coordinator.url, scene.bert.token);
    const { id } = await peer.assignment();
    const upload = slowUpload(scene, id, scene.anna.token);
    await scene.sites.revoke('anna');
    const { status, error } = await upload.finish();
    expect(status).toBe(403);
    expect(error.code).toBe('revoked');
    expect((await states(scene)).anna).toBe('dropped');
  });

  it('keeps what it had a receipt for', async () => {
    const scene = await setUp();
    const { coordinator, anna, bert, sites } = scene;
    const peers = await Promise.all(
      [anna, bert].map(({ token }) => Peer.join(coordinator.url, token)),
    );
    const work = await Promise.all(peers.map((peer) => peer.assignment()));
    const { id } = work[0];
    expect((await putUpdate(coordinator, id, anna.token, updateFile(id))).status).toBe(201);
    await sites.revoke('anna');
    expect((await states(scene)).anna).toBe('accepted');
    await putUpdate(coordinator, work[1].id, bert.token, updateFile(work[1].id));
    const weighed = await peers[1].nth('weighed');
    expect(weighed.weight).toBeCloseTo(0.5, 12);
  });

  it('is cut off also where the storage was away at that moment', async () => {
    const store = createMemoryStore();
    let looks = 0;
    let away = 0;
    const clientByToken = (hash: string): ReturnType<typeof store.clientByToken> => {
      looks += 1;
      if (away-- > 0) throw new TributaryError('storage_unavailable', 'the test says so');
      return store.clientByToken(hash);
    };
    const coordinator = await startCoordinator({ store: { ...store, clientByToken } });
    const { id } = await createRun(coordinator);
    const { token } = await enrol(coordinator, id, 'anna');
    const peer = await Peer.join(coordinator.url, token);
    away = 1;
    looks = 0;
    await sitesOf(coordinator, id).revoke('anna');
    expect(await peer.nth('goodbye')).toMatchObject({ code: 'revoked' });
    expect(looks).toBe(2);
  });

  it('cannot be revoked in two ways: the second changes nothing', async () => {
    const { sites } = await setUp();
    await sites.revoke('anna');
    await sites.revoke('anna');
    expect((await sites.ledger()).filter(([type]) => type === 'client-revoked')).toEqual([
      ['client-revoked', { client: 'anna', state: 'revoked', by: 'root' }],
    ]);
  });

  it('is back with a new token, and only with that', async () => {
    const { coordinator, anna, sites } = await setUp();
    await sites.revoke('anna');
    const again = await sites.rotate('anna');
    expect(again).toMatchObject({ clientId: 'anna', role: 'source', state: 'approved' });
    expect((await request(coordinator, '/v1/me', again.token)).status).toBe(200);
    expect((await request(coordinator, '/v1/me', anna.token)).status).toBe(401);
  });
});

describe('a site that gets a new token', () => {
  it('goes on with its work when it comes back with it', async () => {
    const { coordinator, anna, bert, sites } = await setUp();
    const peer = await Peer.join(coordinator.url, anna.token);
    await Peer.join(coordinator.url, bert.token);
    const { id } = await peer.assignment();
    const { token } = await sites.rotate('anna');
    expect(await peer.nth('goodbye')).toMatchObject({ code: 'unauthorized' });
    await peer.disconnected();
    const again = new Peer(coordinator.url, { token });
    const welcome = await again.hello();
    expect(welcome.ok && welcome.value.assignments.map((a) => a.id)).toEqual([id]);
    expect((await putUpdate(coordinator, id, token, updateFile(id))).status).toBe(201);
  });

  it('finishes no upload with the old one, and loses nothing by that', async () => {
    const scene = await setUp();
    const peer = await Peer.join(scene.coordinator.url, scene.anna.token);
    await Peer.join(scene.coordinator.url, scene.bert.token);
    const { id } = await peer.assignment();
    const upload = slowUpload(scene, id, scene.anna.token);
    const { token } = await scene.sites.rotate('anna');
    expect(await upload.finish()).toMatchObject({ status: 401, error: { code: 'unauthorized' } });
    expect((await putUpdate(scene.coordinator, id, token, updateFile(id))).status).toBe(201);
  });
});

describe('a token that expires', () => {
  it('ends the connection that it opened, at that moment', async () => {
    const { coordinator, sites } = await setUp();
    const { token, tokenExpiresAt } = await sites.rotate('anna', 1_500);
    const peer = await Peer.join(coordinator.url, token);
    expect(await peer.nth('goodbye')).toMatchObject({ code: 'token_expired', retryable: false });
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(tokenExpiresAt!));
    const refused = await request(coordinator, '/v1/me', token);
    expect(refused.status).toBe(401);
    expect(await errorOf(refused)).toMatchObject({ code: 'token_expired' });
    const { token: fresh } = await sites.rotate('anna');
    await Peer.join(coordinator.url, fresh);
  });

  it('is no reason to wait for its site', async () => {
    const coordinator = await startCoordinator();
    const { id } = await createRun(coordinator, { quorum: { min: 1 } });
    const anna = await enrol(coordinator, id, 'anna');
    const body = { name: 'gone', expiresInMs: 1 };
    expect((await postJson(coordinator, `/v1/runs/${id}/clients`, OPERATOR, body)).status).toBe(
      201,
    );
    const peer = await Peer.join(coordinator.url, anna.token);
    // Long before `cohort.waitMs`, 30 s.
    expect((await peer.assignment()).round).toBe(1);
  });
});
