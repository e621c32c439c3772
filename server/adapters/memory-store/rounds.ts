/** Rounds in memory, as they are read. */
import type { RoundStore } from '../../core/ports.js';
import type {
  ListedRound,
  PooledEvaluation,
  RoundHistory,
  RoundPage,
  RoundRecord,
} from '../../core/records.js';
import type { Round, TallyRow } from '../../core/round.js';
import { needsUpdates, newestVersion } from '../../core/round.js';
import { pagePlace, sortedTally } from '../order.js';
import type { RoundEntry, RunEntry, State } from './state.js';

type Verb = 'currentRound' | 'settledRound' | 'rounds' | 'listRounds' | 'round' | 'evaluations';
type Verbs = { [K in Verb]: (...args: Parameters<RoundStore[K]>) => unknown };

/** The verbs as synchronous functions; the store makes promises of them. */
export function roundVerbs({ runs }: State) {
  const roundsOf = (runId: string): readonly RoundEntry[] => runs.get(runId)?.rounds ?? [];
  return {
    currentRound: (runId: string) => countedOrNull(roundsOf(runId).at(-1)),
    settledRound: (runId: string) =>
      countedOrNull(roundsOf(runId).findLast(({ round }) => !needsUpdates(round))),
    rounds: (runId: string): RoundRecord[] => {
      const run = runs.get(runId);
      return run ? run.rounds.map((entry) => toRecord(run, entry)) : [];
    },
    listRounds: (runId: string, page: RoundPage) => listed(runs.get(runId), page),
    round: (runId: string, number: number, attempt?: number): ListedRound | null => {
      const run = runs.get(runId);
      const found = run?.rounds.findLast(
        ({ round }) => round.number === number && (attempt ?? round.attempt) === round.attempt,
      );
      return run && found ? toListed(run, found) : null;
    },
    versions: () => new Map([...runs].map(([id, { rounds }]) => [id, versionOf(rounds)])),
    evaluations: (runId: string) => evaluations(roundsOf(runId)),
  } satisfies Verbs & Record<'versions', unknown>;
}

function countedOrNull(entry: RoundEntry | undefined): Round | null {
  return entry ? counted(entry) : null;
}

function counted({ round, assignments }: RoundEntry): Round {
  const rows = new Map<string, TallyRow>();
  for (const { kind, role, state } of assignments.values()) {
    const key = `${kind} ${role} ${state}`;
    rows.set(key, { kind, role, state, count: (rows.get(key)?.count ?? 0) + 1 });
  }
  return { ...round, tally: sortedTally([...rows.values()]) };
}

function toRecord({ checkpoints }: RunEntry, entry: RoundEntry): RoundRecord {
  const { version } = entry.round;
  const accepted = [...entry.assignments.values()].filter((a) => a.state === 'accepted');
  return {
    round: counted(entry),
    checkpoint: version === null ? null : (checkpoints.get(version) ?? null),
    bytes: accepted.reduce((sum, { update }) => sum + (update?.bytes ?? 0), 0),
    ...entry.results,
  };
}

function listed(run: RunEntry | undefined, page: RoundPage): RoundHistory {
  const inAll = run?.rounds.length ?? 0;
  const from = pagePlace(page, inAll);
  const some = run?.rounds.slice(from - 1, from - 1 + page.limit) ?? [];
  return { inAll, from, rounds: some.map((entry) => toListed(run!, entry)) };
}

function toListed(run: RunEntry, entry: RoundEntry): ListedRound {
  const { round, checkpoint, bytes, diagnostics, evaluation } = toRecord(run, entry);
  return { round, checkpoint, bytes, diagnostics, evaluation };
}

function versionOf(rounds: readonly RoundEntry[]): number {
  const newest = rounds.at(-1)?.round;
  return newest ? newestVersion(newest) : 0;
}

function evaluations(rounds: readonly RoundEntry[]): PooledEvaluation[] {
  return rounds.flatMap(({ round, results: { evaluation } }) => {
    if (round.phase !== 'closed' || !evaluation) return [];
    const { version, numExamples, pooled } = evaluation;
    return [{ version, numExamples, pooled }];
  });
}
