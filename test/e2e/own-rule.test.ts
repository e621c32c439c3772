/**
 * Runs with rules from files, from the run file to the model: real doors, real clients. Every expected
 * model is worked out by hand.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { TrainFunction } from '../../client/types.js';
import type { RunDetail } from '../../protocol/http.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import type { CoordinatorOptions } from '../../server/settings.js';
import { connectApi } from '../../server/cli/api.js';
import { loadRunFile } from '../../server/cli/run-file.js';
import { shown } from '../../server/cli/run/runs.js';
import { dismissAll, participate } from '../support/participant.js';
import {
  OPERATOR,
  closeCoordinators,
  initFile,
  runSpec,
  startCoordinator,
} from './support/coordinator.js';

const folder = mkdtempSync(join(tmpdir(), 'tributary-own-rule-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(dismissAll);
closeCoordinators('each');

writeFileSync(join(folder, 'init.safetensors'), initFile);

/** A run file of three clients with this rule; its path. */
function runFile(rule: unknown, changes: object = {}): string {
  const path = join(folder, `run-${Math.abs(JSON.stringify(rule).length)}.json`);
  const spec = {
    ...runSpec({ rounds: 1, retries: 0, quorum: { min: 3 }, cohort: { size: 3 } }),
    ...{ init: { file: 'init.safetensors' }, rule, ...changes },
  };
  writeFileSync(path, JSON.stringify(spec));
  return path;
}

function ruleFile(name: string, code: string): string {
  writeFileSync(join(folder, name), code);
  return `./${name}`;
}

/** Trains by adding a number to every parameter of the bias, and leaves the rest. */
const adding =
  (delta: readonly [number, number], numExamples: number): TrainFunction =>
  ({ model }) => {
    const bias = model['dense/bias'].map((w, i) => w + delta[i]);
    return Promise.resolve({ params: { ...model, 'dense/bias': bias }, numExamples });
  };

const clients: Readonly<Record<string, TrainFunction>> = {
  ada: adding([3, 4], 1),
  bob: adding([1, 0], 3),
  cyd: adding([0, -2], 7),
};

interface Played {
  readonly run: RunDetail;
  /** What the run added to the bias, [-1, 0.5] at the start. */
  readonly change: readonly number[];
  readonly weights: Readonly<Record<string, number | null>>;
}

async function play(path: string, options: CoordinatorOptions = {}): Promise<Played> {
  const { url } = await startCoordinator(options);
  const api = connectApi(url, OPERATOR);
  const { id } = await api.createRun(await loadRunFile(path, api));
  const joined = [];
  for (const [name, train] of Object.entries(clients)) {
    const { token } = await api.enrol(id, name, 'source');
    joined.push(participate({ url, token, name, train }));
  }
  await Promise.all(joined.map(({ ended }) => ended));
  const bias = decodeSafetensors(await api.model(id, 'newest')).tensors['dense/bias'];
  const { updates } = await api.round(id, 1);
  return {
    run: await api.run(id),
    change: [Number(bias.data[0]) + 1, Number(bias.data[1]) - 0.5],
    weights: Object.fromEntries(updates.map(({ clientId, weight }) => [clientId, weight])),
  };
}

const example = (name: string): string => resolve('examples/rules', name);

describe('a run with a rule from a file', () => {
  it.each<[string, unknown, [number, number], readonly number[]]>([
    // ln 2, ln 4, ln 8 are 1 : 2 : 3: ([3, 4] + 2 [1, 0] + 3 [0, -2]) / 6
    ['linear', example('log-examples.ts'), [5 / 6, -1 / 3], [1 / 6, 1 / 3, 1 / 2]],
    // Along the sum [4, 2] go 4, 4 and -2; a tenth each, and 0.7 as 4 : 4 : 0
    [
      'combination',
      { file: example('agreement.ts'), options: { floor: 0.3 } },
      [1.8, 1.6],
      [0.45, 0.45, 0.1],
    ],
    // 0 1 3 and -2 0 4, and zeros six times: ranks 1 and 2 of three, kept 1
    [
      'coordinate',
      { file: example('middle-mean.ts'), options: { keep: 1 } },
      [1, 0],
      // Equal values go by client: of the kernel's six zeros the middle one is bob's.
      [0, 1, 0],
    ],
  ])('of the family %s gives what it should', async (_, rule, change, weights) => {
    const played = await play(runFile(rule));
    expect(played.run.status).toBe('completed');
    change.forEach((expected, i) => expect(played.change[i]).toBeCloseTo(expected, 6));
    ['ada', 'bob', 'cyd'].forEach((name, i) =>
      expect(played.weights[name]).toBeCloseTo(weights[i], 6),
    );
  });

  it('records the module that it ran, and the options with their defaults', async () => {
    const { run } = await play(runFile(example('agreement.ts')));
    expect(run.spec.rule).toEqual({
      name: 'agreement',
      options: { floor: 0.1 },
      module: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    expect(shown(run)).toContain(`module ${run.spec.rule.module!.slice(0, 12)}`);
  });

  it('takes a file of plain JavaScript, and a server optimizer on top', async () => {
    const rule = ruleFile(
      'last.mjs',
      `import { linearRule } from 'tributary-fl'; import { z } from 'zod';
       export default linearRule({
         name: 'last', paper: 'p', options: z.strictObject({}), weightMax: () => 1,
         weigh: ({ clientId }) => (clientId === 'cyd' ? 1 : 0),
       });`,
    );
    const optimizer = { name: 'sgd', options: { eta: 0.5 } };
    const { change } = await play(runFile(rule, { optimizer }));
    expect(change).toEqual([0, -1]);
  });
});

describe('a rule that fails', () => {
  const failing = (name: string, code: string): string =>
    ruleFile(
      `${name}.mjs`,
      `import { combinationRule, linearRule } from 'tributary-fl'; import { z } from 'zod';
       const about = { name: '${name}', paper: 'p', options: z.strictObject({}), needs: {}, weightMax: () => 10 };
       export default ${code};`,
    );

  it.each([
    [
      'throws',
      "combinationRule({ ...about, combine() { throw new Error('the moon is full') } })",
      /the moon is full/,
    ],
    [
      'returns-nan',
      'combinationRule({ ...about, combine: () => ({ model: NaN, updates: [1, 1, 1] }) })',
      /gave the model the coefficient NaN/,
    ],
    [
      'returns-little',
      'combinationRule({ ...about, combine: () => ({ model: 1, updates: [1] }) })',
      /1 coefficients for 3 updates/,
    ],
    ['returns-nothing', 'combinationRule({ ...about, combine: () => undefined })', /undefined/],
  ])(
    'and %s ends its round with the reason, and the coordinator goes on',
    async (name, code, says) => {
      const { run } = await play(runFile(failing(name, code)));
      expect(run).toMatchObject({
        status: 'failed',
        reason: expect.stringMatching(says) as string,
      });
    },
  );

  it('at admission by never ending is ended there', async () => {
    const { url } = await startCoordinator();
    const api = connectApi(url, OPERATOR);
    const path = runFile(failing('endless', 'linearRule({ ...about, weigh() { for (;;); } })'));
    const { id } = await api.createRun(await loadRunFile(path, api));
    const { token } = await api.enrol(id, 'ada', 'source');
    const others = [await api.enrol(id, 'bob', 'source'), await api.enrol(id, 'cyd', 'source')];
    const peers = [token, ...others.map((other) => other.token)].map((each, i) =>
      participate({ url, token: each, name: `peer-${i}`, train: clients.ada }),
    );
    await Promise.race(peers.map((peer) => peer.training(1)));
    // It still answers, though every upload asks the rule.
    expect((await api.run(id)).status).toBe('running');
    await api.stop(id);
    await Promise.all(peers.map(({ ended }) => ended));
  });
});

describe('a rule from a file is refused', () => {
  async function refused(rule: unknown, options: CoordinatorOptions = {}): Promise<unknown> {
    const { localUrl } = await startCoordinator(options);
    const api = connectApi(localUrl, OPERATOR);
    return loadRunFile(runFile(rule), api)
      .then((spec) => api.createRun(spec))
      .catch((error: unknown) => error);
  }

  it.each<[string, CoordinatorOptions]>([
    ['listens for other machines', { host: '0.0.0.0' }],
    ['is known by a public address', { publicUrl: 'https://fl.example.org' }],
    ['was told to refuse', { ruleFiles: 'refuse' }],
  ])('by a coordinator that %s, with what to do', async (_, options) => {
    expect(await refused(example('agreement.ts'), options)).toMatchObject({
      code: 'rule_unknown',
      message: expect.stringContaining('TRIBUTARY_RULE_FILES=allow') as string,
    });
  });

  it('but not where an operator allowed it', async () => {
    expect(
      await refused(example('agreement.ts'), { host: '0.0.0.0', ruleFiles: 'allow' }),
    ).toMatchObject({ status: 'running' });
  });

  const named = (name: string): string =>
    ruleFile(
      `${name}.mjs`,
      `import { linearRule } from 'tributary-fl'; import { z } from 'zod';
       export default linearRule({
         name: '${name}', paper: 'p', weightMax: () => 1, weigh: () => 1,
         options: z.strictObject({ depth: z.strictObject({ first: z.number() }).optional() }),
       });`,
    );

  it.each<[string, () => unknown, string, RegExp]>([
    [
      'with the name of another rule',
      () => named('fedavg'),
      'bad_request',
      /"fedavg" is a rule of Tributary's/,
    ],
    [
      'with an option it has not',
      () => ({ file: named('own'), options: { dept: 1 } }),
      'rule_options',
      /no option "dept"; did you mean "depth"/,
    ],
    [
      'with a nested option it has not',
      () => ({ file: named('own'), options: { depth: { frist: 1 } } }),
      'rule_options',
      /no option "depth\.frist"; did you mean "first"/,
    ],
    ['that is not there', () => './nowhere.ts', 'bad_request', /nowhere\.ts/],
  ])('%s', async (_, rule, code, says) => {
    const error = await refused(rule());
    expect(error).toMatchObject({ code, message: expect.stringMatching(says) as string });
  });

  it.each<[string, object, string, RegExp]>([
    [
      'whose module was not uploaded',
      { module: 'a'.repeat(64) },
      'bad_request',
      /rule\.module: no blob a+: PUT it/,
    ],
    [
      'whose module is no rule',
      { code: 'export default 1' },
      'bad_request',
      /rule\.module [0-9a-f]{12}: its default export is number/,
    ],
    [
      'whose module throws',
      { code: 'throw new Error("boom")' },
      'bad_request',
      /fails when it is loaded: boom/,
    ],
    ['whose module imports Node', { code: 'import "node:fs"' }, 'bad_request', /"node:fs"/],
    [
      'that has another name',
      { file: 'agreement.ts' },
      'bad_request',
      /the run says "mine", and the module's rule is called "agreement"/,
    ],
  ])(
    'over HTTP %s',
    async (
      _,
      { module, code, file }: { module?: string; code?: string; file?: string },
      wanted,
      says,
    ) => {
      const { url } = await startCoordinator();
      const api = connectApi(url, OPERATOR);
      const { rule } = await loadRunFile(runFile(example(file ?? 'middle-mean.ts')), api);
      const given =
        code === undefined ? (module ?? rule.module) : await api.putBlob(Buffer.from(code));
      const spec = { ...runSpec(), init: { blob: await api.putBlob(initFile) } };
      const creating = api.createRun({ ...spec, rule: { name: 'mine', module: given } });
      await expect(creating).rejects.toMatchObject({ code: wanted });
      await expect(creating).rejects.toThrow(says);
    },
  );
});
