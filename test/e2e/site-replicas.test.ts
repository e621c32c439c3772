/** Two coordinators on one database: what one is told of a site, both heed at once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Coordinator } from '../../server/app.js';
import { createCoordinator } from '../../server/app.js';
import { connectApi } from '../../server/cli/api.js';
import type { Api } from '../../server/cli/api.js';
import { initialModel, plainRun } from '../support/plain-task.js';
import type { Stage } from '../support/stage.js';
import { OPERATOR_TOKEN, openStage } from '../support/stage.js';
import { Peer, leaveAfterEach } from './support/peer.js';

let leader: Stage;
let standby: Coordinator;
let elsewhere: Api;
let dataDir: string;

leaveAfterEach();
beforeAll(async () => {
  leader = await openStage({ blobs: 'postgres' });
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-standby-'));
  standby = await createCoordinator({
    databaseUrl: leader.databaseUrl,
    blobs: 'postgres',
    dataDir,
    port: 0,
    operatorToken: OPERATOR_TOKEN,
    logLevel: 'silent',
  });
  elsewhere = connectApi(standby.url, OPERATOR_TOKEN);
}, 60_000);
afterAll(async () => {
  await standby.close();
  await leader.close();
  await rm(dataDir, { recursive: true, force: true });
});

async function createRun(rule = 'fedavg'): Promise<string> {
  const blob = await leader.api.putBlob(initialModel);
  const cohort = { size: 2, overSelection: 1, waitMs: 120_000 };
  const { id } = await leader.api.createRun({
    ...plainRun(2),
    rule: { name: rule, options: {} },
    cohort,
    init: { blob },
  });
  return id;
}

it('a site that is revoked at the one is cut off from the other, and its work dropped', async () => {
  const run = await createRun();
  const tokens = [
    (await elsewhere.addSite(run, { name: 'anna' })).token,
    (await elsewhere.addSite(run, { name: 'bert' })).token,
  ];
  const [anna, bert] = await Promise.all(tokens.map((token) => Peer.join(leader.url, token)));
  await Promise.all([anna.assignment(), bert.assignment()]);
  await elsewhere.revokeSite(run, 'anna');
  expect(await anna.nth('goodbye')).toMatchObject({ code: 'revoked' });
  // The leader looks again: the quorum of two is out of reach.
  expect((await bert.nth('closed')).reason).toMatch(/quorum|left/i);
  expect(bert.received('goodbye')).toEqual([]);
});

it('a token that is replaced at the one ends the connection that it opened to the other', async () => {
  const run = await createRun();
  const { token } = await leader.api.addSite(run, { name: 'anna' });
  const anna = await Peer.join(leader.url, token);
  const { token: fresh } = await elsewhere.rotateSite(run, 'anna');
  expect(await anna.nth('goodbye')).toMatchObject({ code: 'unauthorized' });
  await Peer.join(leader.url, fresh);
});

it('the one target of a run is enrolled through one of them, however many ask both at once', async () => {
  const run = await createRun('fedda');
  const names = Array.from({ length: 8 }, (_, i) => `t${i}`);
  const outcomes = await Promise.allSettled(
    names.map((name, i) =>
      (i % 2 === 0 ? leader.api : elsewhere).addSite(run, { name, role: 'target' }),
    ),
  );
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  expect(refused).toMatchObject(Array(7).fill({ reason: { code: 'conflict' } }));
  expect(await elsewhere.sites(run)).toHaveLength(1);
});

it('an operator who is revoked at the one is nobody to the other', async () => {
  const { token } = await leader.api.addOperator({ name: 'olga', role: 'admin' });
  const olga = connectApi(standby.url, token);
  await expect(olga.operators()).resolves.toHaveLength(1);
  await leader.api.revokeOperator('olga');
  await expect(olga.operators()).rejects.toMatchObject({ code: 'revoked' });
});
