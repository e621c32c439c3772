/** The registry of steps after aggregation: one file each, one line here. */
import { TributaryError } from '../../../protocol/errors.js';
import { suggestion } from '../suggest.js';
import { bcwi } from './bcwi.js';
import { ema } from './ema.js';
import type { AnyStep } from './step.js';

const all: readonly AnyStep[] = [ema, bcwi];

export const steps: ReadonlyMap<string, AnyStep> = new Map(all.map((step) => [step.name, step]));

/** @throws TributaryError `rule_unknown`, suggesting the nearest name. */
export function findStep(name: string): AnyStep {
  const step = steps.get(name);
  if (step) return step;
  throw new TributaryError(
    'rule_unknown',
    `there is no step after aggregation "${name}"${suggestion(name, steps.keys())}`,
  );
}
