/** sha256 of what is sent and received. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';

/** The host's own; absent in pages that were loaded over plain http from another machine. */
function hostSubtle(): SubtleCrypto | null {
  return (globalThis as { crypto?: { subtle?: SubtleCrypto } }).crypto?.subtle ?? null;
}

/** Bytes on their way out, hashed once however often they are sent. */
export interface Digested {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sha256: string;
}

/** sha256 in 64 lower-case hex digits. By WebCrypto where there is one, off the main thread. */
export async function sha256Of(
  bytes: Uint8Array<ArrayBuffer>,
  subtle: SubtleCrypto | null = hostSubtle(),
): Promise<string> {
  if (!subtle) return bytesToHex(sha256(bytes));
  return bytesToHex(new Uint8Array(await subtle.digest('SHA-256', bytes)));
}

export async function digested(bytes: Uint8Array<ArrayBuffer>): Promise<Digested> {
  return { bytes, sha256: await sha256Of(bytes) };
}
