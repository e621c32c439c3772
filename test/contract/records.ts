/** Records for the store's contract: small, complete, and different in every number. */
import { runSpec } from '../../protocol/run.js';
import type { Store } from '../../server/core/ports.js';
import type {
  AssignmentRecord,
  Checkpoint,
  Client,
  EnrolledClient,
  NewEvent,
  Run,
  UpdateRow,
} from '../../server/core/records.js';
import { openRound, step, type Round } from '../../server/core/round.js';
import { createHash } from 'node:crypto';

export function sha(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export const startedAt = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

export function runNamed(id: string, overrides: Partial<Run> = {}): Run {
  return {
    id,
    spec: runSpec.parse({
      name: `run-${id}`,
      task: {
        name: 'digits',
        model: {
          format: 'opaque',
          body: { layers: [{ b: 1, a: [0.1, -2.5e-7] }], note: 'ä "quoted" \\ 数字' },
          tensors: [{ name: 'dense/kernel', shape: [3, 2] }],
        },
        data: { features: { shape: [3] }, labels: { kind: 'class', classes: 2 } },
      },
      rule: { name: 'fedavg', options: { momentum: 0.3 } },
      rounds: 3,
      trainingByRole: { target: { batchSize: 4 } },
      init: { blob: sha('init') },
    }),
    status: 'running',
    reason: null,
    fold: { cohortMax: 4096, weightMax: 131072, deltaMax: 8, termBits: 30, weightBits: 33 },
    oracle: null,
    createdAt: startedAt,
    ...overrides,
  };
}

export function checkpointOf(runId: string, version: number): Checkpoint {
  return {
    runId,
    version,
    sha256: sha(`${runId} model ${version}`),
    bytes: 5_000_000_000 + version,
    stateSha256: version === 0 ? null : sha(`${runId} state ${version}`),
    broadcast:
      version === 0 ? null : { sha256: sha(`${runId} down ${version}`), bytes: 6_000_000_000 },
    collected: false,
  };
}

export function eventOf(type: string, at = startedAt): NewEvent {
  return { at, type, body: { type, at } };
}

/** A run with its first checkpoint and a waiting first round. */
export async function createRun(store: Store, id = 'r1'): Promise<Round> {
  const round = openRound(id, 1, 1, 0, startedAt);
  await store.createRun(runNamed(id), checkpointOf(id, 0), round, [eventOf('run-created')]);
  return round;
}

export function enrolledClient(client: Client): EnrolledClient {
  return { ...client, state: 'approved', tokenExpiresAt: null, enrolledAt: startedAt };
}

export async function enrol(store: Store, client: Client): Promise<void> {
  const token = sha(`token of ${client.id} in ${client.runId}`);
  await store.enrol(enrolledClient(client), token, eventOf('enrolled'));
}

export type NewAssignment = Omit<AssignmentRecord, 'state' | 'update' | 'report'>;

export function assignmentFor(
  { runId, number, attempt, baseVersion }: Round,
  { id: clientId, role }: Client,
  kind: AssignmentRecord['kind'] = 'train',
): NewAssignment {
  const id = `${kind}-${runId}-${number}.${attempt}-${clientId}`;
  return { id, runId, round: number, attempt, clientId, role, kind, baseVersion };
}

/** A waiting round that begins, and wants one update unless said otherwise. */
export function beginRound(round: Round, deadline = startedAt + 5, wanted = 1): Round {
  return step(round, { type: 'begin', at: startedAt, deadline, wanted });
}

/** Enrols clients (`source`, unless said otherwise) and invites them to the run's first round. */
export async function startTraining(
  store: Store,
  clients: readonly string[],
  roles: Readonly<Record<string, Client['role']>> = {},
  runId = 'r1',
): Promise<{ round: Round; assignments: NewAssignment[] }> {
  const waiting = await createRun(store, runId);
  const cohort = clients.map((id): Client => ({ runId, id, role: roles[id] ?? 'source' }));
  for (const client of cohort) await enrol(store, client);
  const assignments = cohort.map((client) => assignmentFor(waiting, client));
  const round = beginRound(waiting, startedAt + 60_000, cohort.length);
  if (!(await store.commit(round, { assignments }))) throw new Error('the round did not begin');
  return { round, assignments };
}

export function closeCollection(round: Round): Round {
  return step(round, { type: 'close-collection', at: startedAt + 61_000 });
}

/** An update whose facts are all different. */
export function updateOf(
  content: string,
  overrides: Partial<Omit<UpdateRow, 'weight'>> = {},
): Omit<UpdateRow, 'weight'> {
  return {
    sha256: sha(content),
    bytes: 1_000 + content.length,
    receivedAt: startedAt + 7,
    error: null,
    numExamples: 320,
    numSteps: 10,
    norm: 1.25,
    maxAbs: 0.7500000000000001,
    flags: [],
    metrics: { loss: 0.30000000000000004, accuracy: 0.5 },
    ...overrides,
  };
}
