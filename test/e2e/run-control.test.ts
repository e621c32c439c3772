/** Operators pause, resume and stop a run over REST; clients say that they are at work, or lose it. */
import { beforeAll, describe, expect, it } from 'vitest';
import { eventList, runDetail, runSummary } from '../../protocol/http.js';
import type { RunDetail } from '../../protocol/http.js';
import type { RunState } from '../../protocol/messages.js';
import type { RunSpecInput } from '../../protocol/run.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('all');
leaveAfterEach();

let coordinator: Coordinator;
beforeAll(async () => {
  coordinator = await startCoordinator();
});

interface Joined {
  readonly runId: string;
  readonly peer: Peer;
  readonly token: string;
}

/** A run, and a client of it that is there. */
async function joined(changes: Partial<RunSpecInput> = {}): Promise<Joined> {
  const { id: runId } = await createRun(coordinator, changes);
  const { token } = await enrol(coordinator, runId, 'anna');
  return { runId, token, peer: await Peer.join(coordinator.url, token) };
}

function control(runId: string, verb: 'pause' | 'resume' | 'stop', token = OPERATOR) {
  return request(coordinator, `/v1/runs/${runId}/${verb}`, token, { method: 'POST' });
}

async function detailOf(runId: string): Promise<RunDetail> {
  return runDetail.parse(await (await request(coordinator, `/v1/runs/${runId}`, OPERATOR)).json());
}

/** The next announcement with this status, of those that came or will come. */
async function announced(peer: Peer, status: RunState['status']): Promise<RunState> {
  for (let n = 1; ; n++) {
    const state = await peer.nth('run', n);
    if (state.status === status) return state;
  }
}

describe('a run that is paused over REST', () => {
  it('ends its round, and begins the next when it is resumed', async () => {
    const { runId, peer, token } = await joined();
    const { id } = await peer.assignment();
    const answer = await control(runId, 'pause');
    expect(answer.status).toBe(200);
    const reason = expect.stringContaining('paused by') as string;
    expect(runSummary.parse(await answer.json())).toMatchObject({ status: 'paused', reason });
    await announced(peer, 'paused');

    const upload = await putUpdate(coordinator, id, token, updateFile(id));
    expect(upload.status).toBe(201);
    await peer.nth('weighed');
    let detail: RunDetail;
    do detail = await detailOf(runId);
    while (detail.now !== 'round 2: paused');
    expect(detail).toMatchObject({ status: 'paused', round: 1, version: 1 });
    expect(detail.history.map(({ phase }) => phase)).toEqual(['closed', 'waiting']);
    expect(peer.received('assignment')).toHaveLength(1);

    expect((await control(runId, 'resume')).status).toBe(200);
    const second = await peer.assignment(2);
    await putUpdate(coordinator, second.id, token, updateFile(second.id));
    expect(await announced(peer, 'completed')).toMatchObject({ version: 2 });
    const ledger = await request(coordinator, `/v1/runs/${runId}/events`, OPERATOR);
    const types = eventList.parse(await ledger.json()).events.map(({ type }) => type);
    expect(types.filter((type) => type.startsWith('run-'))).toEqual([
      ...['run-created', 'run-paused', 'run-resumed', 'run-completed'],
    ]);
  });

  it('can be stopped, and what would change nothing is refused', async () => {
    const { runId, peer, token } = await joined();
    const refused = async (response: Promise<Response>): Promise<string> =>
      (await errorOf(await response)).code;
    expect(await refused(control(runId, 'resume'))).toBe('conflict');
    expect((await control(runId, 'pause')).status).toBe(200);
    expect(await refused(control(runId, 'pause'))).toBe('conflict');
    expect(await refused(control(runId, 'pause', token))).toBe('forbidden');
    expect(await refused(control('no-run', 'pause'))).toBe('run_not_found');
    expect((await control(runId, 'stop')).status).toBe(200);
    await announced(peer, 'stopped');
    expect(await refused(control(runId, 'resume'))).toBe('run_over');
  });

  it('welcomes clients that come meanwhile, and tells them how it stands', async () => {
    const { runId, peer, token } = await joined();
    const { id } = await peer.assignment();
    await control(runId, 'pause');
    peer.leave();
    const answer = await new Peer(coordinator.url, { token }).hello();
    expect(answer).toMatchObject({ ok: true, value: { status: 'paused', assignments: [{ id }] } });
  });
});

describe('a lease', () => {
  it('is renewed by heartbeats, and lost in silence: the client is told to stop', async () => {
    const leaseMs = 1_500;
    const { runId, peer } = await joined({ leaseMs, retries: 0, quorum: { min: 1, share: 0 } });
    const { id, leaseMs: told } = await peer.assignment();
    expect(told).toBe(leaseMs);
    const beats = 8;
    for (let i = 0; i < beats; i++) {
      expect(await peer.send('heartbeat', { assignmentId: id })).toEqual({ ok: true, value: null });
      await new Promise((resolve) => setTimeout(resolve, leaseMs / 4));
    }
    expect(peer.received('closed')).toEqual([]);
    const silentSince = Date.now();
    expect(await peer.nth('closed')).toMatchObject({ assignmentId: id, reason: 'lease expired' });
    expect(Date.now() - silentSince).toBeLessThan(leaseMs + 5_000);
    expect(await announced(peer, 'failed')).toBeDefined();
    expect((await detailOf(runId)).history[0]).toMatchObject({ dropped: 1 });
    const late = await peer.send('heartbeat', { assignmentId: id });
    expect(late).toMatchObject({ ok: false, error: { code: 'assignment_unknown' } });
  });

  it('is nobody else’s to renew', async () => {
    const { runId, peer } = await joined({ quorum: { min: 2 } });
    const { token } = await enrol(coordinator, runId, 'bert');
    const bert = await Peer.join(coordinator.url, token);
    const { id } = await peer.assignment();
    await bert.assignment();
    const answer = await bert.send('heartbeat', { assignmentId: id });
    expect(answer).toMatchObject({ ok: false, error: { code: 'assignment_unknown' } });
    const stranger = new Peer(coordinator.url, { token });
    const early = await stranger.send('heartbeat', { assignmentId: id });
    expect(early).toMatchObject({ ok: false, error: { code: 'bad_request' } });
  });
});
