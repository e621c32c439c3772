/** Blobs as response bodies: in chunks, with back-pressure, so that memory does not grow with them. */
import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Blob } from '../../core/ports.js';

const CHUNK_BYTES = 256 * 1024;

/** A peer that takes nothing for so long is cut: it holds a connection and a chunk of memory. */
const STALL_MS = 60_000;

/** What is needed of a blob to send it. */
export type Sendable = Pick<Blob, 'sha256' | 'bytes' | 'read'>;

/** Bytes that were made for this answer and are stored nowhere. */
export function inMemory(bytes: Uint8Array): Sendable {
  return {
    sha256: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.byteLength,
    read: (start, length) => Promise.resolve(bytes.subarray(start, start + length)),
  };
}

/**
 * Sends a blob under its hash as ETag; 304 where the peer has it already. The caller sets the
 * caching.
 */
export async function sendBlob(req: Request, res: Response, blob: Sendable): Promise<void> {
  const etag = `"${blob.sha256}"`;
  res.setHeader('etag', etag);
  if (hasAlready(req, etag)) {
    res.status(304).end();
    return;
  }
  res.setHeader('content-type', 'application/octet-stream');
  res.setHeader('content-length', blob.bytes);
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  res.setTimeout(STALL_MS, () => res.destroy());
  // Where reading fails half-way the connection is broken off: the peer sees fewer bytes than
  // announced, never a file that ends well with a wrong content.
  await pipeline(Readable.from(chunksOf(blob), { objectMode: false }), res);
}

/**
 * RFC 9110, 13.1.2. Express's `req.fresh` also heeds the request's `Cache-Control: no-cache`, which
 * `fetch` adds to every conditional request: the peer would get the bytes that it has again.
 */
function hasAlready(req: Request, etag: string): boolean {
  const tags = req.get('if-none-match')?.split(',') ?? [];
  return tags.some((tag) => tag.trim().replace(/^W\//, '') === etag || tag.trim() === '*');
}

async function* chunksOf(blob: Sendable): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < blob.bytes; start += CHUNK_BYTES) {
    yield await blob.read(start, Math.min(CHUNK_BYTES, blob.bytes - start));
  }
}
