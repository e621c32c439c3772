/**
 * Blobs that are missing or altered: said in the ledger once, and waited for. Restored, by hand or
 * by the client that sends its update again, the run goes on by itself. For an update that nobody
 * restores, the round is not held up for ever; nothing can stand in for the model that it began from.
 */
import { TributaryError } from '../../protocol/errors.js';
import type { Checkpoint, LedgerEvent } from '../core/records.js';
import type { Scene } from './scene.js';
import { event } from './scene.js';
import { openVerified } from './verified.js';

const DAMAGED = 'blob-damaged';

/**
 * Nobody is invited to train from a model that is not there: a whole cohort would download in vain.
 * Nor where updates could not be weighed and folded.
 *
 * @throws TributaryError `blob_damaged`
 */
export async function requireSound(scene: Scene, checkpoint: Checkpoint): Promise<void> {
  try {
    for (const [sha256, what] of partsOf(checkpoint)) {
      if (sha256) await openVerified(scene.parts.blobs, sha256, { what });
    }
  } catch (error) {
    await noteDamage(scene, error);
    throw error;
  }
}

function partsOf({ version, sha256, stateSha256, broadcast }: Checkpoint) {
  return [
    [sha256, `the model of checkpoint ${version}`],
    [stateSha256, `the state of rule and optimizer at checkpoint ${version}`],
    [broadcast?.sha256, `what the rule sends down with checkpoint ${version}`],
  ] as const;
}

/** Whether an aggregation failed for an update that was waited for as long as for a round's clients. */
export async function isGivenUp(scene: Scene, error: unknown): Promise<boolean> {
  const since = await noteDamage(scene, error);
  if (since === null || !isOfUpdate(error)) return false;
  return scene.parts.clock.now() >= since + scene.run.spec.deadlineMs;
}

/** @returns when it was first seen in this attempt, also by another coordinator; null if it is none. */
async function noteDamage(scene: Scene, error: unknown): Promise<number | null> {
  if (!isDamage(error)) return null;
  const { run, parts } = scene;
  const blob = error.details?.blob;
  if (blob === undefined || !(await isCurrent(scene))) return null;
  const seen = event(scene, DAMAGED, { blob, what: error.details?.what ?? null });
  const noted = await parts.store.eventsOfType(run.id, DAMAGED);
  const known = noted.findLast((each) => isSame(each, seen));
  if (known) return known.at;
  await parts.store.append(run.id, [seen]);
  return seen.at;
}

/** Updates are deleted with their round: who still folds it then, in another process, misses nothing. */
async function isCurrent({ run, round, parts }: Scene): Promise<boolean> {
  const current = await parts.store.currentRound(run.id);
  if (current?.number !== round.number || current.attempt !== round.attempt) return false;
  return current.revision === round.revision;
}

function isSame({ body }: LedgerEvent, seen: Pick<LedgerEvent, 'body'>): boolean {
  const [a, b] = [body, seen.body] as Record<string, unknown>[];
  return a.blob === b.blob && a.round === b.round && a.attempt === b.attempt;
}

function isDamage(error: unknown): error is TributaryError {
  return error instanceof TributaryError && error.code === 'blob_damaged';
}

function isOfUpdate(error: unknown): boolean {
  return isDamage(error) && typeof error.details?.update === 'string';
}
