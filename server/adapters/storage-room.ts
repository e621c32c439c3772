/** How much of a storage is taken, counted over all threads of a process. */
import type { TributaryError } from '../../protocol/errors.js';
import type { BlobStore } from '../core/ports.js';
import { storageFull } from './storage-full.js';

/** So long after the last refusal, nobody has asked again, and there may be room. */
const STALE_MS = 60_000;

/** What is counted, as another thread of this process takes it over. */
export interface SharedRoom {
  readonly limitBytes: number;
  /** One 64-bit integer: bytes of committed blobs. */
  readonly committed: SharedArrayBuffer;
}

export class StorageRoom {
  readonly shared: SharedRoom;
  readonly #committed: BigInt64Array;
  /** Of this thread: one that is ended takes its spools along, and so must their count go. */
  #spooled = 0;
  #refusal: { readonly at: number; readonly message: string } | null = null;

  /** @param room the limit in bytes, `Infinity` for none; or the room of another thread */
  constructor(room: number | SharedRoom) {
    const anew = (limitBytes: number): SharedRoom => {
      return { limitBytes, committed: new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT) };
    };
    this.shared = typeof room === 'number' ? anew(room) : room;
    this.#committed = new BigInt64Array(this.shared.committed);
  }

  get isLimited(): boolean {
    return this.shared.limitBytes < Infinity;
  }

  get usedBytes(): number {
    return Math.max(0, Number(Atomics.load(this.#committed, 0))) + this.#spooled;
  }

  /** In words, while uploads are refused; null where there is room, as far as is known. */
  get complaint(): string | null {
    const refusal = this.#refusal;
    return refusal && Date.now() - refusal.at < STALE_MS ? refusal.message : null;
  }

  /** @throws TributaryError `storage_full` */
  spool(bytes: number, mostBytes: number): void {
    if (this.usedBytes + bytes > mostBytes) throw this.#full(bytes, mostBytes);
    this.#spooled += bytes;
  }

  unspool(bytes: number): void {
    this.#spooled -= bytes;
  }

  /** What was committed, or with a negative number deleted. */
  count(bytes: number): void {
    Atomics.add(this.#committed, 0, BigInt(bytes));
  }

  /** Other processes may have stored and deleted what this one does not know of. */
  async recount(blobs: Pick<BlobStore, 'list'>): Promise<void> {
    if (!this.isLimited) return;
    let bytes = 0;
    for await (const blob of blobs.list()) bytes += blob.bytes;
    Atomics.store(this.#committed, 0, BigInt(bytes));
  }

  refused({ message }: TributaryError): void {
    this.#refusal = { at: Date.now(), message };
  }

  stored(): void {
    this.#refusal = null;
  }

  #full(bytes: number, mostBytes: number): TributaryError {
    const [usedBytes, { limitBytes }] = [this.usedBytes, this.shared];
    const reserve = limitBytes - mostBytes;
    const kept = reserve > 0 ? `, of which ${reserve} are kept for models` : '';
    const message = `no room for ${bytes} bytes: ${usedBytes} of ${limitBytes} are taken${kept}`;
    return storageFull(message, { usedBytes, limitBytes });
  }
}
