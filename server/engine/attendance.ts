/** Who is missing from a round: clients with open work that are not connected, and since when. */
import type { AssignmentRecord, Run } from '../core/ports.js';
import type { Absence, Round } from '../core/round.js';
import { isEvaluated, isOpen } from '../core/round.js';
import type { EngineTools } from './engine.js';

type ClientIds = ReadonlySet<string>;

export class Attendance {
  /** When each absent client was last seen; who was never seen is absent since the start. */
  readonly #absentSince = new Map<string, number>();
  readonly #startedAt: number;
  /** What was open in a phase when it was last read. */
  #known: { readonly phase: string; readonly open: readonly AssignmentRecord[] } | null = null;

  constructor(private readonly parts: Pick<EngineTools, 'store' | 'clock'>) {
    this.#startedAt = parts.clock.now();
  }

  joined(clientId: string): void {
    this.#absentSince.delete(clientId);
  }

  left(clientId: string): void {
    this.#absentSince.set(clientId, this.parts.clock.now());
  }

  async absences({ spec }: Run, round: Round, here: ClientIds): Promise<Absence[]> {
    if (round.deadline === null) return [];
    const lasts = round.phase === 'training' ? spec.deadlineMs : spec.evaluateDeadlineMs;
    const invitedAt = round.deadline - lasts;
    return (await this.#away(round, here)).map(({ id, clientId }) => ({
      assignmentId: id,
      // Who left unnoticed just before it was invited has its grace like everybody.
      since: Math.max(invitedAt, this.#absentSince.get(clientId) ?? this.#startedAt),
    }));
  }

  /**
   * Until when clients that this coordinator has not seen yet may come back before the round's model
   * is committed; null where nobody is waited for. Only where there is something to ask them then.
   */
  async returningUntil({ spec }: Run, round: Round, here: ClientIds): Promise<number | null> {
    const until = this.#startedAt + spec.graceMs;
    if (round.phase !== 'aggregating' || this.parts.clock.now() >= until) return null;
    if (!isEvaluated(spec, round.baseVersion + 1)) return null;
    const awaited = (await this.#read(round)).some(
      ({ state, clientId }) =>
        state === 'accepted' && !here.has(clientId) && !this.#absentSince.has(clientId),
    );
    return awaited ? until : null;
  }

  /**
   * Open assignments of clients that are not here. What is answered never opens again, so while all
   * with open work are here the assignments are not read: a thousand rows with each of a thousand
   * receipts would be a million.
   */
  async #away(round: Round, here: ClientIds): Promise<readonly AssignmentRecord[]> {
    const phase = `${round.number}.${round.attempt} ${round.phase}`;
    const isAway = ({ clientId }: AssignmentRecord): boolean => !here.has(clientId);
    if (this.#known?.phase === phase && !this.#known.open.some(isAway)) return [];
    const open = (await this.#read(round)).filter((record) => isOpen(record, round));
    this.#known = { phase, open };
    return open.filter(isAway);
  }

  #read({ runId, number, attempt }: Round): Promise<AssignmentRecord[]> {
    return this.parts.store.assignments(runId, number, attempt);
  }
}
