import { describe, expect, it } from 'vitest';
import { errorBody } from '../../protocol/errors.js';
import { enrolled } from '../../protocol/http.js';
import {
  closeCoordinators,
  createRun,
  enrol,
  errorOf,
  postJson,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';
import { sitesOf } from './support/sites.js';

closeCoordinators('each');
leaveAfterEach();

describe('an open run', () => {
  it('enrols whoever asks, and takes them at once', async () => {
    const coordinator = await startCoordinator();
    const cohort = { size: 1, overSelection: 1 };
    const run = await createRun(coordinator, { join: 'open', cohort });
    const sites = sitesOf(coordinator, run.id);
    const named = await sites.joined('tab-7');
    expect(named).toMatchObject({ clientId: 'tab-7', role: 'source', state: 'approved' });
    const guests = [await sites.joined(), await sites.joined()];
    for (const { clientId } of guests) expect(clientId).toMatch(/^guest-[0-9a-f]{16}$/);
    expect(guests[0].clientId).not.toBe(guests[1].clientId);
    const peer = await Peer.join(coordinator.url, guests[0].token);
    const { id } = await peer.assignment();
    expect((await putUpdate(coordinator, id, guests[0].token, updateFile(id))).status).toBe(201);
    expect(await sites.ledger()).toContainEqual([
      'client-enrolled',
      { client: 'tab-7', role: 'source', state: 'approved', by: 'itself' },
    ]);
  });

  it('gives nobody a name that is taken, also by one that was revoked', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'open' });
    const sites = sitesOf(coordinator, run.id);
    await sites.joined('tab-7');
    expect(await errorOf(await sites.join({ name: 'tab-7' }))).toMatchObject({
      code: 'name_taken',
    });
    await sites.revoke('tab-7');
    expect((await sites.join({ name: 'tab-7' })).status).toBe(409);
  });

  it('enrols once whoever asks again with the same secret', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'open' });
    const sites = sitesOf(coordinator, run.id);
    for (const name of ['tab-7', undefined]) {
      const call = { name, key: 'ab'.repeat(32) };
      const answers = await Promise.all([sites.join(call), sites.join(call), sites.join(call)]);
      const bodies = answers.map(async (answer) => enrolled.parse(await answer.json()));
      const [first, ...others] = await Promise.all(bodies);
      expect(others).toEqual([first, first]);
      await Peer.join(coordinator.url, first.token);
    }
    expect(await sites.list()).toHaveLength(2);
    const other = await sites.join({ name: 'tab-7', key: 'cd'.repeat(32) });
    expect(await errorOf(other)).toMatchObject({ code: 'name_taken' });
    // Who has a new token has another one than the secret says.
    await sites.rotate('tab-7');
    const again = await sites.join({ name: 'tab-7', key: 'ab'.repeat(32) });
    expect(await errorOf(again)).toMatchObject({ code: 'name_taken' });
  });

  it('lets nobody choose a role', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'open' });
    const refused = await sitesOf(coordinator, run.id).join({ name: 'x', role: 'target' });
    expect(await errorOf(refused)).toMatchObject({ code: 'bad_request' });
  });

  it('takes nobody any more when it is over', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'open' });
    await coordinator.engine.stopRun(run.id, 'over');
    const refused = await sitesOf(coordinator, run.id).join();
    expect(await errorOf(refused)).toMatchObject({ code: 'run_over' });
  });

  it('counts how often an address enrols itself', async () => {
    const coordinator = await startCoordinator({
      limits: { strangers: { burst: 2, perSecond: 0.01 } },
    });
    const run = await createRun(coordinator, { join: 'open' });
    const sites = sitesOf(coordinator, run.id);
    await sites.joined();
    await sites.joined();
    const refused = await sites.join();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await sites.list()).toHaveLength(2);
  });
});

describe('a run that takes tokens', () => {
  it('is not joined without one', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator);
    const sites = sitesOf(coordinator, run.id);
    const refused = await sites.join({ name: 'x' });
    expect(refused.status).toBe(403);
    expect(await errorOf(refused)).toMatchObject({ code: 'forbidden', retryable: false });
    expect(await sites.list()).toEqual([]);
    const anna = await enrol(coordinator, run.id, 'anna');
    expect(anna.state).toBe('approved');
    await Peer.join(coordinator.url, anna.token);
  });
});

describe('a run whose sites are approved', () => {
  it('sends nothing to a site that is not, whoever enrolled it', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'approved' });
    const sites = sitesOf(coordinator, run.id);
    const anna = await enrol(coordinator, run.id, 'anna');
    const guest = await sites.joined('lab-b');
    expect([anna.state, guest.state]).toEqual(['pending', 'pending']);
    for (const { token } of [anna, guest]) {
      for (const path of [
        '/v1/me',
        `/v1/runs/${run.id}/task`,
        `/v1/runs/${run.id}/plan`,
        `/v1/runs/${run.id}/checkpoints/0`,
        `/v1/runs/${run.id}/checkpoints/0/broadcast`,
        '/v1/assignments/some/weight',
        '/v1/questions/some/params',
      ]) {
        const refused = await request(coordinator, path, token);
        expect(refused.status, path).toBe(403);
        expect(await errorOf(refused)).toMatchObject({ code: 'not_approved', retryable: true });
      }
      const peer = new Peer(coordinator.url, { token });
      const error = errorBody.parse((await peer.refused()).data);
      expect(error.code).toBe('not_approved');
      expect(error.retryAfterMs).toBeGreaterThanOrEqual(5_000);
      expect(error.retryAfterMs).toBeLessThan(10_000);
    }
    expect((await sites.list()).every(({ present }) => !present)).toBe(true);
  });

  it('takes a site in when it is approved, and asks only approved ones', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'approved' });
    const sites = sitesOf(coordinator, run.id);
    const [lab, other] = [await sites.joined('lab'), await sites.joined('other')];
    expect(await sites.approve('lab')).toMatchObject({ id: 'lab', state: 'approved' });
    const peer = await Peer.join(coordinator.url, lab.token);
    // Everybody who may take part is here: nobody waits for the one that may not.
    const assignment = await peer.assignment();
    expect(assignment.round).toBe(1);
    const cold = new Peer(coordinator.url, { token: other.token });
    await cold.refused();
    expect(await sites.approve('lab')).toMatchObject({ state: 'approved' });
    expect(await sites.ledger()).toEqual([
      ['client-enrolled', { client: 'lab', role: 'source', state: 'pending', by: 'itself' }],
      ['client-enrolled', { client: 'other', role: 'source', state: 'pending', by: 'itself' }],
      ['client-approved', { client: 'lab', state: 'approved', by: 'root' }],
    ]);
  });

  it('takes a revoked site back by a new token and another approval only', async () => {
    const coordinator = await startCoordinator();
    const run = await createRun(coordinator, { join: 'approved' });
    const sites = sitesOf(coordinator, run.id);
    const lab = await sites.joined('lab');
    await sites.approve('lab');
    await sites.revoke('lab');
    const refused = await sites.tried('lab', 'approve');
    expect(await errorOf(refused)).toMatchObject({ code: 'conflict' });
    const again = await sites.rotate('lab');
    expect(again.state).toBe('pending');
    await sites.approve('lab');
    const answer = await request(coordinator, '/v1/me', lab.token);
    expect(await errorOf(answer)).toMatchObject({ code: 'unauthorized' });
    await Peer.join(coordinator.url, again.token);
  });
});

it('names the site and the run that are not there', async () => {
  const coordinator = await startCoordinator();
  const run = await createRun(coordinator);
  for (const verb of ['approve', 'revoke', 'rotate'] as const) {
    const noSite = await sitesOf(coordinator, run.id).tried('nobody', verb);
    expect(await errorOf(noSite)).toMatchObject({ code: 'not_found' });
    const noRun = await sitesOf(coordinator, 'no-run').tried('nobody', verb);
    expect(await errorOf(noRun)).toMatchObject({ code: 'run_not_found' });
  }
  const nowhere = await postJson(coordinator, '/v1/runs/no-run/join', null, {});
  expect(await errorOf(nowhere)).toMatchObject({ code: 'run_not_found' });
});
