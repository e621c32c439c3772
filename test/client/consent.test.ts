/** A site that looks before it trains, and may say no. */
import { describe, expect, it } from 'vitest';
import type { SitePolicy } from '../../client/policy.js';
import type { ReviewRequest } from '../../client/review.js';
import type { EvaluateFunction, TrainFunction } from '../../client/types.js';
import { trainingConfig } from '../../protocol/model.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import { UPDATE_METADATA, updateFacts } from '../../protocol/update.js';
import { plan } from './support/fake-coordinator.js';
import {
  clock,
  coordinator,
  finishRun,
  heldTraining,
  log,
  nowTrain,
  start,
  trained,
  until,
  useHarness,
} from './support/harness.js';

useHarness();

/** A review that says what it is told to, and shows what it was asked. */
function reviewing(...answers: (boolean | Error)[]) {
  const asked: ReviewRequest[] = [];
  const review = (request: ReviewRequest): boolean => {
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(request);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { asked, review };
}

const never: TrainFunction = () => expect.unreachable();

describe('a review', () => {
  it('is shown what would be run and what would leave, before the client is there', async () => {
    coordinator.plan = {
      ...plan,
      rule: { name: 'fedgp', options: { beta: 0.5 }, module: null },
      vectors: [{ name: 'batch', many: true }],
      metrics: ['loss'],
    };
    const { asked, review } = reviewing(true);
    void start({
      train: nowTrain,
      review: (request) => {
        expect(coordinator.hellos).toEqual([]);
        expect(coordinator.gets).toEqual(['/v1/me', '/v1/runs/r/plan', '/v1/runs/r/task']);
        return review(request);
      },
    });
    await log.nth('connected');
    expect(asked).toHaveLength(1);
    const [{ run, role, task, leaves, ...rest }] = asked;
    expect(run).toEqual({
      id: 'r',
      name: 'toy-run',
      rule: { name: 'fedgp', options: { beta: 0.5 }, module: null },
      rounds: 9,
      join: 'token',
      keepUpdates: false,
    });
    expect([role, task.name, rest.vectors, rest.neededMetrics]).toEqual([
      'target',
      'toy',
      ['batch'],
      ['loss'],
    ]);
    expect(rest.training).toEqual(plan.training);
    expect(leaves).toEqual({
      tensors: [
        { name: 'delta/dense/kernel', shape: [2, 2], bytes: 16 },
        { name: 'delta/dense/bias', shape: [2], bytes: 8 },
        { name: 'delta/norm/mean', shape: [2], bytes: 8 },
        { name: 'batch.*/dense/kernel', shape: [2, 2], bytes: 16 },
        { name: 'batch.*/dense/bias', shape: [2], bytes: 8 },
      ],
      bytes: 56,
      facts: ['numExamples', 'numSteps'],
      metrics: null,
      answers: false,
      clipNorm: null,
    });
  });

  it('is asked once for all rounds of the same', async () => {
    const { asked, review } = reviewing(true);
    void start({ train: nowTrain, review });
    await log.nth('connected');
    for (const n of [1, 2, 3]) {
      coordinator.emit('assignment', coordinator.assignment(`a${n}`, { round: n }));
      await log.nth('receipt', n);
    }
    expect(asked).toHaveLength(1);
    expect(log.of('reviewed')).toMatchObject([{ refusal: null }]);
  });

  it.each([
    ['other training', { training: trainingConfig.parse({ epochs: 50 }) }],
    ['other vectors', { vectors: ['fisher'] }],
  ])('is asked again before %s, which is not run where it says no', async (_, changes) => {
    const { asked, review } = reviewing(true, new Error('that is too much'));
    const summary = start({ train: never, review });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1', changes));
    expect(await summary).toMatchObject({ status: 'refused', reason: 'that is too much' });
    expect(asked).toHaveLength(2);
    expect(asked[1]).toMatchObject(changes);
    await until(() => coordinator.declines.length === 1);
    expect(coordinator.declines).toEqual([
      { assignmentId: 'a1', reason: 'refused by the site: that is too much' },
    ]);
    expect(coordinator.gets.filter((path) => path.includes('checkpoints'))).toEqual([]);
    expect(coordinator.arrivals).toEqual([]);
  });

  it.each<[string, boolean | Error, string]>([
    ['a no', false, 'the review did not agree'],
    ['a reason', new Error('not this model'), 'not this model'],
  ])('that answers with %s declines what is open, and ends', async (_, answer, reason) => {
    coordinator.open = [
      coordinator.assignment('a1'),
      coordinator.assignment('e', { kind: 'evaluate' }),
    ];
    const evaluate: EvaluateFunction = () => expect.unreachable();
    const summary = start({ train: never, evaluate, review: reviewing(answer).review });
    expect(await summary).toMatchObject({ status: 'refused', reason, clientId: 'anna' });
    await until(() => coordinator.connections === 0);
    expect(coordinator.declines).toEqual(
      ['a1', 'e'].map((assignmentId) => ({
        assignmentId,
        reason: `refused by the site: ${reason}`,
      })),
    );
    // As one that only watches: no round waits for it.
    expect(coordinator.hellos).toMatchObject([{ trains: false, evaluates: false }]);
    expect(clock.pending).toBe(0);
  });

  it('that says no ends where there is nothing to decline, too', async () => {
    expect(await start({ train: never, review: () => false })).toMatchObject({ status: 'refused' });
  });

  it('that says no does not wait for ever for a coordinator to tell', async () => {
    coordinator.onConnect = () => 'standby';
    const summary = start({ train: never, review: () => false });
    expect(await summary).toMatchObject({ status: 'refused', clientId: null });
  });

  it('holds the lease while it thinks, and is not asked for what is over meanwhile', async () => {
    let decide: (answer: boolean) => void = () => undefined;
    let asked = 0;
    const review = () => ++asked === 1 || new Promise<boolean>((resolve) => (decide = resolve));
    const { train, requests } = heldTraining();
    void start({ train, review });
    await log.nth('connected');
    const training = trainingConfig.parse({ epochs: 3 });
    coordinator.emit('assignment', coordinator.assignment('a1', { training }));
    await until(() => asked === 2);
    clock.advance(10_000);
    await until(() => coordinator.heartbeats.length === 1);
    coordinator.emit('closed', { assignmentId: 'a1', reason: 'deadline' });
    await log.nth('closed');
    decide(true);
    coordinator.emit('assignment', coordinator.assignment('a2', { training, round: 5 }));
    await until(() => requests.length === 1);
    expect([asked, requests[0].round]).toEqual([2, 5]);
  });
});

/** Trains once under a policy; what arrived of the update. */
async function updateUnder(policy: SitePolicy, train: TrainFunction = nowTrain) {
  coordinator.open = [coordinator.assignment('a1')];
  void start({ train, policy });
  await log.nth('receipt');
  const { tensors, metadata } = decodeSafetensors(coordinator.arrivals[0].body);
  const facts = updateFacts.parse(JSON.parse(metadata[UPDATE_METADATA] ?? ''));
  return { tensors, facts };
}

describe('a policy', () => {
  it.each<[string, SitePolicy, RegExp]>([
    ['another model', { models: ['0'.repeat(64), 'digits'] }, /^the model of task "toy" \(sha256 /],
    ['too many rounds', { maxRounds: 8 }, /^9 rounds are more than 8$/],
    ['too large an update', { maxBytes: 31 }, /^an update of 32 bytes is larger than 31$/],
    ['a metric that may not leave', { metrics: ['accuracy'] }, /^the rule needs the metric "loss"/],
  ])('refuses a run with %s', async (_, policy, reason) => {
    coordinator.plan = { ...plan, metrics: ['loss'] };
    const summary = await start({ train: never, policy });
    expect(summary.status).toBe('refused');
    expect(summary.reason).toMatch(reason);
    expect(coordinator.gets.filter((path) => path.includes('checkpoints'))).toEqual([]);
  });

  it('refuses to clip what clipping would falsify', async () => {
    coordinator.plan = { ...plan, vectors: [{ name: 'control', many: false }] };
    const { reason } = await start({ train: never, policy: { clipNorm: 1 } });
    expect(reason).toBe('"clipNorm" cannot be kept: the rule asks for the vectors control');
  });

  it('takes a model by its hash, as the review shows it', async () => {
    const { asked, review } = reviewing(false);
    await start({ train: never, review });
    const models = [asked[0].modelSha256];
    const { facts } = await updateUnder({ models, maxRounds: 9, minExamples: 10, maxBytes: 4096 });
    expect(facts.numExamples).toBe(10);
  });

  it('refuses a round beyond those that it was told of', async () => {
    const summary = start({ train: never, policy: { maxRounds: 9 } });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1', { round: 10 }));
    expect(await summary).toMatchObject({
      status: 'refused',
      reason: '10 rounds are more than 9',
    });
  });

  it('gives a round back where the update would speak of too few, and takes part in the next', async () => {
    let numExamples = 4;
    const train: TrainFunction = (request) => Promise.resolve({ ...trained(request), numExamples });
    const summary = start({ train, policy: { minExamples: 5 } });
    await log.nth('connected');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await until(() => coordinator.declines.length === 1);
    // Not how many: so few may be told apart.
    expect(coordinator.declines[0].reason).toBe(
      'refused by the site: it would speak of fewer than 5 examples',
    );
    numExamples = 5;
    coordinator.emit('assignment', coordinator.assignment('a2', { round: 5 }));
    await log.nth('receipt');
    finishRun();
    expect(await summary).toMatchObject({
      status: 'completed',
      receipts: [{ assignmentId: 'a2' }],
    });
  });

  it('holds back an evaluation of too few examples', async () => {
    const evaluate: EvaluateFunction = () => Promise.resolve({ numExamples: 1, sums: { loss: 2 } });
    coordinator.open = [coordinator.assignment('e', { kind: 'evaluate' })];
    void start({ evaluate, policy: { minExamples: 5 } });
    await until(() => coordinator.declines.length === 1);
    expect(coordinator.declines[0].reason).toMatch(/^refused by the site: .*fewer than 5/);
    expect(coordinator.arrivals).toEqual([]);
  });

  it('holds back an update that no scale would shorten', async () => {
    const train: TrainFunction = ({ model }) => {
      const params = { ...model, 'dense/bias': Float32Array.of(NaN, 1000) };
      return Promise.resolve({ params, numExamples: 10 });
    };
    coordinator.open = [coordinator.assignment('a1')];
    void start({ train, policy: { clipNorm: 0.3 } });
    await until(() => coordinator.declines.length === 1);
    expect(coordinator.declines[0].reason).toContain('not a number');
    expect(coordinator.arrivals).toEqual([]);
  });

  it('scales a long update to its norm, and says so', async () => {
    // The delta is 1 in the first place of each of three tensors: its norm is the root of 3.
    const { tensors } = await updateUnder({ clipNorm: 0.3 });
    const each = Math.fround(0.3 / Math.sqrt(3));
    expect(tensors['delta/dense/kernel'].data).toEqual(Float32Array.of(each, 0, 0, 0));
    expect(tensors['delta/dense/bias'].data).toEqual(Float32Array.of(each, 0));
    expect(tensors['delta/norm/mean'].data).toEqual(Float32Array.of(each, 0));
    const { clipped } = await log.nth('sending');
    expect(clipped).toEqual({ norm: Math.sqrt(3), to: 0.3 });
  });

  it('leaves a short update as it is, bit by bit', async () => {
    const { tensors } = await updateUnder({ clipNorm: 1.75 });
    expect(tensors['delta/dense/bias'].data).toEqual(Float32Array.of(1, 0));
    expect((await log.nth('sending')).clipped).toBeNull();
  });

  it('keeps metrics back: of updates, of progress and of evaluations', async () => {
    const uploadPath = '/v1/assignments/e/evaluation';
    coordinator.answers = [
      (arrival) => arrival.response.json({ taken: true }),
      ...coordinator.answers,
    ];
    coordinator.open = [coordinator.assignment('e', { kind: 'evaluate', uploadPath })];
    void start({
      policy: { metrics: ['accuracy'] },
      evaluate: () => Promise.resolve({ numExamples: 5, sums: { loss: 1.5, accuracy: 4 } }),
      train: (request) => {
        request.progress({ fraction: 0.5, loss: 2 });
        const metrics = { loss: 2, lossBefore: 3, accuracy: 0.5 };
        return Promise.resolve({ ...trained(request), metrics });
      },
    });
    await log.nth('evaluated');
    coordinator.emit('assignment', coordinator.assignment('a1'));
    await log.nth('receipt');
    const [evaluation, update] = coordinator.arrivals;
    expect(JSON.parse(new TextDecoder().decode(evaluation.body))).toEqual({
      numExamples: 5,
      sums: { accuracy: 4 },
    });
    const { metadata } = decodeSafetensors(update.body);
    expect(JSON.parse(metadata[UPDATE_METADATA] ?? '')).toMatchObject({
      metrics: { accuracy: 0.5 },
    });
    expect(coordinator.progresses).toEqual([{ assignmentId: 'a1', fraction: 0.5 }]);
  });

  const question = {
    id: 'q1',
    path: '/v1/questions/q1/params',
    sha256: '0'.repeat(64),
    batch: 0,
    answerPath: '/v1/questions/q1/answer',
    remainingMs: 1000,
  };

  it('answers no question that the plan did not speak of', async () => {
    const oracle = { batches: 1, open: () => expect.unreachable() };
    void start({ oracle, policy: { maxRounds: 100 } });
    await log.nth('connected');
    coordinator.emit('question', question);
    expect((await log.nth('problem')).error.message).toContain('its plan did not say so');
    expect(coordinator.gets).not.toContain(question.path);
  });

  it('answers no question about another run', async () => {
    coordinator.plan = { ...plan, answers: true };
    coordinator.onHello = (socket) => {
      socket.emit('question', question);
      return undefined;
    };
    coordinator.runId = 'other';
    const oracle = { batches: 1, open: () => expect.unreachable() };
    void start({ oracle, policy: { maxRounds: 100 } });
    expect((await log.nth('problem')).error.message).toContain('of run "other", and not of "r"');
    expect(coordinator.gets).not.toContain(question.path);
  });

  it('that is none is refused, with the field that is wrong', async () => {
    const policy = { minExamples: 0 };
    await expect(start({ policy })).rejects.toThrow(/^policy: minExamples: /);
  });
});
