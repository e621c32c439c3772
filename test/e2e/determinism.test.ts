/**
 * With a quorum of all, the same seed gives the same bits: twice, with clients that arrive in another
 * order, in memory as over the network.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeDataset } from '../../client/data/load.js';
import { initialParams as initialTfjsParams } from '../../client/tfjs/model.js';
import { encodeParams } from '../../client/params.js';
import { tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { RunSpecInput } from '../../protocol/run.js';
import { randomStream, shuffled } from '../../server/core/random.js';
import type { ArrivalOrder } from '../../server/simulation/schedule.js';
import { checkpointsOf } from '../support/database.js';
import { Gate } from '../support/gate.js';
import type { Participant } from '../support/participant.js';
import { dismissAll, participate } from '../support/participant.js';
import { initialModel, plainRun, plainTrainer } from '../support/plain-task.js';
import type { SimulatedOutcome, SimulatedPlayer } from '../support/simulated-run.js';
import { simulateRun } from '../support/simulated-run.js';
import type { Stage } from '../support/stage.js';
import { createPlainRun, openStage } from '../support/stage.js';
import { tinyData, tinyTask } from '../support/tiny-task.js';

/** By name, what each reports; `dot` is the target of the rules that have one. */
const EXAMPLES: Readonly<Record<string, number>> = { ada: 31, Bo: 7, cyd: 120, dot: 16 };
const ROUNDS = 3;

const reversed: ArrivalOrder = (ids) => [...ids].reverse();
const mixed: ArrivalOrder = (ids, round) => shuffled(ids, randomStream('arrival', round));

/** Runs plainly, once more, and in other orders of arrival and enrolment. */
async function expectSameBits(
  play: (order?: ArrivalOrder, backwards?: boolean) => Promise<SimulatedOutcome>,
): Promise<void> {
  const plain = await play();
  expect(plain.status).toBe('completed');
  expect(plain.checkpoints).toHaveLength(ROUNDS + 1);
  expect(new Set(plain.checkpoints.map(({ sha256 }) => sha256)).size).toBe(ROUNDS + 1);
  expect((await play()).checkpoints).toEqual(plain.checkpoints);
  for (const [order, backwards] of [
    [reversed, false],
    [mixed, false],
    [mixed, true],
  ] as const) {
    const other = await play(order, backwards);
    // Else the order would have had no chance to matter.
    expect(other.arrivals).not.toEqual(plain.arrivals);
    expect([...other.arrivals].sort()).toEqual([...plain.arrivals].sort());
    expect(other.checkpoints).toEqual(plain.checkpoints);
  }
}

type Choice = Pick<RunSpecInput, 'rule' | 'optimizer'>;

function playPlain(choice: Choice, order?: ArrivalOrder, backwards = false, seed = 5) {
  const names = Object.keys(EXAMPLES);
  const players = names.map((name): SimulatedPlayer => {
    const role = name === 'dot' ? 'target' : 'source';
    return { name, role, train: plainTrainer(name, EXAMPLES[name]) };
  });
  return simulateRun({
    spec: plainRun(names.length, { ...choice, rounds: ROUNDS, seed }),
    init: initialModel,
    players: backwards ? players.reverse() : players,
    ...(order && { order }),
  });
}

describe('the same seed in memory', () => {
  const choices: Choice[] = [
    { rule: { name: 'fedavg' } },
    { rule: { name: 'fedavg' }, optimizer: { name: 'momentum', options: { beta: 0.7 } } },
    { rule: { name: 'fedavg' }, optimizer: { name: 'adam', options: { eta: 0.05 } } },
    { rule: { name: 'uniform' }, optimizer: { name: 'adam' } },
    { rule: { name: 'fedda', options: { beta: 0.3, align: 'learningRate' } } },
    { rule: { name: 'fedgp', options: { beta: 0.4 } } },
    { rule: { name: 'fedgp', options: { beta: 'auto', granularity: 'model' } } },
    { rule: { name: 'fedgp', options: { beta: 'auto' } }, optimizer: { name: 'momentum' } },
  ];

  it.each(choices)('gives the same checkpoints under %j', async (choice) => {
    await expectSameBits((order, backwards) => playPlain(choice, order, backwards));
  });

  it('gives other checkpoints for another seed', async () => {
    const rule = { name: 'fedavg' };
    const [one, other] = [
      await playPlain({ rule }),
      await playPlain({ rule }, undefined, false, 6),
    ];
    expect(other.checkpoints[0]).toEqual(one.checkpoints[0]);
    expect(other.checkpoints[1]).not.toEqual(one.checkpoints[1]);
  });

  it('gives the same checkpoints under fedlaw, with TF.js in clients and oracle', async () => {
    const task = await tinyTask();
    const init = encodeParams(task.model, await initialTfjsParams(task.model, 4));
    const names = ['ada', 'Bo', 'cyd'];
    await expectSameBits((order, backwards = false) => {
      const players = names.map((name, k): SimulatedPlayer => {
        const train = tfjsTrainer({ data: tinyData(name, 20 + 15 * k) });
        return { name, role: 'source', train };
      });
      return simulateRun({
        spec: {
          ...plainRun(names.length, { rounds: ROUNDS }),
          task,
          rule: { name: 'fedlaw', options: { epochs: 5, learningRate: 0.05 } },
          training: { batchSize: 8, learningRate: 0.2, momentum: 0.5 },
        },
        init,
        proxy: encodeDataset(tinyData('proxy', 40)),
        players: backwards ? players.reverse() : players,
        ...(order && { order }),
      });
    });
  });
});

describe('the same seed over HTTP and Postgres', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage();
  });
  afterEach(dismissAll);
  afterAll(() => stage.close());

  const choice: Choice = {
    rule: { name: 'fedgp', options: { beta: 'auto' } },
    optimizer: { name: 'adam', options: { eta: 0.05 } },
  };

  /** Clients join in the order given, and hand in one after the other in it. */
  async function play(arriving: readonly string[]): Promise<string[]> {
    const { api, url, database } = stage;
    const spec = plainRun(arriving.length, { ...choice, rounds: ROUNDS, seed: 5 });
    const run = await createPlainRun(api, spec, {
      ...{ ada: 'source', Bo: 'source', cyd: 'source', dot: 'target' },
    });
    const gates = new Map<string, Gate>();
    const gateOf = (name: string, round: number): Gate => {
      const key = `${round} ${name}`;
      const gate = gates.get(key) ?? new Gate();
      gates.set(key, gate);
      return gate;
    };
    const participants: Participant[] = [];
    for (const name of arriving) {
      const participant = participate({
        ...{ url, name, token: run.tokens[name], numExamples: EXAMPLES[name] },
        hold: (round) => gateOf(name, round).pass(),
      });
      participants.push(participant);
      await participant.log.nth('connected');
    }
    for (let round = 1; round <= ROUNDS; round++) {
      for (const participant of participants) {
        gateOf(participant.name, round).open();
        expect(await participant.receipt(round)).toMatchObject({ status: 'accepted' });
      }
    }
    const summaries = await Promise.all(participants.map(({ ended }) => ended));
    expect(summaries.map(({ status }) => status)).toEqual(arriving.map(() => 'completed'));
    const order = await database.query<{ client_id: string }>(
      `SELECT client_id FROM receipts WHERE run_id = $1 ORDER BY round, received_at`,
      run.id,
    );
    expect(order.map((row) => row.client_id)).toEqual(
      Array.from({ length: ROUNDS }, () => arriving).flat(),
    );
    return checkpointsOf(database, run.id);
  }

  it('gives the same checkpoints in another order of arrival, and those of the memory run', async () => {
    const one = await play(['ada', 'Bo', 'cyd', 'dot']);
    const other = await play(['dot', 'cyd', 'ada', 'Bo']);
    expect(one).toHaveLength(ROUNDS + 1);
    expect(other).toEqual(one);
    const simulated = await playPlain(choice);
    expect(simulated.checkpoints.map(({ sha256 }) => sha256)).toEqual(one);
  });
});
