/** Models after each round, as safetensors. */
import type { Request, Router } from 'express';
import { TributaryError } from '../../../protocol/errors.js';
import { VERSION_HEADER } from '../../../protocol/http.js';
import type { Checkpoint, Store } from '../../core/ports.js';
import type { Caller } from './auth.js';
import { numberParam } from './ids.js';
import type { HttpParts } from './parts.js';
import { runId, runOf } from './runs.js';
import { sendBlob } from './send-blob.js';

export function checkpointRoutes(router: Router, { store, blobs, auth }: HttpParts): void {
  router.get('/v1/runs/:run/checkpoints/:version', async (req, res) => {
    const caller = await auth.reader(req, runId(req));
    const run = await runOf(store, runId(req));
    const newest = req.params.version === 'newest';
    const checkpoint = newest
      ? await newestCheckpoint(store, run.id, caller)
      : await checkpointOf(store, run.id, versionOf(req));
    // A version never changes; private, because who may read it depends on the token.
    const caching = newest ? 'private, no-cache' : 'private, max-age=31536000, immutable';
    res.setHeader('cache-control', caching);
    res.setHeader(VERSION_HEADER, checkpoint.version);
    await sendBlob(req, res, await blobs.open(checkpoint.sha256));
  });
}

function versionOf(req: Request): number {
  return numberParam(req.params.version, 'version');
}

async function checkpointOf(store: Store, runId: string, version: number): Promise<Checkpoint> {
  const checkpoint = await store.checkpoint(runId, version);
  if (checkpoint) return checkpoint;
  throw new TributaryError('not_found', `run "${runId}" has no checkpoint ${version}`);
}

/** For operators. A client is told which version to train from, and another one would be a mistake. */
async function newestCheckpoint(store: Store, runId: string, caller: Caller): Promise<Checkpoint> {
  if (caller.kind !== 'operator') {
    throw new TributaryError('forbidden', 'a client reads the versions that it is told to');
  }
  const round = await store.currentRound(runId);
  return checkpointOf(store, runId, round?.version ?? round?.baseVersion ?? 0);
}
