/** Operators pause, resume and stop a run over REST; clients say that they are at work, or lose it. */
import { describe, expect, it, vi } from 'vitest';
import { eventList, runSummary } from '../../protocol/http.js';
import type { RunDetail } from '../../protocol/http.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { VirtualClock } from '../support/virtual-clock.js';
import {
  OPERATOR,
  enrol,
  errorOf,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import type { RunWithPeer } from './support/joined.js';
import { detailOf, runWithPeer } from './support/joined.js';
import { coordinator, useCoordinator } from './support/one-coordinator.js';
import { Peer } from './support/peer.js';

useCoordinator();

function joined(changes: Partial<RunSpecInput> = {}): Promise<RunWithPeer> {
  return runWithPeer(coordinator, changes);
}

function control(runId: string, verb: 'pause' | 'resume' | 'stop', token = OPERATOR) {
  return request(coordinator, `/v1/runs/${runId}/${verb}`, token, { method: 'POST' });
}

describe('a run that is paused over REST', () => {
  it('ends its round, and begins the next when it is resumed', async () => {
    const { runId, peer, token } = await joined();
    const { id } = await peer.assignment();
    const answer = await control(runId, 'pause');
    expect(answer.status).toBe(200);
    const reason = expect.stringContaining('paused by') as string;
    expect(runSummary.parse(await answer.json())).toMatchObject({ status: 'paused', reason });
    await peer.announced('paused');

    const upload = await putUpdate(coordinator, id, token, updateFile(id));
    expect(upload.status).toBe(201);
    await peer.nth('weighed');
    let detail: RunDetail;
    do detail = await detailOf(coordinator, runId);
    while (detail.now !== 'round 2: paused');
    expect(detail).toMatchObject({ status: 'paused', round: 1, version: 1 });
    expect(detail.history.map(({ phase }) => phase)).toEqual(['closed', 'waiting']);
    expect(peer.received('assignment')).toHaveLength(1);

    expect((await control(runId, 'resume')).status).toBe(200);
    const second = await peer.assignment(2);
    await putUpdate(coordinator, second.id, token, updateFile(second.id));
    expect(await peer.announced('completed')).toMatchObject({ version: 2 });
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
    await peer.announced('stopped');
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
    const clock = new VirtualClock();
    const still = await startCoordinator({ clock });
    const spec = { leaseMs, retries: 0, quorum: { min: 1, share: 0 } };
    const { runId, peer } = await runWithPeer(still, spec);
    const { id, leaseMs: told } = await peer.assignment();
    expect(told).toBe(leaseMs);
    let end = clock.now() + leaseMs;
    for (let beats = 0; beats < 8; beats++) {
      clock.advanceTo(end - 1);
      expect(await peer.send('heartbeat', { assignmentId: id })).toEqual({ ok: true, value: null });
      end = clock.now() + leaseMs;
    }
    clock.advanceTo(end - 1);
    // It has looked by then, and goes on waiting.
    await vi.waitFor(() => expect(clock.isAwaited(end)).toBe(true));
    expect(peer.received('closed')).toEqual([]);
    clock.advanceTo(end);
    expect(await peer.nth('closed')).toMatchObject({ assignmentId: id, reason: 'lease expired' });
    await peer.announced('failed');
    expect((await detailOf(still, runId)).history[0]).toMatchObject({ dropped: 1 });
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
