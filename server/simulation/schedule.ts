/** Who computes when, and in which order results arrive: the clock of a simulation. */

/** One assignment of one client. */
export interface Job {
  readonly clientId: string;
  readonly round: number;
  /** Computed after all others that wait: attackers see what the others send. */
  readonly last?: boolean;
  /** Does the local work. Resolves with what hands the result in. Must not reject. */
  compute(): Promise<() => Promise<void>>;
}

interface Result {
  readonly job: Job;
  readonly deliver: () => Promise<void>;
}

/** Puts the clients of one round into the order in which their results shall arrive. */
export type ArrivalOrder = (clientIds: readonly string[], round: number) => readonly string[];

/**
 * Runs one job at a time: clients of one process share its processor, and TF.js its backend.
 *
 * Without an order, a result is handed in as soon as it is there. With one, results are held until
 * every job that is waiting was computed, which is the whole cohort, and are then handed in one
 * after the other in that order. That is how tests show that arrival makes no difference.
 */
export class Schedule {
  readonly #waiting: Job[] = [];
  #working: Promise<void> | undefined;

  constructor(private readonly order?: ArrivalOrder) {}

  add(job: Job): void {
    this.#waiting.push(job);
    this.#working ??= this.#work();
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#working) await this.#working;
  }

  async #work(): Promise<void> {
    // Jobs of one round are added one after the other: let all of them in before the first begins.
    await Promise.resolve();
    try {
      let held: Result[] = [];
      for (let job = this.#next(); job; job = this.#next()) {
        held.push({ job, deliver: await job.compute() });
        if (this.order && this.#waiting.length > 0) continue;
        const arriving = this.#arranged(held);
        held = [];
        for (const { deliver } of arriving) await deliver();
      }
    } finally {
      this.#working = undefined;
    }
  }

  #next(): Job | undefined {
    const first = this.#waiting.findIndex(({ last }) => !last);
    return first < 0 ? this.#waiting.shift() : this.#waiting.splice(first, 1)[0];
  }

  #arranged(held: readonly Result[]): Result[] {
    const rounds = [...new Set(held.map(({ job }) => job.round))];
    return rounds.flatMap((round) => {
      const results = held.filter(({ job }) => job.round === round);
      const names = results.map(({ job }) => job.clientId);
      const order = [...(this.order?.(names, round) ?? names)];
      // Stable, and a client that the order leaves out comes last: no result is lost.
      const rank = (name: string): number => {
        const position = order.indexOf(name);
        return position < 0 ? order.length : position;
      };
      return results.sort((a, b) => rank(a.job.clientId) - rank(b.job.clientId));
    });
  }
}
