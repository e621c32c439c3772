/** Files that are read again and again, held open: so many at most, the one longest unread goes first. */
import { closeSync, openSync, readSync } from 'node:fs';
import { atOnce, endsAt } from './blob-files.js';

/** Far under the limit of a process, which sockets need too. */
const MOST_OPEN = 64;

/**
 * Reads block the thread that makes them, and are over the sooner for it: a tile that is in the
 * system's cache is there before a thread of the pool would have begun. For worker threads, and for
 * commands that have nothing else to do; never for a thread that answers requests.
 */
export class OpenFiles {
  /** Descriptors by path, the one read last at the end. */
  readonly #open = new Map<string, number>();

  constructor(private readonly most = MOST_OPEN) {}

  /** @throws what `fs` throws; TributaryError `blob_damaged` where the file ends too early. */
  read(path: string, start: number, out: Uint8Array): void {
    const fd = this.#take(path);
    let filled = 0;
    while (filled < out.byteLength) {
      const length = atOnce(out.byteLength - filled);
      const bytes = readSync(fd, out, filled, length, start + filled);
      if (bytes === 0) throw endsAt(path, start + filled);
      filled += bytes;
    }
  }

  close(): void {
    for (const path of [...this.#open.keys()]) this.#close(path);
  }

  #take(path: string): number {
    const known = this.#open.get(path);
    if (known !== undefined) this.#open.delete(path);
    else if (this.#open.size >= this.most) {
      const [longestUnread] = this.#open.keys();
      this.#close(longestUnread);
    }
    const fd = known ?? openSync(path, 'r');
    this.#open.set(path, fd);
    return fd;
  }

  #close(path: string): void {
    const fd = this.#open.get(path);
    this.#open.delete(path);
    if (fd !== undefined) closeSync(fd);
  }
}
