/** How clients train: as the run says, and where the rule's half at the client needs it, as that says. */
import { TributaryError } from '../../protocol/errors.js';
import type { TrainingConfig } from '../../protocol/model.js';
import { trainingConfig } from '../../protocol/model.js';
import type { Role, RunSpec } from '../../protocol/run.js';
import type { RunRule } from './run-rule.js';
import { vectorsFor } from './run-rule.js';

/** The family of auxiliary vectors that a batch of every epoch adds to. */
const BATCH_UPDATES = 'batch';

const defaults = trainingConfig.parse({});

/** The training of a client with this role. */
export function trainingFor(
  spec: RunSpec,
  { inner, innerOptions }: RunRule,
  role: Role,
): TrainingConfig {
  return { ...spec.training, ...spec.trainingByRole[role], ...inner.training?.(innerOptions) };
}

/**
 * Refuses what the rule would overrule without a word, or what clients would have to decline in every
 * round.
 * @throws TributaryError `bad_request`, `rule_needs`.
 */
export function checkTraining(spec: RunSpec, rule: RunRule): void {
  for (const role of ['source', 'target'] as const) {
    checkSaid({ ...spec.training, ...spec.trainingByRole[role] }, rule);
    checkFits(trainingFor(spec, rule, role), role, rule);
  }
}

/** The client's half of a rule is the rule's to switch on, and its own strength the rule's option. */
function checkSaid(said: TrainingConfig, { inner, innerOptions }: RunRule): void {
  const asked: Partial<TrainingConfig> = inner.training?.(innerOptions) ?? {};
  const theirs = { controlVariates: false, dynamicAlpha: 0, ...asked };
  for (const key of Object.keys(theirs) as (keyof TrainingConfig)[]) {
    if (said[key] === defaults[key] || said[key] === theirs[key]) continue;
    const why =
      key in asked
        ? `the rule "${inner.name}" sets it to ${theirs[key]}: leave it out`
        : `the rule "${inner.name}" has no use for it: a rule switches it on`;
    const path = `training.${key}`;
    throw new TributaryError('bad_request', `run: ${path} is ${said[key]}, and ${why}`, { path });
  }
}

function checkFits(training: TrainingConfig, role: Role, { inner, needs }: RunRule): void {
  const refuse = (why: string): never => {
    throw new TributaryError('rule_needs', `the rule "${inner.name}" ${why}`);
  };
  const { controlVariates, momentum, steps } = training;
  if (controlVariates && momentum > 0) {
    refuse(`needs local steps without momentum, and training.momentum is ${momentum}`);
  }
  const byBatch = vectorsFor(needs, role).some(({ name }) => name === BATCH_UPDATES);
  if (byBatch && steps !== undefined) {
    refuse('averages the updates of batches over epochs: give training.epochs in place of steps');
  }
}
