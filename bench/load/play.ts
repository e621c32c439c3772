/** One run under load, from its creation to its end, and what became of its rounds. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from '../../server/cli/api.js';
import type { Database } from '../../test/support/database.js';
import type { Crowds } from './crowds.js';
import { startCrowds } from './crowds.js';
import type { LoadRun } from './task.js';
import { DEADLINE_MS, initialModel, loadRun } from './task.js';

export interface PlayOptions extends LoadRun {
  readonly clients: number;
  readonly dropOut: number;
  readonly processes: number;
}

export interface Stage {
  readonly api: Api;
  readonly database: Database;
}

export interface Played {
  readonly name: string;
  readonly rounds: number;
  readonly closed: number;
  readonly abandoned: number;
  /** Of every attempt but the first, which waits for the crowd: from its opening to its end. */
  readonly roundMs: readonly number[];
  readonly accepted: number;
  readonly late: number;
  /** Assignments whose client dropped out. */
  readonly dropped: number;
  /** Assignments that were given in the place of others. */
  readonly replaced: number;
  /** What must not be, in words. */
  readonly faults: readonly string[];
  /** In ms since 1970. */
  readonly began: number;
  readonly ended: number;
}

/** A round that ends neither way for so long stands still: its deadline, and as much again. */
const STALL_MS = 2 * DEADLINE_MS + 10_000;
/** Until all clients are there, nothing can begin. */
const ARRIVAL_MS = 180_000;
const LOOK_MS = 1_000;

export async function play(stage: Stage, options: PlayOptions): Promise<Played> {
  const { id, tokens } = await createLoadRun(stage.api, options);
  const { seed, dropOut, processes } = options;
  const crowds = startCrowds({ url: stage.api.url, tokens, seed, dropOut, processes });
  const began = Date.now();
  try {
    const stalled = await untilOver(stage, id, crowds);
    return { ...(await outcomeOf(stage, id, options, crowds, stalled)), began, ended: Date.now() };
  } finally {
    crowds.kill();
  }
}

export async function createLoadRun(
  api: Api,
  { clients, ...run }: LoadRun & { readonly clients: number },
): Promise<{ id: string; tokens: Record<string, string> }> {
  const blob = await api.putBlob(initialModel);
  const { id } = await api.createRun({ ...loadRun(run), init: { blob } });
  const tokens: Record<string, string> = {};
  for (let k = 0; k < clients; k++) {
    const name = `client-${String(k).padStart(5, '0')}`;
    tokens[name] = (await api.enrol(id, name, 'source')).token;
  }
  return { id, tokens };
}

/** Says where the run stood still; null where it came to its end. */
async function untilOver({ database }: Stage, id: string, crowds: Crowds): Promise<string | null> {
  const ended = crowds.ended.then(() => true);
  let last = { key: '', at: performance.now() };
  while (!(await Promise.race([ended, sleep(LOOK_MS, false)]))) {
    const [{ number, attempt, phase, ends }] = await database.query<{
      number: number;
      attempt: number;
      phase: string;
      ends: number;
    }>(
      `SELECT number, attempt, phase::text,
              (SELECT count(*)::int FROM rounds WHERE run_id = $1 AND closed_at IS NOT NULL) AS ends
       FROM rounds WHERE run_id = $1 ORDER BY number DESC, attempt DESC LIMIT 1`,
      id,
    );
    const key = `${number}.${attempt} ${ends}`;
    if (key !== last.key) last = { key, at: performance.now() };
    const patience = ends === 0 ? ARRIVAL_MS : STALL_MS;
    if (performance.now() - last.at > patience)
      return `round ${number}, attempt ${attempt}, stands still while ${phase}`;
  }
  return null;
}

interface RoundRow {
  readonly number: number;
  readonly attempt: number;
  readonly phase: string;
  readonly ms: number | null;
  readonly accepted: number;
  readonly dropped: number;
  readonly given: number;
  readonly invited: number | null;
}

async function outcomeOf(
  { database, api }: Stage,
  id: string,
  { name, rounds, wanted }: PlayOptions,
  crowds: Crowds,
  stalled: string | null,
): Promise<Omit<Played, 'began' | 'ended'>> {
  const rows = await database.query<RoundRow>(
    `SELECT r.number, r.attempt, r.phase::text,
            (extract(epoch FROM r.closed_at - greatest(r.opened_at, r.not_before)) * 1000)::float8 AS ms,
            count(*) FILTER (WHERE a.state = 'accepted')::int AS accepted,
            count(*) FILTER (WHERE a.state = 'dropped')::int AS dropped,
            count(a.id)::int AS given,
            (SELECT jsonb_array_length(e.body->'cohort') FROM ledger_events e
             WHERE e.run_id = r.run_id AND e.type = 'round-began'
               AND (e.body->>'round')::int = r.number AND (e.body->>'attempt')::int = r.attempt
            ) AS invited
     FROM rounds r LEFT JOIN assignments a
       ON a.run_id = r.run_id AND a.round = r.number AND a.attempt = r.attempt
     WHERE r.run_id = $1
     GROUP BY r.run_id, r.number, r.attempt ORDER BY r.number, r.attempt`,
    id,
  );
  const { status } = await api.run(id);
  const sum = (value: (row: RoundRow) => number): number =>
    rows.reduce((total, row) => total + value(row), 0);
  const of = (phase: string): RoundRow[] => rows.filter((row) => row.phase === phase);
  const late = crowds.counts().late;
  return {
    name,
    rounds,
    closed: of('closed').length,
    abandoned: of('abandoned').length,
    roundMs: rows.slice(1).flatMap(({ ms }) => ms ?? []),
    accepted: sum((row) => row.accepted),
    late,
    dropped: sum((row) => row.dropped),
    replaced: sum(({ given, invited }) => Math.max(0, given - (invited ?? given))),
    faults: [
      ...(stalled === null ? [] : [stalled]),
      ...(status === 'completed' ? [] : [`the run is ${status}`]),
      ...of('closed')
        .filter(({ accepted }) => accepted < Math.ceil(wanted * 0.7))
        .map(({ number, accepted }) => `round ${number} closed with ${accepted} updates`),
      ...rows
        .slice(1)
        .filter(({ ms }) => ms !== null && ms > STALL_MS)
        .map(({ number, ms }) => `round ${number} took ${Math.round((ms ?? 0) / 1000)} s`),
    ],
  };
}
