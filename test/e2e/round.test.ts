/** A whole run over real HTTP, real sockets and a real database, held against arithmetic done here. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JoinSummary } from '../../client/events.js';
import type { Params } from '../../client/types.js';
import type { RoundDetail, RunDetail } from '../../protocol/http.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { checkpointsOf } from '../support/database.js';
import type { Participant } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { initialParams, plainEvaluator, plainRun, plainTask } from '../support/plain-task.js';
import type { Stage } from '../support/stage.js';
import { createPlainRun, openStage } from '../support/stage.js';

const EXAMPLES: Readonly<Record<string, number>> = { ada: 37, Bo: 5, cyd: 118 };
const NAMES = ['Bo', 'ada', 'cyd']; // client-id order: upper case goes first
const TOTAL = 37 + 5 + 118;
const ROUNDS = 3;

/** min(50, 62 - log2 4096) - log2 2^17 - log2 8, and the same without the delta's bits. */
const TERM_BITS = 50 - 17 - 3;
const WEIGHT_BITS = 50 - 17;

interface Contribution {
  readonly numExamples: number;
  readonly delta: Params;
}

/** DESIGN.md, idea 2, with BigInt: fround(w + (Number(sum) / Number(weightSum)) * 2^k). */
function foldExactly(w: number, name: string, i: number, updates: readonly Contribution[]): number {
  let [sum, weights] = [0n, 0n];
  for (const { numExamples, delta } of updates) {
    sum += BigInt(halfToEven(numExamples * delta[name][i] * 2 ** TERM_BITS));
    weights += BigInt(halfToEven(numExamples * 2 ** WEIGHT_BITS));
  }
  if (sum === 0n) return w;
  return Math.fround(w + (Number(sum) / Number(weights)) * 2 ** (WEIGHT_BITS - TERM_BITS));
}

function halfToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** What each client sent in a round, worked out from what its train function got and returned. */
function contributionsOf(participants: readonly Participant[], round: number): Contribution[] {
  return participants.map(({ calls }) => {
    const { model, result } = calls.find((call) => call.round === round)!;
    const delta = Object.entries(model).map(([name, w]) => {
      return [name, w.map((value, i) => result.params[name][i] - value)] as const;
    });
    return { numExamples: result.numExamples, delta: Object.fromEntries(delta) };
  });
}

function paramsOf(bytes: Uint8Array): Params {
  const entries = Object.entries(decodeSafetensors(bytes).tensors);
  return Object.fromEntries(entries.map(([name, { data }]) => [name, data as Float32Array]));
}

describe('a whole run', () => {
  let stage: Stage;
  let runId: string;
  let participants: Participant[];
  let summaries: JoinSummary[];
  let models: Params[];
  let run: RunDetail;
  let rounds: RoundDetail[];

  beforeAll(async () => {
    stage = await openStage();
    const { api, url } = stage;
    const spec = plainRun(3, { rounds: ROUNDS, evaluateEvery: 2 });
    const roles = { ada: 'source', Bo: 'source', cyd: 'source' } as const;
    const created = await createPlainRun(api, spec, roles);
    runId = created.id;
    participants = NAMES.map((name) =>
      participate({
        url,
        name,
        token: created.tokens[name],
        numExamples: EXAMPLES[name],
        // A held-out set of another size than the training set, and one site without any.
        ...(name !== 'Bo' && { evaluate: plainEvaluator(name, 3 * EXAMPLES[name]) }),
      }),
    );
    summaries = await Promise.all(participants.map(({ ended }) => ended));
    const versions = Array.from({ length: ROUNDS + 1 }, (_, version) => version);
    models = (await Promise.all(versions.map((version) => api.model(runId, version)))).map(
      paramsOf,
    );
    run = await api.run(runId);
    rounds = await Promise.all(versions.slice(1).map((round) => api.round(runId, round)));
  });
  afterAll(async () => {
    await dismissAll();
    await stage.close();
  });

  it('completes, and tells every client so', () => {
    expect(run).toMatchObject({ status: 'completed', reason: null, round: ROUNDS });
    for (const summary of summaries) {
      expect(summary).toMatchObject({ status: 'completed', runId, rounds: [1, 2, 3] });
    }
    expect(rounds.map(({ phase, attempt }) => [phase, attempt])).toEqual(
      rounds.map(() => ['closed', 1]),
    );
  });

  it('moves shared tensors by the exact fold, to the last bit', () => {
    const shared = ['kernel', 'bias', 'temperature'];
    for (let round = 1; round <= ROUNDS; round++) {
      const updates = contributionsOf(participants, round);
      for (const name of shared) {
        const before = models[round - 1][name];
        const expected = before.map((w, i) => foldExactly(w, name, i, updates));
        expect(Array.from(models[round][name]), `${name}, round ${round}`).toEqual(
          Array.from(expected),
        );
        expect(Array.from(expected)).not.toEqual(Array.from(before));
      }
    }
  });

  it('averages buffers by examples', () => {
    for (let round = 1; round <= ROUNDS; round++) {
      const updates = contributionsOf(participants, round);
      models[round - 1]['running-mean'].forEach((before, i) => {
        const sum = updates.reduce(
          (total, { numExamples, delta }) => total + numExamples * delta['running-mean'][i],
          0,
        );
        expect(models[round]['running-mean'][i]).toBeCloseTo(before + sum / TOTAL, 6);
        expect(models[round]['running-mean'][i]).not.toBe(before);
      });
    }
  });

  it('leaves frozen tensors alone, whatever clients did to them', () => {
    const changed = participants[0].calls[0].result.params.vocabulary;
    expect(Array.from(changed)).not.toEqual(Array.from(initialParams.vocabulary));
    for (const model of models) {
      expect(Array.from(model.vocabulary)).toEqual(Array.from(initialParams.vocabulary));
    }
  });

  it('gives every client the model that the round before committed', () => {
    for (const { calls } of participants) {
      for (const { round, model } of calls) {
        for (const { name } of plainTask.model.tensors) {
          expect(Array.from(model[name])).toEqual(Array.from(models[round - 1][name]));
        }
      }
    }
  });

  it('stores each receipt, and the weight that its update was given', () => {
    for (const { round, updates } of rounds) {
      const training = updates.filter(({ kind }) => kind === 'train');
      expect(training.map(({ clientId }) => clientId)).toEqual(NAMES);
      for (const update of training) {
        const summary = summaries.find(({ clientId }) => clientId === update.clientId)!;
        const receipt = summary.receipts.find((each) => each.round === round)!;
        expect(receipt).toMatchObject({ status: 'accepted', duplicate: false, runId });
        expect(update).toMatchObject({
          assignmentId: receipt.assignmentId,
          state: 'accepted',
          receipt: { status: 'accepted', sha256: receipt.sha256, code: null },
          numExamples: EXAMPLES[update.clientId],
          numSteps: 3,
          weight: EXAMPLES[update.clientId] / TOTAL,
        });
      }
    }
  });

  it('tells each client the weight of each of its updates', () => {
    for (const { log, name } of participants) {
      const told = log.of('weighed').map(({ weighed }) => [weighed.round, weighed.weight]);
      expect(told).toEqual([1, 2, 3].map((round) => [round, EXAMPLES[name] / TOTAL]));
    }
    expect(summaries[0].weights).toHaveLength(ROUNDS);
  });

  it('reports norm and metrics of each update as they were sent', () => {
    const { result, model } = participants[1].calls[0];
    let squares = 0;
    for (const { name, role } of plainTask.model.tensors) {
      if (role !== 'shared') continue;
      result.params[name].forEach((value, i) => {
        squares += Math.fround(value - model[name][i]) ** 2;
      });
    }
    const stored = rounds[0].updates.find(({ clientId }) => clientId === 'ada')!;
    expect(stored.norm).toBeCloseTo(Math.sqrt(squares), 12);
    expect(stored.metrics).toEqual(result.metrics);
  });

  it('evaluates every second round and the last, by site and pooled', async () => {
    expect(run.history.map(({ evaluation }) => evaluation?.version)).toEqual([undefined, 2, 3]);
    const evaluation = run.history[2].evaluation!;
    const expected: Record<string, { numExamples: number; metrics: Record<string, number> }> = {};
    let [sum, examples] = [0, 0];
    for (const name of ['ada', 'cyd']) {
      const numExamples = 3 * EXAMPLES[name];
      const report = await plainEvaluator(
        name,
        numExamples,
      )({
        task: plainTask,
        model: models[3],
        round: 3,
        signal: new AbortController().signal,
      });
      expected[name] = { numExamples, metrics: { error: report.sums.error / numExamples } };
      sum += report.sums.error;
      examples += numExamples;
    }
    expect(evaluation).toEqual({
      version: 3,
      numExamples: examples,
      pooled: { error: sum / examples },
      sites: expected,
    });
  });

  it('names every checkpoint by the hash of what it serves, immutable', async () => {
    const stored = await checkpointsOf(stage.database, runId);
    expect(run.history.map(({ checkpointSha256 }) => checkpointSha256)).toEqual(stored.slice(1));
    for (const [version, sha256] of stored.entries()) {
      const url = `${stage.url}/v1/runs/${runId}/checkpoints/${version}`;
      const headers = { authorization: `Bearer ${stage.coordinator.operatorToken}` };
      const response = await fetch(url, { headers });
      const body = Buffer.from(await response.arrayBuffer());
      expect(createHash('sha256').update(body).digest('hex')).toBe(sha256);
      expect(response.headers.get('cache-control')).toContain('immutable');
      const etag = response.headers.get('etag')!;
      const again = await fetch(url, { headers: { ...headers, 'if-none-match': etag } });
      expect(again.status).toBe(304);
    }
  });
});
