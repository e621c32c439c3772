/**
 * Blobs held against their hash before they are used: a bad disk, a half-restored backup or a stray
 * hand may have changed the bytes, and a model made from them could not be told from a good one.
 */
import { createHash } from 'node:crypto';
import type { ErrorBody } from '../../protocol/errors.js';
import { TributaryError } from '../../protocol/errors.js';
import type { Blob, BlobStore } from '../core/ports.js';
import { commitOrDiscard } from './checkpoints.js';

const PIECE_BYTES = 1024 ** 2;

/** What a blob is to the run, for whoever has to restore it. */
export interface Named {
  /** `the update of "ada" for round 3`. */
  readonly what: string;
  /** The assignment that an update answers; null for what a run cannot do without. */
  readonly update?: string | null;
}

/**
 * Opens a blob, once all of its bytes were read and hashed. Memory stays flat.
 *
 * @throws TributaryError `blob_damaged`, saying what is damaged and where it should be;
 * `storage_unavailable`.
 */
export async function openVerified(
  blobs: Pick<BlobStore, 'open'>,
  sha256: string,
  named: Named,
): Promise<Blob> {
  return naming(sha256, named, async () => {
    const blob = await blobs.open(sha256);
    const hash = createHash('sha256');
    const piece = new Uint8Array(Math.min(PIECE_BYTES, blob.bytes));
    for (let start = 0; start < blob.bytes; start += PIECE_BYTES) {
      const part = piece.subarray(0, Math.min(PIECE_BYTES, blob.bytes - start));
      await blob.readInto(start, part);
      hash.update(part);
    }
    requireSame(blob, hash.digest('hex'));
    return blob;
  });
}

/** As {@link openVerified}, into memory; read once. */
export async function readVerified(
  blobs: Pick<BlobStore, 'open'>,
  sha256: string,
  named: Named,
): Promise<Uint8Array> {
  return naming(sha256, named, async () => {
    const blob = await blobs.open(sha256);
    const bytes = await blob.read(0, blob.bytes);
    const hash = createHash('sha256');
    // A hash takes less than 2 GiB at a time.
    for (let start = 0; start < bytes.byteLength; start += PIECE_BYTES) {
      hash.update(bytes.subarray(start, start + PIECE_BYTES));
    }
    requireSame(blob, hash.digest('hex'));
    return bytes;
  });
}

/** Commits a blob once more, whole and young. @throws TributaryError `blob_damaged` */
export async function storeAgain(blobs: BlobStore, sha256: string, what: string): Promise<void> {
  await naming(sha256, { what }, async () => {
    const blob = await blobs.open(sha256);
    const staged = await blobs.stage(piecesOf(blob), blob.bytes);
    if (staged.sha256 === sha256) return commitOrDiscard(staged);
    await staged.discard();
    requireSame(blob, staged.sha256);
  });
}

async function* piecesOf(blob: Blob): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < blob.bytes; start += PIECE_BYTES) {
    yield await blob.read(start, Math.min(PIECE_BYTES, blob.bytes - start));
  }
}

function requireSame({ sha256, where }: Blob, found: string): void {
  if (found === sha256) return;
  const message = `blob ${sha256} in ${where} has other bytes, with the sha256 ${found}`;
  throw new TributaryError('blob_damaged', message);
}

async function naming<T>(
  sha256: string,
  { what, update = null }: Named,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof TributaryError) || cause.code !== 'blob_damaged') throw cause;
    const details: ErrorBody['details'] = { blob: sha256, what, update };
    throw new TributaryError('blob_damaged', `${what}: ${cause.message}`, details, { cause });
  }
}
