/** Lets so many pieces of work go on at once; the others wait for their turn, first come first served. */
export class AtMost {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.#doing(work);
  }

  /** Begins now or not at all: null where there is no place, for work that nobody needs to wait for. */
  runNow<T>(work: () => Promise<T>): Promise<T> | null {
    if (this.#free === 0) return null;
    this.#free--;
    return this.#doing(work);
  }

  /** Work that has a place. */
  async #doing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      // The place is handed on, so that nobody who comes now gets in before.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
