/** Rounds of a long run over REST: pages, single rounds, and nothing that reads them all. */
import { beforeAll, expect, it } from 'vitest';
import { roundDetail, runDetail, runList } from '../../protocol/http.js';
import type { RunDetail } from '../../protocol/http.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import type { Coordinator } from '../../server/app.js';
import { openRound, step } from '../../server/core/round.js';
import { checkpointOf, createRun, sha, startedAt } from '../contract/records.js';
import {
  OPERATOR,
  closeCoordinators,
  errorOf,
  request,
  startCoordinator,
} from './support/coordinator.js';

closeCoordinators('all');

/** Of 115 rounds, each is abandoned once and then committed. */
const ROUNDS = 115;
let coordinator: Coordinator;

beforeAll(async () => {
  const store = createMemoryStore();
  let round = await createRun(store);
  const commit = { type: 'commit', at: startedAt, evaluateUntil: null } as const;
  for (let version = 1; version <= ROUNDS; version++) {
    const missed = step(round, { type: 'abandon', at: startedAt, reason: 'missed' });
    const retry = openRound('r1', version, 2, version - 1, startedAt);
    await store.commit(missed, { next: retry });
    const begun = step(retry, { type: 'begin', at: startedAt, deadline: startedAt, wanted: 1 });
    await store.commit(begun, {});
    const aggregating = step(begun, { type: 'close-collection', at: startedAt });
    await store.commit(aggregating, { matrices: { gram: [[version]] } });
    const next = openRound('r1', version + 1, 1, version, startedAt);
    await store.commit(step(aggregating, { ...commit, version }), {
      checkpoint: checkpointOf('r1', version),
      ...(version < ROUNDS ? { next } : { run: { status: 'completed', reason: null } }),
    });
    round = next;
  }
  const rounds = (): never => {
    throw new Error('a request reads every round of the run');
  };
  coordinator = await startCoordinator({ store: { ...store, rounds } });
});

async function get(path: string): Promise<unknown> {
  const answer = await request(coordinator, path, OPERATOR);
  expect(answer.status, path).toBe(200);
  return answer.json();
}

async function page(query: string): Promise<RunDetail> {
  return runDetail.parse(await get(`/v1/runs/r1${query}`));
}

const places = ({ history }: RunDetail): string[] => history.map((r) => `${r.round}.${r.attempt}`);

it('a run shows its newest 100 rounds, and how many there are', async () => {
  const newest = await page('');
  expect(newest).toMatchObject({ historyFrom: 131, roundsInAll: 230, round: ROUNDS });
  expect(newest.history).toHaveLength(100);
  expect(places(newest).slice(0, 2)).toEqual(['66.1', '66.2']);
  expect(newest.history.at(-1)).toMatchObject({
    ...{ round: ROUNDS, attempt: 2, version: ROUNDS, phase: 'closed' },
    checkpointSha256: sha(`r1 model ${ROUNDS}`),
  });
});

it('the pages of a run are its rounds, each once and in order', async () => {
  const first = await page('?from=1');
  expect(first.history).toHaveLength(100);
  const others = [await page('?from=101&limit=1000'), await page('?from=201')];
  expect(others.map(({ history }) => history.length)).toEqual([100, 30]);
  const all = Array.from({ length: ROUNDS }, (_, i) => [`${i + 1}.1`, `${i + 1}.2`]).flat();
  expect([first, ...others].flatMap(places)).toEqual(all);
  expect(places(await page('?from=4&limit=2'))).toEqual(['2.2', '3.1']);
  expect(places(await page('?limit=1'))).toEqual([`${ROUNDS}.2`]);
  expect(await page('?from=231')).toMatchObject({ history: [], roundsInAll: 230 });
  const bad = await request(coordinator, '/v1/runs/r1?from=newest', OPERATOR);
  expect(await errorOf(bad)).toMatchObject({ code: 'bad_request' });
});

it('one round is found without the others', async () => {
  const round = async (query: string) =>
    roundDetail.parse(await get(`/v1/runs/r1/rounds/${query}`));
  expect(await round('7')).toMatchObject({ round: 7, attempt: 2, version: 7, updates: [] });
  expect(await round('7?attempt=1')).toMatchObject({ attempt: 1, reason: 'missed' });
  for (const query of ['116', '7?attempt=3']) {
    const answer = await request(coordinator, `/v1/runs/r1/rounds/${query}`, OPERATOR);
    expect(await errorOf(answer)).toMatchObject({ code: 'not_found' });
  }
});

it('the list of runs says how far each is', async () => {
  const { runs } = runList.parse(await get('/v1/runs'));
  expect(runs).toMatchObject([{ id: 'r1', round: ROUNDS, version: ROUNDS, status: 'completed' }]);
});
