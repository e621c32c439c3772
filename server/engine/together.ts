/** The work on a large round, shared with other threads where there are any. */
import type { FoldScale } from '../core/kernels/kernels.js';
import type { Layout } from '../core/layout.js';
import { TILE } from '../core/layout.js';
import type { Stretch } from '../core/rules/families/fold-elements.js';
import { foldElements } from '../core/rules/families/fold-elements.js';
import { allSettled } from '../core/rules/families/vectors.js';
import type { FoldVector } from '../core/rules/rule.js';
import { plainFacts } from '../core/rules/rule.js';
import type { Helpers, NamedBlob, Piece, PieceParts, WeighedBlob } from './pieces.js';
import { doPiece } from './pieces.js';
import type { UpdateFile } from './update-file.js';

type Parts = PieceParts & { readonly helpers?: Helpers };

/** Less than this is done sooner than handed over. */
const PIECE_BYTES = 8 * 1024 ** 2;
const FLOAT_BYTES = 4;

/**
 * Holds blobs of so many bytes together against their hashes.
 * @throws TributaryError `blob_damaged`, `storage_unavailable`
 */
export async function verifyTogether(
  blobs: readonly NamedBlob[],
  bytes: number,
  parts: Parts,
): Promise<void> {
  if (blobs.length === 0) return;
  const each = Math.ceil(blobs.length / pieceCount(bytes, parts.helpers));
  const pieces: Piece[] = [];
  for (let at = 0; at < blobs.length; at += each) {
    pieces.push({ kind: 'verify', blobs: blobs.slice(at, at + each) });
  }
  await doTogether(pieces, parts);
}

/** A fold whose stretches are shared out; of updates that lie in blobs, and not of what a rule made of them. */
export function foldTogether(
  updates: readonly UpdateFile[],
  layout: Layout,
  fold: FoldScale,
  parts: Required<Parts>,
): FoldVector {
  const { kernels, helpers } = parts;
  const files = new Map<unknown, UpdateFile>(updates.map((update) => [update, update]));
  return async (terms, vector, weighted) => {
    const blobs = weighted.flatMap(({ update, weight }) => asBlob(files.get(update), weight));
    const count = pieceCount(weighted.length * layout.size * FLOAT_BYTES, helpers);
    if (count === 1 || blobs.length < weighted.length) {
      return foldElements(terms, vector, weighted, whole(terms), { fold, kernels });
    }
    const sums = helpers.sums.take(terms.length);
    const pieces = stretches(terms.length, count).map((stretch): Piece => {
      return { kind: 'fold', ...stretch, terms: sums, vector, updates: blobs, layout, fold };
    });
    try {
      await doTogether(pieces, parts);
    } catch (error) {
      helpers.sums.forget();
      throw error;
    }
    kernels.merge(terms, sums);
  };
}

function asBlob(file: UpdateFile | undefined, weight: number): WeighedBlob[] {
  return file ? [{ sha256: file.blob.sha256, facts: plainFacts(file), weight }] : [];
}

function whole({ length }: BigInt64Array): Stretch {
  return { from: 0, to: length };
}

/** How many pieces are worth making of so much to read. */
function pieceCount(bytes: number, helpers: Helpers | undefined): number {
  return Math.max(1, Math.min(helpers?.threads ?? 1, Math.floor(bytes / PIECE_BYTES)));
}

/** Stretches of about the same length that cover a vector, cut where its tiles are. */
function stretches(size: number, count: number): Stretch[] {
  const each = Math.ceil(size / count / TILE) * TILE;
  const cuts = Array.from({ length: Math.ceil(size / each) }, (_, i) => i * each);
  return cuts.map((from) => ({ from, to: Math.min(size, from + each) }));
}

/**
 * Offers all pieces but the first, does that one here, and then what nobody took.
 * @throws the first failure, once nobody works on any of them any more.
 */
async function doTogether([own, ...others]: readonly Piece[], parts: Parts): Promise<void> {
  // Offered before this thread begins with its own, and hears nothing until that is done.
  const offers = others.map((piece) => parts.helpers?.offer(piece) ?? Promise.resolve(false));
  const here = async (): Promise<void> => {
    await doPiece(own, parts);
    for (const [i, piece] of others.entries()) {
      if (!(await offers[i])) await doPiece(piece, parts);
    }
  };
  await allSettled<unknown>([here(), ...offers]);
}
