/** Questions to a target client's oracle: in time, late, wrong, and to nobody. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Question } from '../../protocol/messages.js';
import { runSpec } from '../../protocol/run.js';
import type { TensorInput } from '../../protocol/safetensors.js';
import { decodeSafetensors, encodeSafetensors } from '../../protocol/safetensors.js';
import { ClientOracles, combineOracles } from '../../server/adapters/client-oracle.js';
import type { OracleProvider, Presence } from '../../server/core/ports.js';
import type { Client, Run } from '../../server/core/records.js';
import { foldScale } from '../../server/core/kernels/fold.js';
import { VirtualClock } from '../support/virtual-clock.js';

const TIMEOUT_MS = 60_000;
const GRACE_MS = 5_000;

const target: Presence = {
  runId: 'r',
  id: 'hospital',
  role: 'target',
  trains: true,
  evaluates: false,
  oracleBatches: 3,
};
const stranger: Client = { runId: 'r', id: 'somebody', role: 'source' };

const run: Run = {
  id: 'r',
  spec: runSpec.parse({
    name: 'toy',
    task: {
      name: 'toy',
      model: {
        format: 'opaque',
        body: null,
        tensors: [
          { name: 'dense/kernel', shape: [3, 2] },
          { name: 'norm/mean', shape: [2], role: 'buffer' },
          { name: 'dense/bias', shape: [2] },
        ],
      },
      data: { features: { shape: [3] }, labels: { kind: 'class', classes: 2 } },
    },
    rule: { name: 'fedlaw' },
    rounds: 1,
    graceMs: GRACE_MS,
    init: { blob: '0'.repeat(64) },
    oracle: { kind: 'client', timeoutMs: TIMEOUT_MS },
  }),
  status: 'running',
  reason: null,
  fold: foldScale({ cohortMax: 4, weightMax: 1, deltaMax: 8 }),
  oracle: 'client',
  createdAt: 0,
};

const buffers = { 'norm/mean': Float32Array.of(9, 10), 'dense/bias': Float32Array.of(7, 7) };
const params = Float32Array.of(1, 2, 3, 4, 5, 6, -1, -2);

/** An answer as it should be, but for the changes; null leaves a tensor out. */
function answerFile(
  changes: Record<string, TensorInput | null> = {},
  metadata: Record<string, string> = { loss: '0.125' },
): Uint8Array {
  const tensors: Record<string, TensorInput> = {};
  const all: Record<string, TensorInput | null> = {
    // In another order than the task's: names count.
    'dense/bias': { shape: [2], data: Float32Array.of(7, 8) },
    'dense/kernel': { shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    ...changes,
  };
  for (const [name, tensor] of Object.entries(all)) if (tensor) tensors[name] = tensor;
  return encodeSafetensors(tensors, metadata);
}

let clock: VirtualClock;
const pass = (ms: number): void => clock.advanceTo(clock.now() + ms);
let present: Presence[];
let asked: { clientId: string; question: Question }[];
let oracles: ClientOracles;
beforeEach(() => {
  clock = new VirtualClock();
  present = [target];
  asked = [];
  oracles = new ClientOracles(
    {
      present: () => present,
      ask: (_runId, clientId, question) => asked.push({ clientId, question }),
    },
    clock,
  );
});

const open = () => oracles.provider.open(run, buffers);

describe('a question', () => {
  it('goes to the target, with the parameters and the buffers under the names of the task', async () => {
    const oracle = await open();
    expect(oracle.batches).toBe(3);
    const answer = oracle.lossAndGrad(params, 2);
    expect(asked).toHaveLength(1);
    const [{ clientId, question }] = asked;
    expect(clientId).toBe('hospital');
    expect(question).toMatchObject({ batch: 2, remainingMs: TIMEOUT_MS });
    expect(question.path).toBe(`/v1/questions/${question.id}/params`);

    const { tensors } = decodeSafetensors(oracles.params(target, question.id));
    expect(
      Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, [...data]])),
    ).toEqual({
      'dense/kernel': [1, 2, 3, 4, 5, 6],
      'dense/bias': [-1, -2],
      'norm/mean': [9, 10],
    });
    expect(oracles.answer(target, question.id, answerFile())).toBe(true);
    const { loss, grad } = await answer;
    expect(loss).toBe(0.125);
    expect([...grad]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(clock.pending).toBe(0);
  });

  it('is nobody else’s', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    const { id } = asked[0].question;
    for (const who of [stranger, { ...target, runId: 'another' }]) {
      expect(() => oracles.params(who, id)).toThrow(/was not asked/);
      expect(() => oracles.maxAnswerBytes(who, id)).toThrow(/was not asked/);
      expect(() => oracles.answer(who, id, answerFile())).toThrow(/was not asked/);
    }
    oracles.answer(target, id, answerFile());
    await answer;
  });

  it('takes one answer', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    const { id } = asked[0].question;
    oracles.answer(target, id, answerFile());
    expect(oracles.answer(target, id, answerFile({}, { loss: '9' }))).toBe(false);
    expect((await answer).loss).toBe(0.125);
    expect(() => oracles.params(target, id)).toThrow(/was not asked/);
  });

  it('bounds the length of its answer, with room for every honest one', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    const { id } = asked[0].question;
    expect(oracles.maxAnswerBytes(target, id)).toBeGreaterThan(answerFile().byteLength);
    expect(oracles.maxAnswerBytes(target, id)).toBeLessThan(1e6);
    oracles.answer(target, id, answerFile());
    await answer;
  });

  it('lapses at its deadline', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    pass(TIMEOUT_MS);
    await expect(answer).rejects.toMatchObject({
      code: 'rule_needs',
      message: expect.stringContaining('"hospital" did not answer in time') as string,
    });
    expect(oracles.answer(target, asked[0].question.id, answerFile())).toBe(false);
  });

  const wrong: [string, () => Uint8Array, string][] = [
    ['no safetensors', () => new Uint8Array(20), 'bad_safetensors'],
    ['no loss', () => answerFile({}, {}), 'bad_facts'],
    ['an empty loss', () => answerFile({}, { loss: ' ' }), 'bad_facts'],
    ['a loss that is not finite', () => answerFile({}, { loss: 'NaN' }), 'bad_facts'],
    ['a tensor too few', () => answerFile({ 'dense/bias': null }), 'wrong_tensors'],
    [
      'a tensor too many',
      () => answerFile({ x: { shape: [1], data: Float32Array.of(1) } }),
      'wrong_tensors',
    ],
    [
      'a gradient of the buffers',
      () => answerFile({ 'norm/mean': { shape: [2], data: Float32Array.of(1, 2) } }),
      'wrong_tensors',
    ],
    [
      'another shape',
      () => answerFile({ 'dense/bias': { shape: [1, 2], data: Float32Array.of(1, 2) } }),
      'wrong_shape',
    ],
    [
      'another dtype',
      () => answerFile({ 'dense/bias': { shape: [2], data: Float64Array.of(1, 2) } }),
      'wrong_dtype',
    ],
    [
      'a gradient that is not finite',
      () => answerFile({ 'dense/bias': { shape: [2], data: Float32Array.of(1, NaN) } }),
      'not_finite',
    ],
  ];
  it.each(wrong)(
    'answered with %s ends with the reason, for the rule and for the client',
    async (_what, file, code) => {
      const answer = (await open()).lossAndGrad(params, 0);
      const failed = expect(answer).rejects.toMatchObject({
        code: 'rule_needs',
        message: expect.stringContaining('"hospital" gave a wrong answer') as string,
      });
      expect(() => oracles.answer(target, asked[0].question.id, file())).toThrow(
        expect.objectContaining({ code }) as Error,
      );
      await failed;
    },
  );
});

describe('a target that goes away', () => {
  it('is asked again when it comes back', async () => {
    const answer = (await open()).lossAndGrad(params, 1);
    oracles.left(target);
    pass(GRACE_MS - 1);
    oracles.joined(target);
    expect(asked).toHaveLength(2);
    expect(asked[1].question).toMatchObject({
      id: asked[0].question.id,
      batch: 1,
      remainingMs: TIMEOUT_MS - GRACE_MS + 1,
    });
    pass(GRACE_MS);
    oracles.answer(target, asked[0].question.id, answerFile());
    expect((await answer).loss).toBe(0.125);
  });

  it('for good ends the question after its grace', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    oracles.left(target);
    pass(GRACE_MS);
    await expect(answer).rejects.toThrow(/"hospital" left and did not come back/);
  });

  it('before it was asked is waited for as long', async () => {
    const oracle = await open();
    present = [];
    const answer = oracle.lossAndGrad(params, 0);
    pass(GRACE_MS);
    await expect(answer).rejects.toThrow(/did not come back/);
  });

  it('is not mistaken for another that does', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    oracles.left(stranger);
    pass(GRACE_MS);
    oracles.answer(target, asked[0].question.id, answerFile());
    await answer;
  });
});

describe('an oracle without a target', () => {
  it('waits for one, as after a restart', async () => {
    present = [{ ...target, oracleBatches: 0 }];
    const opening = open();
    pass(1_000);
    present = [target];
    oracles.joined(target);
    expect((await opening).batches).toBe(3);
  });

  it('is refused after its timeout', async () => {
    present = [{ ...target, role: 'source' }];
    const opening = open();
    pass(TIMEOUT_MS);
    await expect(opening).rejects.toThrow(/no target client with an oracle is connected/);
  });
});

describe('stopping', () => {
  it('ends what is open without blaming the client, so that the round is taken up again', async () => {
    const answer = (await open()).lossAndGrad(params, 0);
    present = [];
    const opening = open();
    oracles.close();
    await expect(answer).rejects.toMatchObject({ code: 'storage_unavailable' });
    await expect(opening).rejects.toMatchObject({ code: 'storage_unavailable' });
    await expect(open()).rejects.toMatchObject({ code: 'storage_unavailable' });
    expect(clock.pending).toBe(0);
  });
});

describe('the oracle of a run', () => {
  const named = (name: string): OracleProvider => ({
    describe: () => name,
    open: () => Promise.reject(new Error(`${name} opened`)),
  });
  const check = () => Promise.reject(new Error('proxy checked'));
  const proxySpec = { kind: 'proxy' as const, data: '0'.repeat(64), batchSize: 1 };
  const proxyRun: Run = { ...run, spec: { ...run.spec, oracle: proxySpec } };

  it('is the one that its specification names', async () => {
    const both = combineOracles({ ...named('proxy'), check }, named('client'));
    expect([await both.describe(run), await both.describe(proxyRun)]).toEqual(['client', 'proxy']);
    await both.check?.(run);
    await expect(both.check?.(proxyRun)).rejects.toThrow('proxy checked');
    await expect(both.open(run, {})).rejects.toThrow('client opened');
    await expect(both.open(proxyRun, {})).rejects.toThrow('proxy opened');
  });
});
