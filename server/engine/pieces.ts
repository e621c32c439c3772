/**
 * Pieces of a round's aggregation that any thread may do, and nobody can tell afterwards which one
 * did: updates held against their hashes, and stretches of an exact fold.
 */
import type { FoldScale, Kernels } from '../core/kernels/kernels.js';
import type { Layout } from '../core/layout.js';
import type { BlobStore } from '../core/ports.js';
import type { Stretch } from '../core/rules/families/fold-elements.js';
import { foldElements } from '../core/rules/families/fold-elements.js';
import type { UpdateFacts, WeightedUpdate } from '../core/rules/rule.js';
import { openUpdate } from './update-file.js';
import type { Named } from './verified.js';
import { openVerified } from './verified.js';

/** A blob, and what it is to the run. */
export interface NamedBlob extends Named {
  readonly sha256: string;
}

interface VerifyPiece {
  readonly kind: 'verify';
  readonly blobs: readonly NamedBlob[];
}

/** An update at rest, and how much its vector counts. */
export interface WeighedBlob {
  readonly sha256: string;
  readonly facts: UpdateFacts;
  readonly weight: number;
}

interface FoldPiece extends Stretch {
  readonly kind: 'fold';
  /** In shared memory ({@link SharedSums}): every thread adds to its own stretch of it. */
  readonly terms: BigInt64Array;
  readonly vector: string;
  /** Verified before. */
  readonly updates: readonly WeighedBlob[];
  readonly layout: Layout;
  readonly fold: FoldScale;
}

/** Plain data but for the shared memory: it may be handed to another thread. */
export type Piece = VerifyPiece | FoldPiece;

/** Other threads that take pieces while they have nothing else to do. */
export interface Helpers {
  /** Threads that one round may keep busy, the one that aggregates it among them. */
  readonly threads: number;
  /**
   * Resolves when somebody did it, or to `false` where nobody was free.
   * @throws what doing it throws. A fold that failed is not to be done again: its terms may be half
   * added.
   */
  offer(piece: Piece): Promise<boolean>;
  /** Of the thread that aggregates. */
  readonly sums: SharedSums;
}

/**
 * Memory that several threads add to, used again from round to round: a garbage collector hardly
 * notices what is shared, and each thread that saw it would have to let it go.
 */
export class SharedSums {
  #sums = new BigInt64Array(new SharedArrayBuffer(0));

  /** Zeros. Whoever took some before must be done with them. */
  take(size: number): BigInt64Array {
    if (this.#sums.length < size) {
      const bytes = size * BigInt64Array.BYTES_PER_ELEMENT;
      this.#sums = new BigInt64Array(new SharedArrayBuffer(bytes));
    }
    return this.#sums.subarray(0, size).fill(0n);
  }

  /** A thread that is being ended may still add to them: they are not used again. */
  forget(): void {
    this.#sums = new BigInt64Array(new SharedArrayBuffer(0));
  }
}

export interface PieceParts {
  readonly blobs: BlobStore;
  readonly kernels: Kernels;
}

/** @throws TributaryError `blob_damaged`, `storage_unavailable` */
export async function doPiece(piece: Piece, parts: PieceParts): Promise<void> {
  if (piece.kind === 'verify') await verify(piece, parts);
  else await fold(piece, parts);
}

/** One after the other: a thousand files that are opened at once run into the limit of the process. */
async function verify({ blobs: named }: VerifyPiece, { blobs }: PieceParts): Promise<void> {
  for (const blob of named) await openVerified(blobs, blob.sha256, blob);
}

async function fold(piece: FoldPiece, { blobs, kernels }: PieceParts): Promise<void> {
  const { terms, vector, updates, layout, fold: scale } = piece;
  const weighted: WeightedUpdate[] = [];
  for (const { sha256, facts, weight } of updates) {
    weighted.push({ update: await openUpdate(await blobs.open(sha256), facts, layout), weight });
  }
  await foldElements(terms, vector, weighted, piece, { fold: scale, kernels });
}
