/**
 * Work that a stop waits for. A client may be gone while its upload is still being judged; without
 * this the storage would be closed under it.
 */
export class UnderWay {
  readonly #all = new Set<Promise<unknown>>();

  track<T>(work: Promise<T>): Promise<T> {
    const ended: Promise<unknown> = work
      .catch(() => undefined)
      .finally(() => this.#all.delete(ended));
    this.#all.add(ended);
    return work;
  }

  /** Resolves when all that was tracked so far has ended, one way or the other. */
  async settled(): Promise<void> {
    await Promise.all(this.#all);
  }
}
