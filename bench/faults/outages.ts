/** Other things that go wrong in the middle of a round, and are put right again. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../test/support/database.js';
import type { Life } from './coordinator.js';
import type { Disturbance, Scene } from './row.js';
import { count, patiently } from './row.js';

const LEASE_MS = 2_000;
/** A lease, and what the other coordinator needs to notice and to begin. */
const TAKEOVER_MS = LEASE_MS + 5_000;
/** Until clients notice that a coordinator whose connections stay open does not answer. */
const SILENCE_MS = 60_000;
/** How long the database is away at least. */
const OUTAGE_MS = 1_000;
/** The longest pause between two tries here, and what a try takes. */
const NEXT_TRY_MS = 15_000;

/** The leader stands still, wakes up when another one leads, and must not have any effect. */
export const stopped: Disturbance = {
  name: 'leader stopped (SIGSTOP)',
  limitMs: TAKEOVER_MS + SILENCE_MS,
  most: 4,
  replicas: 2,
  env: { TRIBUTARY_LEASE_MS: String(LEASE_MS) },
  play: async (scene) => {
    const { urls, start, clients, times, found } = scene;
    const replicas: { readonly url: string; readonly life: Life }[] = [];
    for (const url of urls) {
      const life = start({ port: Number(new URL(url).port) });
      await patiently('a coordinator', life.ready);
      replicas.push({ url, life });
    }
    for (let n = 0; n < times; n++) {
      const leader = replicas[n % 2];
      const other = replicas[(n + 1) % 2];
      await patiently('a receipt', clients.nextReceipt());
      leader.life.signal('SIGSTOP');
      const began = performance.now();
      const progress = other.life.nextProgress();
      await patiently('the other to lead', answers(other.url, 200));
      found.readyMs.push(performance.now() - began);
      if (performance.now() - began > TAKEOVER_MS) throw new Error('the takeover took too long');
      await patiently('progress under the other', progress);
      found.recoveryMs.push(performance.now() - began);
      leader.life.signal('SIGCONT');
      await patiently('the former leader to stand by', answers(leader.url, 503));
      count(found.done, 'stopped');
    }
  },
};

async function answers(url: string, status: number): Promise<void> {
  await eventually(`${url}/readyz answers ${status}`, async () => {
    const response = await fetch(`${url}/readyz`).catch(() => null);
    await response?.arrayBuffer();
    return response?.status === status ? true : null;
  });
}

/** kill -9 of the database's processes; started again a second later, when it has been noticed. */
export const databaseKilled: Disturbance = {
  name: 'PostgreSQL killed',
  limitMs: NEXT_TRY_MS,
  most: 5,
  play: async (scene) => {
    const { start, theatre, clients, urls, times, found } = scene;
    const life = start();
    for (let n = 0; n < times; n++) {
      await patiently('a receipt', clients.nextReceipt());
      await theatre.killPostgres();
      await Promise.all([answers(urls[0], 503), sleep(OUTAGE_MS)]);
      const progress = life.nextProgress();
      await theatre.restartPostgres();
      await measure(scene, 'progress on the database', progress);
      count(found.done, 'killed');
    }
  },
};

/** ENOSPC for every write to the spool, until two were refused. */
export const diskFull: Disturbance = {
  name: 'disk full (ENOSPC)',
  limitMs: NEXT_TRY_MS,
  most: 5,
  play: async (scene) => {
    const { start, stage, clients, times, found } = scene;
    const full = join(stage.dataDir, 'the-disk-is-full');
    const life = start({ env: { FAULTS_FULL: full } });
    for (let n = 0; n < times; n++) {
      await patiently('a receipt', clients.nextReceipt());
      const before = life.refused();
      await writeFile(full, '');
      await eventually('writes fail', () => Promise.resolve(life.refused() >= before + 2 || null));
      const progress = life.nextProgress();
      await rm(full);
      await measure(scene, 'progress with room on the disk', progress);
      count(found.done, 'full');
    }
  },
};

/** Updates with a receipt are altered before they are folded, noticed, and restored. */
export const blobAltered: Disturbance = {
  name: 'updates altered on disk',
  limitMs: NEXT_TRY_MS,
  most: 5,
  play: async (scene) => {
    const { start, stage, run, times, found } = scene;
    const trap = { point: 'acknowledged: all receipts are out', occurrence: 1 } as const;
    const database = await stage.database();
    for (let n = 0; n < times; n++) {
      const killed = start({ trap: { ...trap, from: 'progress' } });
      await patiently(trap.point, killed.ended);
      if (killed.killedAt() === null) throw new Error(`not killed at "${trap.point}"`);
      const [{ sha256 }] = await database.query<{ sha256: string }>(
        `SELECT u.sha256 FROM updates u JOIN assignments a ON a.id = u.assignment_id
         JOIN rounds r ON r.run_id = a.run_id AND r.number = a.round AND r.attempt = a.attempt
         WHERE a.run_id = $1 AND r.phase = 'aggregating' LIMIT 1`,
        run.id,
      );
      const path = join(stage.dataDir, 'blobs', sha256.slice(0, 2), sha256.slice(2));
      const bytes = await readFile(path);
      await writeFile(path, altered(bytes));
      const life = start();
      const noted = (): Promise<object[]> =>
        database.query(
          `SELECT 1 FROM ledger_events WHERE run_id = $1 AND type = 'blob-damaged'
           AND body->>'blob' = $2`,
          run.id,
          sha256,
        );
      await eventually('the damage is noticed', async () => (await noted()).length > 0 || null);
      if (life.times().progressMs !== null)
        throw new Error('a round went on with an altered update');
      const progress = life.nextProgress();
      await writeFile(path, bytes);
      await measure(scene, 'progress with the update restored', progress);
      count(found.done, 'altered');
      life.signal('SIGKILL');
      await life.ended;
    }
    start();
  },
};

function altered(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  other[other.length - 5] ^= 1;
  return other;
}

/** From now on. */
async function measure({ found }: Scene, what: string, progress: Promise<void>): Promise<void> {
  const began = performance.now();
  await patiently(what, progress);
  found.recoveryMs.push(performance.now() - began);
}

export const outages = [stopped, databaseKilled, diskFull, blobAltered];
