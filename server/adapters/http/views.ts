/** Stored records in the shapes that the protocol shows. Pure but for the store that is read. */
import type {
  ClientInfo,
  RoundDetail,
  RoundSummary,
  RunDetail,
  RunSummary,
  UpdateRecord,
} from '../../../protocol/http.js';
import type { Store } from '../../core/ports.js';
import type {
  AssignmentRecord,
  AssignmentState,
  ListedRound,
  RoundPage,
  Run,
  UpdateRow,
} from '../../core/records.js';
import { countTraining } from '../../core/quorum.js';
import { newestVersion } from '../../core/round.js';
import { meansOf } from '../../engine/evaluation.js';
import type { ClientStatus, PresenceView } from './parts.js';

const away: ClientStatus = { progress: null, loss: null, backends: [], sdkVersion: null };

export async function runSummary(store: Store, run: Run): Promise<RunSummary> {
  const round = await store.currentRound(run.id);
  return summaryOf(run, round ? newestVersion(round) : 0);
}

/** Newest first. */
export async function runSummaries(store: Store): Promise<RunSummary[]> {
  const runs = await store.runs();
  // Asked second: it knows every run that the first answer has.
  const versions = await store.versions();
  return runs.map((run) => summaryOf(run, versions.get(run.id) ?? 0));
}

/** @param version the newest: every commit raises it by one, so it counts the rounds. */
function summaryOf(run: Run, version: number): RunSummary {
  return {
    id: run.id,
    name: run.spec.name,
    rule: run.spec.rule.name,
    status: run.status,
    reason: run.reason,
    round: version,
    rounds: run.spec.rounds,
    version,
    createdAt: isoTime(run.createdAt),
  };
}

export async function runDetail(
  store: Store,
  run: Run,
  page: RoundPage,
  presence: PresenceView,
  now: string,
): Promise<RunDetail> {
  const [summary, history, clients] = await Promise.all([
    runSummary(store, run),
    store.listRounds(run.id, page),
    store.clients(run.id),
  ]);
  const infos = clients.map(({ id, role, state }): ClientInfo => {
    const status = presence.status(run.id, id);
    return { id, role, state, present: status !== null, ...(status ?? away) };
  });
  return {
    ...summary,
    spec: run.spec,
    history: history.rounds.map(roundSummary),
    historyFrom: history.from,
    roundsInAll: history.inAll,
    clients: infos,
    now,
  };
}

export function roundSummary(record: ListedRound): RoundSummary {
  const { round, checkpoint, bytes, diagnostics, evaluation } = record;
  const count = countTraining(round.tally);
  return {
    round: round.number,
    attempt: round.attempt,
    phase: round.phase,
    reason: round.reason,
    invited: count(),
    accepted: count('accepted'),
    rejected: count('rejected'),
    // A late update counts for as little as one that never came.
    dropped: count('dropped') + count('late'),
    version: round.version,
    checkpointSha256: checkpoint?.sha256 ?? null,
    bytes,
    diagnostics: { ...diagnostics },
    evaluation,
    openedAt: isoTime(round.openedAt),
    closedAt: isoTimeOrNull(round.closedAt),
  };
}

export function roundDetail(
  record: ListedRound,
  assignments: readonly AssignmentRecord[],
): RoundDetail {
  return { ...roundSummary(record), updates: assignments.map(updateRecord) };
}

function updateRecord(assignment: AssignmentRecord): UpdateRecord {
  const { id, clientId, role, kind, state, update, report } = assignment;
  return {
    assignmentId: id,
    clientId,
    role,
    kind,
    state,
    receipt: update && receiptView(update, state),
    bytes: update?.bytes ?? null,
    numExamples: report?.numExamples ?? update?.numExamples ?? null,
    numSteps: update?.numSteps ?? null,
    norm: update?.norm ?? null,
    metrics: report ? meansOf(report) : { ...update?.metrics },
    flags: [...(update?.flags ?? [])],
    weight: update?.weight ?? null,
  };
}

function receiptView(update: UpdateRow, state: AssignmentState): UpdateRecord['receipt'] {
  const { sha256, error } = update;
  const status = state === 'rejected' || state === 'late' ? state : 'accepted';
  return { status, sha256, code: error?.code ?? null, receivedAt: isoTime(update.receivedAt) };
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
