/** Rules and oracles that fail: the round ends with the reason, and never the process. */
import { afterEach, describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import type { OracleProvider } from '../../server/core/ports.js';
import { nothing, ODD_RULE, register } from './support/odd-rule.js';
import { World } from './support/world.js';

type OddRule = Parameters<typeof register>[0];

let unregister: () => void = () => undefined;
afterEach(() => {
  unregister();
});

const clients = { ada: 'source', constructor: 'source' } as const;
const spec = { rounds: 2, retries: 1, rule: { name: ODD_RULE }, evaluateEvery: 0 };

async function play(rule: OddRule, oracles?: OracleProvider, more = {}): Promise<World> {
  unregister = register(rule);
  const world = await World.create({
    spec: { ...spec, ...more },
    clients,
    ...(oracles && { oracles }),
  });
  await world.open();
  await world.play();
  return world;
}

/** Abandoned, tried again after a second, and failed for good with the same reason. */
async function expectFailure(world: World, reason: string): Promise<void> {
  expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 abandoned']);
  expect(await world.store.run(world.run.id)).toMatchObject({
    status: 'failed',
    reason: expect.stringContaining(reason) as string,
  });
  expect(await world.leftovers()).toEqual([]);
  for (const { heard } of world.players.values()) {
    expect(heard.at(-1)).toMatchObject({ status: 'failed' });
    expect(heard.at(-1)?.reason).toContain(reason);
  }
  const ledger = await world.ledger();
  expect(ledger.slice(-2)).toEqual(['round-abandoned', 'run-failed']);
  expect(world.clock.pending).toBe(0);
}

const bug = (): never => {
  throw new TypeError('x is not a function');
};

describe('a rule that fails', () => {
  it.each<[string, OddRule, string]>([
    ['throws when it begins', { begin: bug }, 'x is not a function'],
    ['throws at an update', { accumulate: bug }, 'x is not a function'],
    ['rejects at an update', { accumulate: () => Promise.reject(new Error('no')) }, 'no'],
    ['throws at the end', { finish: bug }, 'x is not a function'],
    [
      'throws something that is no error',
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as a bad rule may
      { finish: () => Promise.reject('a text') },
      'a text',
    ],
    [
      'reads what no update has',
      { accumulate: (_, update) => update.read('momentum', 0, 1).then(() => undefined) },
      'momentum',
    ],
    [
      'gives a model that is no number',
      {
        finish: (acc, { model }) =>
          Promise.resolve({
            ...nothing(acc, model.length),
            delta: new Float64Array(model.length).fill(NaN),
          }),
      },
      'NaN',
    ],
    [
      'gives a delta of another size',
      { finish: (acc) => Promise.resolve(nothing(acc, 1)) },
      'elements',
    ],
    [
      'gives a weight that cannot be stored',
      {
        finish: (acc, { model }) =>
          Promise.resolve({ ...nothing(acc, model.length), weights: { ada: NaN } }),
      },
      'NaN',
    ],
    [
      'gives a table that cannot be stored',
      {
        finish: (acc, { model }) =>
          Promise.resolve({ ...nothing(acc, model.length), matrices: { gram: [[Infinity]] } }),
      },
      'Infinity',
    ],
  ])('that %s ends the round with that reason, and the run after its retries', async (...row) => {
    await expectFailure(await play(row[1]), row[2]);
  });

  it('that fails once costs one attempt', async () => {
    let failures = 0;
    const world = await play({
      begin: () => {
        if (failures++ === 0) throw new Error('just once');
        return [];
      },
    });
    expect(await world.phases()).toEqual(['1.1 abandoned', '1.2 closed', '2.1 closed']);
  });

  it('that gives a client no weight gives it none, whatever the client is called', async () => {
    const world = await play({
      finish: (acc, { model }) =>
        Promise.resolve({ ...nothing(acc, model.length), weights: { ada: 1 } }),
    });
    expect(await world.outcomes()).toEqual([
      '1.1 train ada accepted 1',
      '1.1 train constructor accepted 0',
      '2.1 train ada accepted 1',
      '2.1 train constructor accepted 0',
    ]);
  });

  it('leaves out numbers that are not worth plotting', async () => {
    const diagnostics = { gamma: 0.5, ratio: NaN };
    const world = await play({
      finish: (acc, { model }) => Promise.resolve({ ...nothing(acc, model.length), diagnostics }),
    });
    const [round] = await world.store.rounds(world.run.id);
    expect(round.diagnostics).toMatchObject({ gamma: 0.5 });
    expect(round.diagnostics).not.toHaveProperty('ratio');
  });
});

describe('an oracle that fails', () => {
  const asking: OddRule = {
    needs: { oracle: true },
    finish: async (acc, { model, oracle }) => {
      await oracle!.lossAndGrad(model, 0);
      return nothing(acc, model.length);
    },
  };
  const oracleSpec = { oracle: { kind: 'client' as const } };
  const describeOracle = (): string => 'test oracle';
  const fine = { batches: 1, close: () => Promise.resolve() };
  const broken = new TributaryError('rule_needs', 'the oracle was not answered');

  it.each<[string, OracleProvider]>([
    ['to open', { describe: describeOracle, open: () => Promise.reject(broken) }],
    [
      'to answer',
      {
        describe: describeOracle,
        open: () => Promise.resolve({ ...fine, lossAndGrad: () => Promise.reject(broken) }),
      },
    ],
  ])('%s ends the round with that reason', async (_, oracles) => {
    await expectFailure(await play(asking, oracles, oracleSpec), 'was not answered');
  });

  it('because a coordinator stops leaves the round as it is', async () => {
    let asked = 0;
    const answering = {
      ...fine,
      lossAndGrad: () => Promise.resolve({ loss: 1, grad: new Float32Array(1) }),
    };
    const open: OracleProvider['open'] = () =>
      ++asked <= 3
        ? Promise.reject(new TributaryError('storage_unavailable', 'the coordinator is stopping'))
        : Promise.resolve(answering);
    const world = await play(asking, { describe: describeOracle, open }, oracleSpec);
    expect(await world.phases()).toEqual(['1.1 closed', '2.1 closed']);
    expect(asked).toBe(5);
  });
});
