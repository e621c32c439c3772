/** kill -9 with the whole crowd connected: how long until all are back, and whether they came as one. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Served } from '../serve.js';
import { kill } from '../serve.js';
import type { Crowds } from './crowds.js';
import { startCrowds } from './crowds.js';
import type { PlayOptions, Stage } from './play.js';
import { createLoadRun } from './play.js';

export interface Storm {
  readonly clients: number;
  /** From the kill to the first answer of the next process. */
  readonly awayMs: number;
  /** From that answer to the last client's welcome. */
  readonly backMs: number;
  /** Most welcomes in any quarter of a second. */
  readonly busiest: number;
  /** Rounds that closed after the restart, while and after the clients came back. */
  readonly closedAfter: number;
  readonly faults: readonly string[];
}

const WINDOW_MS = 250;
const LOOK_MS = 100;
/** Until everybody is there, the first time and after the kill. */
const PATIENCE_MS = 180_000;

export async function storm(
  stage: Stage,
  options: PlayOptions,
  served: Served,
  restart: () => Served,
): Promise<{ storm: Storm; served: Served }> {
  const { id, tokens } = await createLoadRun(stage.api, options);
  const { seed, dropOut, processes, clients } = options;
  const crowds = startCrowds({ url: stage.api.url, tokens, seed, dropOut, processes });
  try {
    await arrived(crowds, 0, clients);
    const before = crowds.counts().connected.length;
    const killedAt = Date.now();
    await kill(served);
    const next = restart();
    await next.ready;
    const readyAt = Date.now();
    const times = await arrived(crowds, before, clients);
    const closedAfter = await closedRounds(stage, id, readyAt, 2);
    await stage.api.stop(id);
    await crowds.ended;
    return {
      served: next,
      storm: {
        clients,
        awayMs: readyAt - killedAt,
        backMs: Math.max(...times) - readyAt,
        busiest: busiest(times),
        closedAfter,
        faults: times.length < clients ? [`only ${times.length} of ${clients} came back`] : [],
      },
    };
  } finally {
    crowds.kill();
  }
}

/** Waits until so many have been welcomed since, and says when each was. */
function arrived(crowds: Crowds, since: number, wanted: number): Promise<readonly number[]> {
  const times = (): readonly number[] => crowds.counts().connected.slice(since);
  return awaited(times, ({ length }) => length >= wanted);
}

function closedRounds(
  { database }: Stage,
  id: string,
  since: number,
  wanted: number,
): Promise<number> {
  const closed = async (): Promise<number> => {
    const [{ count }] = await database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM rounds
       WHERE run_id = $1 AND phase = 'closed' AND closed_at > to_timestamp($2 / 1000.0)`,
      id,
      since,
    );
    return count;
  };
  return awaited(closed, (count) => count >= wanted);
}

/** Looks until there is enough, or nobody has patience any more; what was seen last. */
async function awaited<T>(look: () => T | Promise<T>, isEnough: (seen: T) => boolean): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (isEnough(seen) || performance.now() > end) return seen;
    await sleep(LOOK_MS);
  }
}

function busiest(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while (sorted[last] - sorted[first] >= WINDOW_MS) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
