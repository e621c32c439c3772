/** Models after each round, their moving average, and what the rule sends down, as safetensors. */
import type { Request, Response, Router } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import { VERSION_HEADER } from '../../../protocol/http.js';
import type { Store } from '../../core/ports.js';
import type { Checkpoint, StoredBlob } from '../../core/records.js';
import { newestVersion } from '../../core/round.js';
import { averagedModel } from '../../engine/average.js';
import { runOf } from '../../engine/known-runs.js';
import { AtMost } from '../at-most.js';
import type { Caller } from './auth.js';
import { numberParam } from './ids.js';
import type { HttpParts } from './parts.js';
import { runId } from './runs.js';
import type { Sendable } from './send-blob.js';
import { inMemory, sendBlob } from './send-blob.js';

export function checkpointRoutes(router: Router, parts: HttpParts): void {
  router.get('/v1/runs/:run/checkpoints/:version', (req, res) =>
    sendPart(req, res, parts, ({ sha256 }) => parts.blobs.open(sha256)),
  );
  router.get('/v1/runs/:run/checkpoints/:version/broadcast', (req, res) =>
    sendPart(req, res, parts, (checkpoint) => {
      const { sha256 } = broadcastOf(checkpoint);
      return whileKept(parts, checkpoint, sha256, () => parts.blobs.open(sha256));
    }),
  );
  averageRoute(router, parts);
}

/**
 * For operators, and one at a time: an average is computed in memory from the whole of model and
 * state, so that a client, or a script that asks for all of them at once, could exhaust it.
 */
function averageRoute(router: Router, parts: HttpParts): void {
  const averaging = new AtMost(1);
  router.get('/v1/runs/:run/checkpoints/:version/average', async (req, res) => {
    await parts.auth.operator(req);
    await sendPart(req, res, parts, async (checkpoint) => {
      const run = await runOf(parts, checkpoint.runId);
      return averaging.run(() =>
        whileKept(parts, checkpoint, checkpoint.stateSha256, async () =>
          inMemory(await averagedModel(run, checkpoint, parts.blobs)),
        ),
      );
    });
  });
}

async function sendPart(
  req: Request,
  res: Response,
  { store, auth }: HttpParts,
  partOf: (checkpoint: Checkpoint) => Promise<Sendable>,
): Promise<void> {
  const id = runId(req);
  const caller = await auth.reader(req, id);
  const newest = req.params.version === 'newest';
  const checkpoint = newest
    ? await newestCheckpoint(store, id, caller)
    : await checkpointOf(store, id, versionOf(req));
  if (checkpoint.collected) throw gone(checkpoint, 'the model');
  const blob = await partOf(checkpoint);
  // A version never changes; private, because who may read it depends on the token.
  const caching = newest ? 'private, no-cache' : 'private, max-age=31536000, immutable';
  res.setHeader('cache-control', caching);
  res.setHeader(VERSION_HEADER, checkpoint.version);
  await sendBlob(req, res, blob);
}

function broadcastOf({ runId, version, broadcast }: Checkpoint): StoredBlob {
  if (broadcast) return broadcast;
  const message = `the rule of run "${runId}" sends nothing down with checkpoint ${version}`;
  throw new TributaryError('not_found', message);
}

/** State and vectors of a rule are kept for the newest version; see docs/decisions/0014. */
async function whileKept<T>(
  { store }: HttpParts,
  checkpoint: Checkpoint,
  sha256: string | null,
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const isDamage = error instanceof TributaryError && error.code === 'blob_damaged';
    if (!isDamage || sha256 === null || (await store.needed([sha256])).has(sha256)) throw error;
    throw gone(checkpoint, "the rule's part");
  }
}

function gone({ runId, version }: Checkpoint, what: string): TributaryError {
  const message = `run "${runId}" has let ${what} of checkpoint ${version} go: newer ones are kept`;
  return new TributaryError('gone', message);
}

function versionOf(req: Request): number {
  return numberParam(req.params.version, 'version');
}

/** The run itself is looked for only where there is no checkpoint: a cohort downloads all at once. */
async function checkpointOf(store: Store, runId: string, version: number): Promise<Checkpoint> {
  const checkpoint = await store.checkpoint(runId, version);
  if (checkpoint) return checkpoint;
  await runOf({ store }, runId);
  throw new TributaryError('not_found', `run "${runId}" has no checkpoint ${version}`);
}

/** For operators. A client is told which version to train from, and another one would be a mistake. */
async function newestCheckpoint(store: Store, runId: string, caller: Caller): Promise<Checkpoint> {
  if (caller.kind !== 'operator') {
    throw new TributaryError('forbidden', 'a client reads the versions that it is told to');
  }
  const round = await store.currentRound(runId);
  return checkpointOf(store, runId, round ? newestVersion(round) : 0);
}
