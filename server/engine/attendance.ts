/** Who is missing from a round: clients with open work that are away, or silent about it. */
import type { Absence, View } from '../core/duties.js';
import type { AssignmentRecord, Run } from '../core/records.js';
import type { Round } from '../core/round.js';
import { isEvaluated, isOpen } from '../core/round.js';
import type { EngineTools } from './engine.js';
import { Leases } from './leases.js';

type ClientIds = ReadonlySet<string>;

/** What was read of a round. */
interface Known {
  readonly phase: string;
  /** Another phase, or more assignments, ask for another look. */
  readonly key: string;
  readonly open: readonly AssignmentRecord[];
  /** Everybody who was invited, whatever became of it. */
  readonly invited: ClientIds;
}

export class Attendance {
  readonly leases: Leases;
  /** When each client came or left last; who was never seen is absent since the start. */
  readonly #seenAt = new Map<string, number>();
  /** Since when this coordinator looks after the run. */
  readonly startedAt: number;
  #known: Known | null = null;

  constructor(private readonly parts: Pick<EngineTools, 'store' | 'clock'>) {
    this.startedAt = parts.clock.now();
    this.leases = new Leases(parts.clock);
  }

  /** A client came, or left. */
  seen(clientId: string): void {
    this.#seenAt.set(clientId, this.parts.clock.now());
  }

  async missing(
    { spec }: Run,
    round: Round,
    here: ClientIds,
  ): Promise<Pick<View, 'absences' | 'silences'>> {
    if (round.deadline === null) return { absences: [], silences: [] };
    const lasts = round.phase === 'training' ? spec.deadlineMs : spec.evaluateDeadlineMs;
    const invitedAt = round.deadline - lasts;
    const now = this.parts.clock.now();
    const isAway = ({ clientId }: AssignmentRecord): boolean => !here.has(clientId);
    const isOverdue = (record: AssignmentRecord): boolean =>
      now >= this.#since(record, invitedAt) + (isAway(record) ? spec.graceMs : spec.leaseMs);
    const open = await this.#open(round, isOverdue);
    const absences: Absence[] = [];
    const silences: Absence[] = [];
    for (const record of open) {
      const { id: assignmentId, clientId } = record;
      const since = this.#since(record, invitedAt);
      (isAway(record) ? absences : silences).push({ assignmentId, clientId, since });
    }
    return { absences, silences };
  }

  /** Whom a round has invited to train so far; nobody before it began, and nobody asks later. */
  async invited(round: Round): Promise<ClientIds> {
    if (round.phase !== 'training') return new Set();
    return (await this.#look(round)).invited;
  }

  /**
   * Until when clients that this coordinator has not seen yet may come back before the round's model
   * is committed; null where nobody is waited for. Only where there is something to ask them then.
   */
  async returningUntil({ spec }: Run, round: Round, here: ClientIds): Promise<number | null> {
    const until = this.startedAt + spec.graceMs;
    if (round.phase !== 'aggregating' || this.parts.clock.now() >= until) return null;
    if (!isEvaluated(spec, round.baseVersion + 1)) return null;
    const awaited = (await this.#assignments(round)).some(
      ({ state, clientId }) =>
        state === 'accepted' && !here.has(clientId) && !this.#seenAt.has(clientId),
    );
    return awaited ? until : null;
  }

  /** Who left unnoticed just before it was invited has its grace, and its lease, like everybody. */
  #since({ id, clientId }: AssignmentRecord, invitedAt: number): number {
    const seenAt = this.#seenAt.get(clientId) ?? this.startedAt;
    return Math.max(invitedAt, this.startedAt, seenAt, this.leases.heardAt(id));
  }

  /**
   * Open assignments. What is answered never opens again, so until somebody seems overdue they are
   * not read anew: a thousand rows with each of a thousand receipts would be a million.
   */
  async #open(
    round: Round,
    isOverdue: (record: AssignmentRecord) => boolean,
  ): Promise<readonly AssignmentRecord[]> {
    const before = this.#known;
    const known = await this.#look(round);
    if (known !== before || !known.open.some(isOverdue)) return known.open;
    return (await this.#read(round)).open;
  }

  async #look(round: Round): Promise<Known> {
    return this.#known?.key === keyOf(round) ? this.#known : this.#read(round);
  }

  async #read(round: Round): Promise<Known> {
    const records = await this.#assignments(round);
    const open = records.filter((record) => isOpen(record, round));
    this.leases.keepOnly(new Set(open.map(({ id }) => id)));
    const before = this.#known;
    if (before?.phase === phaseOf(round)) {
      // Invited since, in the place of drop-outs: the lease begins now.
      for (const { id, clientId } of open) if (!before.invited.has(clientId)) this.leases.heard(id);
    }
    const invited = new Set(records.map(({ clientId }) => clientId));
    this.#known = { phase: phaseOf(round), key: keyOf(round), open, invited };
    return this.#known;
  }

  #assignments({ runId, number, attempt }: Round): Promise<AssignmentRecord[]> {
    return this.parts.store.assignments(runId, number, attempt);
  }
}

function phaseOf({ number, attempt, phase }: Round): string {
  return `${number}.${attempt} ${phase}`;
}

function keyOf(round: Round): string {
  return `${phaseOf(round)} ${round.tally.reduce((sum, { count }) => sum + count, 0)}`;
}
