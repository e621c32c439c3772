/** When clients were last heard about their assignments, and whose update is on its way. */
import type { Clock } from '../core/ports.js';

export class Leases {
  readonly #heardAt = new Map<string, number>();
  /** Uploads under way; a retry may overlap what it replaces. */
  readonly #arriving = new Map<string, number>();

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  heard(assignmentId: string): void {
    this.#heardAt.set(assignmentId, this.clock.now());
  }

  /** A slow upload says more than a heartbeat does: while it lasts, its client is heard all the time. */
  async whileArriving<T>(assignmentId: string, work: () => Promise<T>): Promise<T> {
    this.#count(assignmentId, 1);
    try {
      return await work();
    } finally {
      this.#count(assignmentId, -1);
      this.heard(assignmentId);
    }
  }

  /** When it was heard last; minus infinity where it never was. */
  heardAt(assignmentId: string): number {
    if (this.#arriving.has(assignmentId)) return this.clock.now();
    return this.#heardAt.get(assignmentId) ?? -Infinity;
  }

  /** Forgets all others: work that is over would be remembered as long as the run lasts. */
  keepOnly(assignmentIds: ReadonlySet<string>): void {
    for (const id of this.#heardAt.keys()) if (!assignmentIds.has(id)) this.#heardAt.delete(id);
  }

  #count(assignmentId: string, by: number): void {
    const count = (this.#arriving.get(assignmentId) ?? 0) + by;
    if (count > 0) this.#arriving.set(assignmentId, count);
    else this.#arriving.delete(assignmentId);
  }
}
