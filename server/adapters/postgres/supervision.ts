/**
 * Launches the server again where it ends under a coordinator that lives: killed for its memory, or
 * by mistake. On the same port, where everybody who was connected to it looks for it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { backOff } from '../../engine/back-off.js';
import { unavailable } from './account.js';
import type { Cluster } from './cluster.js';
import { type Postmaster, findRunning, launch } from './postmaster.js';
import { isAlive, isPostmaster } from './processes.js';

export interface KeepRunning {
  /** Asked before each launch: a coordinator that stops launches nothing any more. */
  readonly wanted: () => boolean;
  /** Told in a sentence that the server has ended, and what became of it. */
  readonly warn: (message: string) => void;
}

export interface Supervision {
  /** The server that runs, or ran last. */
  readonly server: Postmaster;
  /** Nothing is launched any more. Resolves when a launch that is under way has ended. */
  stop(): Promise<void>;
}

/** How often a server is looked for that is no child of ours, so that nobody tells us of its end. */
const LOOK_MS = 1_000;
/** One that ran for so long did not end because it was launched. */
const STEADY_MS = 60_000;

/** @param inTurn runs its work under the lock of the directory, as every start and stop */
export function supervise(
  first: Postmaster,
  cluster: Cluster,
  inTurn: (work: () => Promise<void>) => Promise<void>,
  { wanted, warn }: KeepRunning,
): Supervision {
  const stopping = new AbortController();
  let server = first;
  let lost: Postmaster | undefined;
  let launching = Promise.resolve();
  const isWanted = (): boolean => !stopping.signal.aborted && wanted();

  const bringBack = async (): Promise<void> => {
    if (!isWanted()) return; // there may have been a long wait for the lock
    server = await findOrLaunch(cluster, server);
    warn(`PostgreSQL runs again (process ${server.pid}, port ${server.port})`);
  };

  const watch = async (): Promise<void> => {
    for (let launches = 0; ; launches++) {
      const since = performance.now();
      await ended(server, cluster, stopping.signal);
      if (performance.now() - since > STEADY_MS) launches = 0;
      if (launches > 0) await pause(backOff(launches), stopping.signal);
      if (!isWanted()) return;
      if (server !== lost) warn(`PostgreSQL (process ${server.pid}) has ended: launching it again`);
      lost = server;
      launching = inTurn(bringBack).catch((error: unknown) => {
        const next = `trying again in ${backOff(launches + 1) / 1000} s`;
        warn(`${(error as Error).message}; ${next}`);
      });
      await launching;
    }
  };

  void watch();
  return {
    get server() {
      return server;
    },
    stop: () => {
      stopping.abort();
      return launching;
    },
  };
}

/** @throws TributaryError `storage_unavailable` */
async function findOrLaunch(cluster: Cluster, before: Postmaster): Promise<Postmaster> {
  const { port } = before;
  // Another coordinator on this directory may have been faster.
  const server = (await findRunning(cluster)) ?? (await launch(cluster, port));
  if (server.port === port) return server;
  throw unavailable(
    `PostgreSQL on ${cluster.dataDirectory} was started by somebody else on port ${server.port}, ` +
      `and this coordinator looks for it on ${port}: start this coordinator again`,
  );
}

async function ended(
  { pid, exited }: Postmaster,
  { dataDirectory }: Cluster,
  signal: AbortSignal,
): Promise<void> {
  if (exited) return exited;
  if (!isPostmaster(pid, dataDirectory)) return;
  while (isAlive(pid) && !signal.aborted) await pause(LOOK_MS, signal);
}

/** Ends early with the signal, and does not keep the process alive. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
