/** What an operator or an auditor finds with nothing but SQL, and what must not be found. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dismissAll, participate } from '../support/participant.js';
import { plainEvaluator, plainRun } from '../support/plain-task.js';
import { disconnectAll, put, rawClient } from '../support/raw-client.js';
import type { CreatedRun, Stage } from '../support/stage.js';
import { createPlainRun, OPERATOR_TOKEN, openStage } from '../support/stage.js';
import { encode, goodUpdate, withFacts } from '../support/updates.js';

let stage: Stage;
let run: CreatedRun;
/** sha256 of each update that was accepted, by round and client, as the clients' receipts say. */
const receipts = new Map<string, string>();
let refusedSha256: string;

/**
 * Two rounds: `mal` sends an update with no examples in the first and gives its assignment back in
 * the second, `ada` and `bob` train in both, and `eva` judges the models.
 */
beforeAll(async () => {
  stage = await openStage({ blobs: 'postgres' });
  const { api, url } = stage;
  const spec = plainRun(3, { rounds: 2, quorum: { min: 2, share: 0.5 } });
  run = await createPlainRun(api, spec, {
    ...{ ada: 'source', bob: 'source', mal: 'source', eva: 'evaluator' },
  });
  const token = (name: string): string => run.tokens[name];
  const mal = await rawClient(url, 'mal', token('mal'));
  const eva = participate({
    ...{ url, name: 'eva', token: token('eva'), evaluate: plainEvaluator('eva', 9) },
  });
  await eva.log.nth('connected');
  const clients = [
    participate({ url, name: 'ada', token: token('ada'), numExamples: 30 }),
    participate({ url, name: 'bob', token: token('bob'), numExamples: 10 }),
  ];
  const first = await mal.assignment(1);
  const bad = encode(withFacts(goodUpdate(first, 1, 5), { numExamples: '0' }));
  const answer = await put(url + first.uploadPath, bad, mal);
  refusedSha256 = answer.receipt!.sha256;
  await mal.decline((await mal.assignment(2)).id);
  for (const { ended, name } of clients) {
    for (const { round, sha256 } of (await ended).receipts)
      receipts.set(`${round} ${name}`, sha256);
  }
  await eva.ended;
});
afterAll(async () => {
  disconnectAll();
  await dismissAll();
  await stage.close();
});

const sql = (text: string): Promise<Record<string, unknown>[]> =>
  stage.database.query(text.replaceAll(':run', `'${run.id}'`));

describe('in psql', () => {
  it('shows the runs and their rounds', async () => {
    expect(await sql('SELECT id, name, rule, status FROM runs')).toEqual([
      { id: run.id, name: 'plain', rule: 'fedavg', status: 'completed' },
    ]);
    const rounds = await sql(
      `SELECT round, attempt, phase, base_version, version, invited::int, accepted::int,
              rejected::int, dropped::int, evaluations::int, closed_at >= opened_at AS ended
       FROM round_summary WHERE run_id = :run`,
    );
    const common = {
      attempt: 1,
      phase: 'closed',
      invited: 3,
      accepted: 2,
      evaluations: 1,
      ended: true,
    };
    expect(rounds).toEqual([
      { ...common, round: 1, base_version: 0, version: 1, rejected: 1, dropped: 0 },
      { ...common, round: 2, base_version: 1, version: 2, rejected: 0, dropped: 1 },
    ]);
  });

  it('shows who was invited, and each receipt with its code', async () => {
    const rows = await sql(
      `SELECT round, client_id, role::text, receipt::text, error_code, sha256
       FROM receipts WHERE run_id = :run`,
    );
    const row = (round: number, client_id: string, rest: object = {}) => {
      const taken = { receipt: 'accepted', error_code: null };
      const sha256 = receipts.get(`${round} ${client_id}`);
      return { round, client_id, role: 'source', sha256, ...taken, ...rest };
    };
    expect(receipts.size).toBe(4);
    expect(rows).toEqual([
      row(1, 'ada'),
      row(1, 'bob'),
      row(1, 'mal', { receipt: 'rejected', error_code: 'bad_facts', sha256: refusedSha256 }),
      row(2, 'ada'),
      row(2, 'bob'),
      row(2, 'mal', { receipt: null, sha256: null }),
    ]);
    const [refusal] = await sql(
      `SELECT error->>'message' AS message FROM updates WHERE error_code IS NOT NULL`,
    );
    expect(refusal.message).toContain('numExamples');
  });

  it('shows the weight that each update was given, beside its share of the examples', async () => {
    const rows = await sql(
      `SELECT round, client_id, num_examples::int, data_share, weight
       FROM round_weights WHERE run_id = :run`,
    );
    const share = { ada: 0.75, bob: 0.25 };
    expect(rows).toEqual(
      [1, 2].flatMap((round) =>
        (['ada', 'bob'] as const).map((client_id) => ({
          ...{ round, client_id, num_examples: client_id === 'ada' ? 30 : 10 },
          ...{ data_share: share[client_id], weight: share[client_id] },
        })),
      ),
    );
  });

  it('shows what a site reported of each model', async () => {
    const rows = await sql(
      `SELECT number, (evaluation->'sites'->'eva'->>'numExamples')::int AS examples,
              evaluation->'sites'->'eva'->'metrics'->'error' = evaluation->'pooled'->'error' AS same
       FROM rounds WHERE run_id = :run ORDER BY number`,
    );
    expect(rows).toEqual([
      { number: 1, examples: 9, same: true },
      { number: 2, examples: 9, same: true },
    ]);
  });

  it('has deleted the updates of committed rounds, and kept every model', async () => {
    const rows = await sql(
      `SELECT (SELECT count(*) FROM updates u JOIN blobs b USING (sha256))::int AS updates,
              (SELECT count(*) FROM checkpoints c JOIN blobs b USING (sha256)
               WHERE c.bytes = b.bytes)::int AS models`,
    );
    expect(rows).toEqual([{ updates: 0, models: 3 }]);
  });
});

interface LedgerRow {
  readonly seq: number;
  readonly ms: number;
  readonly type: string;
  readonly body: Record<string, unknown>;
  readonly prev_hash: string;
  readonly hash: string;
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join()}}`;
}

describe('the ledger', () => {
  const read = () =>
    stage.database.query<LedgerRow & Record<string, unknown>>(
      `SELECT seq, round(extract(epoch FROM at) * 1000)::float8 AS ms, type, body, prev_hash, hash
       FROM ledger_events WHERE run_id = $1 ORDER BY seq`,
      run.id,
    );

  it('is a chain that can be followed from what psql shows', async () => {
    let before = '0'.repeat(64);
    for (const [i, { seq, ms, type, body, prev_hash, hash }] of (await read()).entries()) {
      expect([seq, prev_hash]).toEqual([i + 1, before]);
      const text = before + canonical({ at: ms, body, seq, type });
      expect(createHash('sha256').update(text).digest('hex')).toBe(hash);
      before = hash;
    }
  });

  it('tells the story of the run, with cohorts, hashes and weights', async () => {
    const events = await read();
    expect(events.map(({ type }) => type)).toEqual([
      'run-created',
      ...Array<string>(4).fill('client-enrolled'),
      'round-began',
      'update-rejected',
      'round-committed',
      'round-began',
      'round-committed',
      'run-completed',
    ]);
    expect(events[5].body).toMatchObject({ round: 1, cohort: ['ada', 'bob', 'mal'] });
    const [checkpoint] = await sql(
      'SELECT sha256 FROM checkpoints WHERE run_id = :run AND version = 1',
    );
    expect(events[6].body).toMatchObject({ client: 'mal' });
    expect(events[7].body).toMatchObject({
      version: 1,
      sha256: checkpoint.sha256,
      given: [
        { clientId: 'ada', update: receipts.get('1 ada'), weight: 0.75 },
        { clientId: 'bob', update: receipts.get('1 bob'), weight: 0.25 },
      ],
    });
  });
});

describe('tokens', () => {
  it('are nowhere in the database, neither in text nor in bytes', async () => {
    const tables = await sql(
      `SELECT table_name AS name FROM information_schema.tables
       WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`,
    );
    expect(tables.length).toBeGreaterThan(8);
    const count = async (needle: string): Promise<number> => {
      let found = 0;
      for (const { name } of tables) {
        const [row] = await stage.database.query<{ n: number }>(
          `SELECT count(*)::int AS n FROM "${String(name)}" t WHERE t::text LIKE $1`,
          `%${needle.replaceAll(/[\\%_]/g, '\\$&')}%`,
        );
        found += row.n;
      }
      return found;
    };
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    // The search finds what is there.
    expect(await count('eva')).toBeGreaterThan(0);
    expect(await count(hex('running-mean'))).toBeGreaterThan(0);
    for (const token of [OPERATOR_TOKEN, ...Object.values(run.tokens)]) {
      expect(await count(token)).toBe(0);
      expect(await count(hex(token))).toBe(0);
      expect(await count(token.slice(4, 24))).toBe(0);
    }
    const hashes = await sql('SELECT token_hash FROM clients');
    expect(hashes.map((row) => row.token_hash)).toContain(
      createHash('sha256').update(run.tokens.ada).digest('hex'),
    );
  });
});
