/** Names for requests, under which the coordinator logs them: what a client saw can be found there. */

/** `/v1/assignments/<id>/update` and its like. */
const OF_ASSIGNMENT = /\/v1\/assignments\/([\w.-]{1,48})\//;

export class RequestIds {
  readonly #own: string;
  #count = 0;

  constructor(random: () => number) {
    this.#own = Math.floor(random() * 36 ** 8)
      .toString(36)
      .padStart(8, '0');
  }

  /**
   * `<assignment>.<n>` for what belongs to an assignment, whose id the round's commit names too; else
   * an id of this client's for the time that it takes part. No two are the same.
   */
  next(path: string): string {
    const about = OF_ASSIGNMENT.exec(path)?.[1] ?? this.#own;
    return `${about}.${++this.#count}`;
  }
}
