/** A round in memory to try a rule on: seven clients, two tensors, what the rule says that it needs. */
import { tensorSpec } from '../../../../protocol/model.js';
import type { LossOracle } from '../../../core/ports.js';
import { randomStream } from '../../../core/random.js';
import type { Needs, UpdateReader, VectorNeed } from '../../../core/rules/rule.js';
import { layoutOf } from '../../../core/layout.js';

/** The model of the round. */
export const tensors = tensorSpec.array().parse([
  { name: 'kernel', shape: [4, 3] },
  { name: 'bias', shape: [5] },
]);

export const layout = layoutOf(tensors, 'shared');

const CLIENTS = 7;
const MEMBERS = 3;
const DELTA = 'delta';

/** Values in [-scale, scale) that follow from the labels. */
export function drawn(scale: number, ...labels: (string | number)[]): Float32Array {
  const random = randomStream('rules check', ...labels);
  return Float32Array.from({ length: layout.size }, () => scale * (2 * random.uniform() - 1));
}

export interface CohortOptions {
  readonly needs: Needs;
  /** The delta of each client; by default they differ. */
  readonly deltaOf?: (client: number) => Float32Array;
  /** Every number of examples is multiplied by it. */
  readonly examplesTimes?: number;
}

export function cohort({ needs, deltaOf, examplesTimes = 1 }: CohortOptions): UpdateReader[] {
  const of = deltaOf ?? ((client: number) => drawn(0.5, 'delta', client));
  return Array.from({ length: CLIENTS }, (_, client) => {
    const isTarget = needs.target === true && client === 0;
    const role = isTarget ? 'target' : 'source';
    const vectors = new Map<string, Float32Array>([[DELTA, of(client)]]);
    for (const need of needs.vectors ?? []) {
      if (!need.roles.includes(role)) continue;
      for (const name of membersOf(need)) vectors.set(name, drawnFor(need, name, client));
    }
    return update(client, role, vectors, needs, examplesTimes);
  });
}

function membersOf({ name, many, fewest = MEMBERS }: VectorNeed): string[] {
  const count = Math.max(fewest, MEMBERS);
  return many ? Array.from({ length: count }, (_, i) => `${name}.${i}`) : [name];
}

function drawnFor({ measure }: VectorNeed, name: string, client: number): Float32Array {
  const values = drawn(0.2, name, client);
  return measure ? values.map(Math.abs) : values;
}

function update(
  client: number,
  role: 'source' | 'target',
  vectors: ReadonlyMap<string, Float32Array>,
  { metrics: asked = [] }: Needs,
  examplesTimes: number,
): UpdateReader {
  const delta = vectors.get(DELTA)!;
  const random = randomStream('rules check', 'facts', client);
  return {
    clientId: `client-${client}`,
    role,
    numExamples: (5 + Math.floor(40 * random.uniform())) * examplesTimes,
    numSteps: 3 + client,
    metrics: Object.fromEntries(
      ['lossBefore', 'learningRate', ...asked].map((name) => [name, 0.1 + random.uniform()]),
    ),
    norm: Math.sqrt(delta.reduce((sum, x) => sum + x * x, 0)),
    maxAbs: delta.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
    baseVersion: 0,
    staleness: 0,
    vectors: [...vectors.keys()],
    read: (vector, start, length) => {
      const values = vectors.get(vector);
      if (values) return Promise.resolve(values.slice(start, start + length));
      return Promise.reject(new Error(`no client sent a vector "${vector}"`));
    },
  };
}

/** Half the squared distance to a point, another one for each of two batches. */
export const oracle: LossOracle = {
  batches: 2,
  lossAndGrad(params, batch) {
    const grad = drawn(1, 'goal', batch).map((goal, i) => params[i] - goal);
    return Promise.resolve({ loss: grad.reduce((sum, g) => sum + g * g, 0) / 2, grad });
  },
};
