/**
 * SCAFFOLD over real HTTP, real sockets and a real database, held against the algorithm written here
 * in float64: with uploads that come twice, a client that is started again, and a coordinator that is.
 */
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initialParams, modelSpecOf } from '../../client/tfjs/model.js';
import { prepareBackend } from '../../client/tfjs/backend.js';
import { encodeParams } from '../../client/params.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { ClientStorage, Params, TrainFunction } from '../../client/types.js';
import { encodeUpdate } from '../../client/update.js';
import type { Task } from '../../protocol/model.js';
import { task as taskSchema, trainingConfig } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { SHA256_HEADER } from '../../protocol/http.js';
import { createCoordinator } from '../../server/app.js';
import type { Coordinator } from '../../server/app.js';
import { connectApi } from '../../server/cli/api.js';
import fixture from '../fixtures/rules/drift.json' with { type: 'json' };
import { checkpointsOf } from '../support/database.js';
import type { Participant } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { simulateRun } from '../support/simulated-run.js';
import type { Stage } from '../support/stage.js';
import { OPERATOR_TOKEN, openStage } from '../support/stage.js';
import { sha256 } from './support/coordinator.js';

const NAMES = ['a', 'b', 'c'] as const;
const [ROUNDS, STEPS, RATE, DECAY] = [3, 4, 0.125, 0.5];

type Name = (typeof NAMES)[number];

function trainerOf(name: Name): TrainFunction {
  const { x, y } = fixture.clients[name];
  const features = Float32Array.from(x.flat());
  return tfjsTrainer({ data: { features, labels: Float32Array.from(y), size: y.length } });
}

/** Of mean (x w + bias - y)^2. */
function gradient(w: readonly number[], name: Name): number[] {
  const { x, y } = fixture.clients[name];
  const errors = x.map((row, n) => w[0] * row[0] + w[1] * row[1] + w[2] - y[n]);
  return w.map((_, i) =>
    errors.reduce((sum, error, n) => sum + (2 * error * (x[n][i] ?? 1)) / y.length, 0),
  );
}

/** Karimireddy et al., algorithm 1, option II: model and control variate after each round. */
function scaffold(start: readonly number[]): { model: number[]; control: number[] }[] {
  let [w, c] = [[...start], [0, 0, 0]];
  const own: Record<Name, number[]> = { a: [0, 0, 0], b: [0, 0, 0], c: [0, 0, 0] };
  return Array.from({ length: ROUNDS }, (_, round) => {
    const rate = RATE * DECAY ** round;
    const trained = NAMES.map((name) => {
      let y = w;
      for (let step = 0; step < STEPS; step++) {
        const g = gradient(y, name);
        y = y.map((value, i) => value - rate * (g[i] - own[name][i] + c[i]));
      }
      return y;
    });
    const changes = NAMES.map((name, n) => {
      const after = own[name].map((ci, i) => ci - c[i] + (w[i] - trained[n][i]) / (STEPS * rate));
      const change = after.map((value, i) => value - own[name][i]);
      own[name] = after;
      return change;
    });
    const mean = (vectors: readonly number[][], i: number): number =>
      vectors.reduce((sum, vector) => sum + vector[i] / NAMES.length, 0);
    c = c.map((value, i) => value + mean(changes, i));
    w = w.map((_value, i) => mean(trained, i));
    return { model: w, control: c };
  });
}

function flatOf(file: Uint8Array, prefix = ''): number[] {
  const { tensors } = decodeSafetensors(file);
  const names = ['dense/kernel', 'dense/bias'];
  return names.flatMap((name) => [...(tensors[`${prefix}${name}`].data as Float32Array)]);
}

function memory(): ClientStorage {
  const files = new Map<string, Uint8Array>();
  return {
    load: (key) => Promise.resolve(files.get(key) ?? null),
    save: (key, bytes) => Promise.resolve(void files.set(key, bytes)),
    remove: (key) => Promise.resolve(void files.delete(key)),
  };
}

/** Opens by hand. */
class Gate {
  open!: () => void;
  readonly passed = new Promise<void>((resolve) => (this.open = resolve));
}

describe('a run of SCAFFOLD', () => {
  let stage: Stage;
  let second: Coordinator;
  let task: Task;
  let start: Params;
  let spec: Omit<RunSpecInput, 'init'>;
  let runId: string;
  let tokens: Record<Name, string>;
  const found: Record<string, { status: number; body: unknown }> = {};

  const get = (path: string, token: string, headers: Record<string, string> = {}) =>
    fetch(`${stage.url}${path}`, { headers: { authorization: `Bearer ${token}`, ...headers } });

  /** The update that a client sent for a round, sent once more. */
  async function sendAgain(who: Participant, name: Name, round: number): Promise<void> {
    const { id } = who.log.of('assigned').find(({ work }) => work.round === round)!.work;
    const { model, result } = who.calls.find((call) => call.round === round)!;
    const asked = { id, vectors: ['control'], training: trainingConfig.parse({}) };
    const update = encodeUpdate(asked, task.model.tensors, model, result);
    const response = await fetch(`${stage.url}/v1/assignments/${id}/update`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${tokens[name]}`, [SHA256_HEADER]: sha256(update) },
      body: update,
    });
    found[`again ${round}`] = { status: response.status, body: await response.json() };
  }

  beforeAll(async () => {
    await prepareBackend('wasm');
    const model = sequential({
      layers: [layers.dense({ name: 'dense', inputShape: [2], units: 1 })],
    });
    task = taskSchema.parse({
      name: 'line',
      model: await modelSpecOf(model),
      data: { features: { shape: [2] }, labels: { kind: 'value' } },
      loss: 'meanSquaredError',
      metrics: [],
    });
    model.dispose();
    start = await initialParams(task.model, 3);
    spec = {
      ...{ name: 'steered', task, rule: { name: 'scaffold' }, seed: 5, rounds: ROUNDS },
      // What was sent down in earlier rounds is looked at afterwards.
      keepUpdates: true,
      training: { steps: STEPS, learningRate: RATE, learningRateDecay: DECAY, batchSize: 8 },
      cohort: { size: 3, waitMs: 120_000 },
      quorum: { min: 3, share: 1 },
      graceMs: 120_000,
      evaluateEvery: 0,
    };

    stage = await openStage();
    const { api, url } = stage;
    const blob = await api.putBlob(encodeParams(task.model, start));
    const run = await api.createRun({ ...spec, init: { blob } });
    runId = run.id;
    const enrolled = await Promise.all(
      NAMES.map(async (name) => [name, (await api.enrol(runId, name, 'source')).token] as const),
    );
    tokens = Object.fromEntries(enrolled) as Record<Name, string>;

    const gate = new Gate();
    const storage = memory();
    const join = (name: Name, more: Partial<Parameters<typeof participate>[0]> = {}) =>
      participate({ url, name, token: tokens[name], train: trainerOf(name), ...more });
    const a = join('a');
    const b = join('b', { storage });
    const c = join('c', { hold: (round) => (round === 2 ? gate.passed : undefined) });

    // b goes as soon as it has its receipt, mostly before it hears of its weight, and comes back.
    await b.receipt(1);
    await b.leave();
    const again = join('b', { storage });

    await Promise.all([a.receipt(2), again.receipt(2), c.training(2)]);
    await sendAgain(a, 'a', 1);
    await sendAgain(a, 'a', 2);
    await stage.coordinator.close();
    second = await createCoordinator({
      databaseUrl: stage.databaseUrl,
      dataDir: stage.dataDir,
      port: Number(new URL(url).port),
      operatorToken: OPERATOR_TOKEN,
      logLevel: 'silent',
    });
    gate.open();
    await Promise.all([a, again, c].map(({ ended }) => ended));
  });
  afterAll(async () => {
    await dismissAll();
    await second.close();
    await stage.close();
  });

  it('gives the models and control variates of the paper', async () => {
    const expected = scaffold([...start['dense/kernel'], ...start['dense/bias']]);
    const api = connectApi(stage.url, OPERATOR_TOKEN);
    for (const [i, { model, control }] of expected.entries()) {
      const got = flatOf(await api.model(runId, i + 1));
      model.forEach((value, n) => expect(got[n]).toBeCloseTo(value, 5));
      const response = await get(`/v1/runs/${runId}/checkpoints/${i + 1}/broadcast`, tokens.a);
      const sent = flatOf(new Uint8Array(await response.arrayBuffer()), 'control/');
      control.forEach((value, n) => expect(sent[n]).toBeCloseTo(value, 5));
    }
  });

  it('took no notice of updates that came again', () => {
    for (const round of [1, 2]) {
      expect(found[`again ${round}`]).toMatchObject({
        status: 200,
        body: { receipt: { status: 'accepted', duplicate: true, round } },
      });
    }
  });

  it('gives the same bits as in one process, whatever order updates arrive in', async () => {
    const network = await checkpointsOf(stage.database, runId);
    expect(network).toHaveLength(ROUNDS + 1);
    for (const order of [undefined, (ids: readonly string[]) => [...ids].reverse()]) {
      const { status, checkpoints } = await simulateRun({
        spec,
        init: encodeParams(task.model, start),
        players: NAMES.map((name) => ({ name, role: 'source', train: trainerOf(name) })),
        ...(order && { order }),
      });
      expect(status).toBe('completed');
      expect(checkpoints.map((checkpoint) => checkpoint.sha256)).toEqual(network);
    }
  });

  it('hands the broadcast out as it does checkpoints', async () => {
    const path = `/v1/runs/${runId}/checkpoints/2/broadcast`;
    const response = await get(path, tokens.b);
    expect(response.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
    const etag = response.headers.get('etag')!;
    expect(etag).toBe(`"${sha256(new Uint8Array(await response.arrayBuffer()))}"`);
    expect((await get(path, tokens.b, { 'if-none-match': etag })).status).toBe(304);
    expect((await get(path, 'a-token-of-nobody')).status).toBe(401);
    const none = await get(`/v1/runs/${runId}/checkpoints/0/broadcast`, tokens.b);
    expect(none.status).toBe(404);
    expect(await none.json()).toMatchObject({
      error: { code: 'not_found', message: expect.stringContaining('nothing down') as string },
    });
  });

  it('tells a client the weight of its own updates, and of no others', async () => {
    const rows = await stage.database.query<{ id: string; client_id: string; sha256: string }>(
      `SELECT id, client_id, sha256 FROM assignments JOIN updates ON id = assignment_id
       WHERE assignments.run_id = $1 AND round = 2 AND kind = 'train'`,
      runId,
    );
    const own = rows.find((row) => row.client_id === 'a')!;
    const given = await get(`/v1/assignments/${own.id}/weight`, tokens.a);
    expect(await given.json()).toEqual({ weight: 1 / 3, sha256: own.sha256 });
    const other = await get(`/v1/assignments/${own.id}/weight`, tokens.b);
    expect(await other.json()).toMatchObject({ error: { code: 'assignment_unknown' } });
  });
});
