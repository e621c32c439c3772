/** The registry of server optimizers: one file each, one line here. */
import { TributaryError } from '../../../protocol/errors.js';
import { suggestion } from '../suggest.js';
import { adagrad } from './adagrad.js';
import { adam } from './adam.js';
import { momentum } from './momentum.js';
import type { AnyOptimizer } from './optimizer.js';
import { sgd } from './sgd.js';
import { yogi } from './yogi.js';

const all: readonly AnyOptimizer[] = [sgd, momentum, adagrad, adam, yogi];

export const optimizers: ReadonlyMap<string, AnyOptimizer> = new Map(
  all.map((optimizer) => [optimizer.name, optimizer]),
);

/** @throws TributaryError `rule_unknown`, suggesting the nearest name. */
export function findOptimizer(name: string): AnyOptimizer {
  const optimizer = optimizers.get(name);
  if (optimizer) return optimizer;
  throw new TributaryError(
    'rule_unknown',
    `there is no server optimizer "${name}"${suggestion(name, optimizers.keys())}`,
  );
}
