/**
 * What a client says of its own work: how many examples it trained on, in how many steps. Nobody else
 * can count them, and most rules weigh by them, so they are held to a cap and against each other.
 */
import type { TrainingConfig } from '../../../protocol/model.js';
import type { ReportedFacts } from '../../../protocol/update.js';

type Counts = Pick<ReportedFacts, 'numExamples' | 'numSteps'>;
type Work = Pick<TrainingConfig, 'epochs' | 'batchSize' | 'steps'>;

/** The examples that count: those reported, and no more than the run's `caps.examplesMax`. */
export function countedExamples(reported: number, examplesMax: number | undefined): number {
  return Math.min(reported, examplesMax ?? Infinity);
}

/**
 * What is odd about the counts of an update, in words for the operator. A flag refuses nothing: a
 * training function of one's own may count otherwise.
 *
 * @param reported as the client states them, before the cap
 * @param work the training that the client was asked for
 */
export function countFlags(
  reported: Counts,
  work: Work,
  examplesMax: number | undefined,
): readonly string[] {
  const { numExamples } = reported;
  const counted = countedExamples(numExamples, examplesMax);
  const capped =
    counted < numExamples
      ? [`reports ${numExamples} examples, and ${counted} count (caps.examplesMax)`]
      : [];
  return [...capped, ...misfits(reported, work)];
}

function misfits({ numExamples, numSteps }: Counts, work: Work): readonly string[] {
  const { epochs, batchSize, steps } = work;
  if (steps !== undefined) {
    return numSteps === steps
      ? []
      : [`reports ${times(numSteps, 'step')}, and ${steps} were asked`];
  }
  const passes = `${times(numSteps, 'step')} of ${batchSize} in ${times(epochs, 'epoch')}`;
  const most = Math.floor((numSteps * batchSize) / epochs);
  if (numExamples > most) {
    return [`reports ${numExamples} examples, but no more than ${most} fit into ${passes}`];
  }
  // The last batch of an epoch may be short, the others not.
  const fewest = (Math.ceil(numSteps / epochs) - 1) * batchSize + 1;
  if (numExamples >= fewest) return [];
  return [`reports ${numExamples} examples, but no fewer than ${fewest} make ${passes}`];
}

function times(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
