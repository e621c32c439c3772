/**
 * What a run that was disturbed must still show, read from its database with plain SQL: nothing of
 * this goes through the code that is on trial.
 */
import type { Receipt } from '../../protocol/update.js';
import type { Database } from '../../test/support/database.js';
import { checkpointsOf } from '../../test/support/database.js';

/** In words, one entry a fault; all empty is as it should be. */
export interface Verdict {
  /** Updates that a client holds an accepted receipt for, and that did not count with their weight. */
  readonly lost: readonly string[];
  /** Updates that counted more than once, and rounds that committed more than once. */
  readonly double: readonly string[];
  /** Checkpoints that are not those of the undisturbed run. */
  readonly differing: readonly string[];
}

interface AssignmentRow {
  readonly id: string;
  readonly client_id: string;
  readonly round: number;
  readonly phase: string;
  readonly state: string;
  readonly sha256: string | null;
  readonly weight: number | null;
}

interface Given {
  readonly clientId: string;
  readonly update: string;
  readonly weight: number;
}

interface Commit {
  readonly round: number;
  readonly given: readonly Given[];
}

export interface Evidence {
  readonly runId: string;
  /** Every receipt that reached a client. */
  readonly receipts: readonly Receipt[];
  /** What each client reports. */
  readonly examples: Readonly<Record<string, number>>;
  /** The checkpoints of the undisturbed run; null where this is the one. */
  readonly reference: readonly string[] | null;
}

/** Rounding of a share of a few hundred examples. */
const EPSILON = 1e-12;

export async function audit(database: Database, evidence: Evidence): Promise<Verdict> {
  const { runId, reference } = evidence;
  const rows = await database.query<AssignmentRow>(
    `SELECT a.id, a.client_id, a.round, a.state::text, r.phase::text, u.sha256, u.weight
     FROM assignments a
     JOIN rounds r ON r.run_id = a.run_id AND r.number = a.round AND r.attempt = a.attempt
     LEFT JOIN updates u ON u.assignment_id = a.id
     WHERE a.run_id = $1 AND a.kind = 'train'`,
    runId,
  );
  const commits = await database.query<{ body: Commit }>(
    `SELECT body FROM ledger_events WHERE run_id = $1 AND type = 'round-committed' ORDER BY seq`,
    runId,
  );
  const bodies = commits.map(({ body }) => body);
  const checkpoints = await checkpointsOf(database, runId);
  return {
    lost: lostOf(evidence, rows, bodies),
    double: doubleOf(rows, bodies),
    differing: reference ? differences(checkpoints, reference) : [],
  };
}

function lostOf(
  { receipts, examples }: Evidence,
  rows: readonly AssignmentRow[],
  commits: readonly Commit[],
): string[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const total = Object.values(examples).reduce((sum, count) => sum + count, 0);
  return receipts.flatMap(({ assignmentId, clientId, round, sha256, status }) => {
    if (status !== 'accepted') return [];
    const what = `round ${round}, ${clientId}`;
    const row = byId.get(assignmentId);
    if (!row) return [`${what}: its assignment is gone`];
    if (row.state !== 'accepted' || row.sha256 !== sha256) return [`${what}: not stored`];
    if (row.phase !== 'closed') return [`${what}: its round is ${row.phase}`];
    const share = examples[clientId] / total;
    const isShare = (weight: number | null): boolean =>
      weight !== null && Math.abs(weight - share) < EPSILON;
    if (!isShare(row.weight)) return [`${what}: weight ${String(row.weight)}, not ${share}`];
    const given = commits
      .filter((commit) => commit.round === round)
      .flatMap((commit) => commit.given)
      .filter((each) => each.clientId === clientId && each.update === sha256);
    return given.some(({ weight }) => isShare(weight)) ? [] : [`${what}: not in the ledger`];
  });
}

function doubleOf(rows: readonly AssignmentRow[], commits: readonly Commit[]): string[] {
  const counted = rows.filter(({ weight }) => weight !== null && weight > 0);
  return [
    ...repeated(
      counted.map(({ round, client_id: client }) => `weight of ${client}, round ${round}`),
    ),
    ...repeated(commits.map(({ round }) => `commit of round ${round}`)),
    ...repeated(
      commits.flatMap(({ round, given }) =>
        given.map(({ clientId }) => `${clientId} in the commit of round ${round}`),
      ),
    ),
  ];
}

function repeated(labels: readonly string[]): string[] {
  const seen = new Set<string>();
  return labels.filter((label) => seen.size === seen.add(label).size);
}

function differences(checkpoints: readonly string[], reference: readonly string[]): string[] {
  const versions = Math.max(checkpoints.length, reference.length);
  return Array.from({ length: versions }, (_, version) => version)
    .filter((version) => checkpoints[version] !== reference[version])
    .map((version) => `checkpoint ${version}`);
}
