/** What the store in memory holds, and how its parts are found. */
import type {
  AssignmentRecord,
  Checkpoint,
  EnrolledClient,
  LedgerEvent,
  NewEvent,
  Operator,
  RoundRecord,
  Run,
} from '../../core/records.js';
import type { Round } from '../../core/round.js';
import { appendEvents, type Sign } from '../ledger-chain.js';
import { storableText } from '../storable.js';

export type Results = Pick<RoundRecord, 'diagnostics' | 'matrices' | 'coefficients' | 'evaluation'>;

/** A round with what belongs to it. Its tally is counted when it is read. */
export interface RoundEntry {
  round: Round;
  results: Results;
  readonly assignments: Map<string, AssignmentRecord>;
}

export interface ClientEntry {
  readonly client: EnrolledClient;
  readonly tokenHash: string;
}

export interface RunEntry {
  run: Run;
  readonly checkpoints: Map<number, Checkpoint>;
  readonly clients: Map<string, ClientEntry>;
  /** Oldest first. */
  readonly rounds: RoundEntry[];
  events: readonly LedgerEvent[];
}

export interface State {
  /** Signs the ledgers' events; null leaves them unsigned. */
  readonly sign: Sign | null;
  /** The coordinator's own ledger. */
  coordinatorEvents: readonly LedgerEvent[];
  readonly runs: Map<string, RunEntry>;
  readonly clientsByToken: Map<string, ClientEntry>;
  readonly operators: Map<string, { readonly operator: Operator; readonly tokenHash: string }>;
  /** The round that each assignment belongs to. */
  readonly places: Map<string, RoundEntry>;
}

export function newRound(round: Round): RoundEntry {
  const results = { diagnostics: {}, matrices: {}, coefficients: {}, evaluation: null };
  return { round: storableRound(round), results, assignments: new Map() };
}

export function storableRound(round: Round): Round {
  return { ...round, reason: textOrNull(round.reason), tally: [] };
}

export function findRound(
  state: State,
  { runId, number, attempt }: Pick<Round, 'runId' | 'number' | 'attempt'>,
): RoundEntry | undefined {
  return state.runs
    .get(runId)
    ?.rounds.find(({ round }) => round.number === number && round.attempt === attempt);
}

export function put({ places }: State, assignment: AssignmentRecord): void {
  places.get(assignment.id)?.assignments.set(assignment.id, assignment);
}

/** An assignment that still waits for its client while its round does. */
export function openAssignment({ places }: State, id: string): AssignmentRecord | null {
  const entry = places.get(id);
  const assignment = entry?.assignments.get(id);
  if (assignment?.state !== 'invited') return null;
  const phase = assignment.kind === 'train' ? 'training' : 'evaluating';
  return entry?.round.phase === phase ? assignment : null;
}

export function withEvents(
  { events: before }: Pick<RunEntry, 'events'>,
  events: readonly NewEvent[],
  sign: Sign | null,
): LedgerEvent[] {
  return [...before, ...appendEvents(before.at(-1) ?? null, events, sign)];
}

export function textOrNull(text: string | null): string | null {
  return text === null ? null : storableText(text);
}
