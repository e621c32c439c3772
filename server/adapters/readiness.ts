/** Whether the coordinator can work, found out by trying: for load balancers, which ask all the time. */
import { TributaryError } from '../../protocol/errors.js';
import type { Readiness } from '../../protocol/http.js';
import type { BlobStore, RunStore } from '../core/ports.js';
import { streamOf } from '../engine/checkpoints.js';

export interface ReadinessParts {
  readonly store: Pick<RunStore, 'run'>;
  readonly blobs: Pick<BlobStore, 'stage'>;
  /** What the storage refuses at the moment, in words; null where it takes everything. */
  readonly room: { readonly complaint: string | null };
  /** Who leads, in words. */
  readonly leadership: { leader(): string };
}

type Checks = Readiness['checks'];

/** What was found holds for so long: whoever asks more often gets the same answer again. */
const HOLDS_MS = 1_000;
/** A storage that answers later is as good as away: a load balancer would not wait either. */
const PATIENCE_MS = 3_000;

/** @returns what was found; the function throws the first error, with all findings in its details. */
export function readinessCheck(parts: ReadinessParts): () => Promise<Checks> {
  let found: { readonly at: number; readonly answer: Promise<Checks> } | null = null;
  return () => {
    const now = performance.now();
    if (!found || now - found.at > HOLDS_MS) found = { at: now, answer: look(parts) };
    return found.answer;
  };
}

async function look({ store, blobs, room, leadership }: ReadinessParts): Promise<Checks> {
  const [database, storage] = await Promise.all([
    // Any lookup tells whether the database answers; there is no run of this name.
    tried('the database', () => store.run('readyz')),
    tried('the storage', () => writeSomething(blobs)),
  ]);
  const checks: Checks = {
    database: database?.message ?? 'answers',
    storage: storage?.message ?? room.complaint ?? 'can be written',
    leadership: leadership.leader(),
  };
  const error = database ?? storage;
  if (!error) return checks;
  const { code, message, retryAfterMs } = error;
  throw new TributaryError(code, message, { checks }, { cause: error, retryAfterMs });
}

async function tried(what: string, work: () => Promise<unknown>): Promise<TributaryError | null> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    const message = `${what} has not answered for ${PATIENCE_MS} ms`;
    const late = new TributaryError('storage_unavailable', message);
    timer = setTimeout(() => reject(late), PATIENCE_MS);
  });
  try {
    await Promise.race([work(), tooLong]);
    return null;
  } catch (error) {
    if (error instanceof TributaryError) return error;
    const message = `${what} fails`;
    return new TributaryError('storage_unavailable', message, undefined, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** As an upload is received, up to where it would be kept. */
async function writeSomething(blobs: ReadinessParts['blobs']): Promise<void> {
  const bytes = new TextEncoder().encode('readyz');
  await (await blobs.stage(streamOf([bytes]), bytes.byteLength)).discard();
}
