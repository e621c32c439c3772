/** Bodies that are spooled to a blob store, and held against the hash that they came with. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { TributaryError, parse } from '../../../protocol/errors.js';
import { SHA256_HEADER } from '../../../protocol/http.js';
import { sha256Hex } from '../../../protocol/model.js';
import type { BlobStore, StagedBlob } from '../../core/ports.js';
import type { BodyLimits } from './body.js';
import { bodyOf, checkDeclaredBody } from './body.js';

/**
 * The sha256 that an upload says it has.
 *
 * @throws TributaryError `bad_request` where the header is missing; `wrong_hash` where it cannot be
 * a sha256, and so cannot be that of the body.
 */
export function declaredHash(req: Request): string {
  const header = req.get(SHA256_HEADER);
  if (header === undefined) {
    throw new TributaryError('bad_request', `${SHA256_HEADER}: send the sha256 of the body`);
  }
  return parse(sha256Hex, header, SHA256_HEADER, 'wrong_hash');
}

/** Holds a small body against its hash, where one came with it. @throws TributaryError `wrong_hash`. */
export function checkHash(req: Request, body: Uint8Array): void {
  if (req.get(SHA256_HEADER) === undefined) return;
  const sha256 = createHash('sha256').update(body).digest('hex');
  const announced = declaredHash(req);
  if (sha256 !== announced) throw wrongHash(body.byteLength, sha256, announced);
}

/**
 * Spools a body. What comes back is whole and has the hash; anything less was discarded, and nothing
 * was used up by it.
 *
 * @throws TributaryError `bad_request`, `too_large`, `truncated`, `too_slow`, `wrong_hash`,
 * `storage_unavailable`.
 */
export async function receiveBlob(
  req: IncomingMessage,
  expected: { readonly sha256: string; readonly maxBytes: number },
  blobs: BlobStore,
  limits: BodyLimits,
): Promise<StagedBlob> {
  const { sha256, maxBytes } = expected;
  checkDeclaredBody(req, maxBytes);
  const staged = await blobs.stage(bodyOf(req, maxBytes, limits), maxBytes);
  if (staged.sha256 === sha256) return staged;
  await staged.discard();
  throw wrongHash(staged.bytes, staged.sha256, sha256);
}

/** An upload may take long: who began it may have been revoked, or given another token, since. */
export async function discardUnless(allowed: Promise<unknown>, staged: StagedBlob): Promise<void> {
  try {
    await allowed;
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

function wrongHash(bytes: number, sha256: string, announced: string): TributaryError {
  const message = `the body of ${bytes} bytes has sha256 ${sha256}; announced was ${announced}`;
  return new TributaryError('wrong_hash', message, { bytes, sha256 });
}

/**
 * Counts what is under way, so that one peer cannot fill the spool with half an upload a connection,
 * nor all together take every file that the process may open.
 */
export class UploadSlots {
  readonly #underWay = new Map<string, number>();
  #inAll = 0;

  constructor(
    private readonly atOnce: number,
    private readonly mostInAll = Infinity,
  ) {}

  /**
   * @throws TributaryError `rate_limited` where `who` has as many uploads under way as it may, `busy`
   * where all together have.
   */
  async hold<T>(who: string, work: () => Promise<T>): Promise<T> {
    const taken = this.#underWay.get(who) ?? 0;
    if (taken >= this.atOnce) {
      throw new TributaryError('rate_limited', `${taken} uploads are under way already`);
    }
    if (this.#inAll >= this.mostInAll) {
      throw new TributaryError('busy', `${this.#inAll} uploads are under way: no more are taken`);
    }
    this.#underWay.set(who, taken + 1);
    this.#inAll++;
    try {
      return await work();
    } finally {
      this.#inAll--;
      const left = this.#underWay.get(who)! - 1;
      if (left > 0) this.#underWay.set(who, left);
      else this.#underWay.delete(who);
    }
  }
}
