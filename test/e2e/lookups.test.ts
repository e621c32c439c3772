/** What the store is asked when a cohort comes, downloads and uploads: each of thousands asks as much. */
import { expect, it } from 'vitest';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import type { Coordinator } from '../../server/app.js';
import type { Store } from '../../server/core/ports.js';
import {
  closeCoordinators,
  createRun,
  enrol,
  putUpdate,
  request,
  startCoordinator,
  updateFile,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();

/** A store, and the names of what it was asked, in order. */
function noting(store: Store): { readonly store: Store; readonly asked: string[] } {
  const asked: string[] = [];
  const noted = new Proxy(store, {
    get: (of, verb) => {
      asked.push(String(verb));
      return Reflect.get(of, verb) as unknown;
    },
  });
  return { store: noted, asked };
}

interface Cohort {
  readonly coordinator: Coordinator;
  readonly runId: string;
  readonly tokens: readonly string[];
  readonly peers: readonly Peer[];
  readonly asked: string[];
}

/** Three clients that were invited to the first round. */
async function cohort(): Promise<Cohort> {
  const { store, asked } = noting(createMemoryStore());
  const coordinator = await startCoordinator({ store });
  const { id: runId } = await createRun(coordinator, { cohort: { size: 3 } });
  const tokens: string[] = [];
  for (const name of ['anna', 'bert', 'cleo']) {
    tokens.push((await enrol(coordinator, runId, name)).token);
  }
  const peers = await Promise.all(tokens.map((token) => Peer.join(coordinator.url, token)));
  await Promise.all(peers.map((peer) => peer.assignment()));
  return { coordinator, runId, tokens, peers, asked };
}

it('of a download: the token and the checkpoint, and not the run with its whole task', async () => {
  const { coordinator, runId, tokens, asked } = await cohort();
  asked.length = 0;
  const path = `/v1/runs/${runId}/checkpoints/0`;
  expect((await request(coordinator, path, tokens[0])).status).toBe(200);
  expect(asked).toEqual(['clientByToken', 'checkpoint']);
});

it('of a hello: the token, and once where the run is and what is open', async () => {
  const { coordinator, tokens, asked } = await cohort();
  asked.length = 0;
  await Peer.join(coordinator.url, tokens[0]);
  // Whatever follows is the loop's, which looks who has come.
  const own = ['clientByToken', 'run', 'currentRound', 'assignment', 'checkpoint'];
  expect(asked.slice(0, own.length)).toEqual(own);
});

it('of an upload: the token again when the body is there, but not again what never changes', async () => {
  const { coordinator, tokens, peers, asked } = await cohort();
  const upload = async (n: number): Promise<void> => {
    const { id } = await peers[n].assignment();
    expect((await putUpdate(coordinator, id, tokens[n], updateFile(id))).status).toBe(201);
  };
  await upload(0);
  asked.length = 0;
  await upload(1);
  const own = ['clientByToken', 'assignment', 'checkpoint', 'record'];
  expect(asked.filter((verb) => own.includes(verb))).toEqual([
    'clientByToken',
    'assignment',
    'clientByToken',
    'assignment',
    'record',
  ]);
});
