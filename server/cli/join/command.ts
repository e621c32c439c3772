/** What `tributary join` does. */
import { describeDataset } from '../../../client/data/describe.js';
import type { DatasetDescription } from '../../../client/data/describe.js';
import { loadDataset } from '../../../client/data/load.js';
import type { ClientEvent, JoinSummary } from '../../../client/events.js';
import { fetchTask } from '../../../client/fetch-task.js';
import { join } from '../../../client/join.js';
import {
  prepareBackend,
  tfjsClientOracle,
  tfjsEvaluator,
  tfjsTrainer,
} from '../../../client/lazy.js';
import type { Dataset } from '../../../client/tfjs/dataset.js';
import type { TrainFunction } from '../../../client/types.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { Task } from '../../../protocol/model.js';
import type { JoinCommandOptions } from '../join.js';
import { interruption } from '../interruption.js';
import { bytes, print } from '../output.js';
import { stateFolder, warnedOfLoss } from './state.js';

/** Examples of a validation set that make one batch of the oracle's answers. */
const ORACLE_BATCH = 128;

export async function joinCommand(url: string, options: JoinCommandOptions): Promise<void> {
  const token = options.token ?? process.env.TRIBUTARY_TOKEN;
  if (!token)
    throw new TributaryError('unauthorized', 'no token: give --token, or set TRIBUTARY_TOKEN');
  if (!options.data && !options.validation) {
    throw new TributaryError('bad_request', 'nothing to do: give --data, --validation, or both');
  }
  const { task, identity } = await fetchTask({ url, token });
  const data = options.data ? await loadDataset(options.data, task.data) : null;
  const validation = options.validation ? await loadDataset(options.validation, task.data) : null;
  if (options.check) {
    const described = {
      data: data && describeDataset(task.data, data),
      validation: validation && describeDataset(task.data, validation),
    };
    print({ task: task.name, ...identity, ...described }, options.json, (value) =>
      checked(task, value),
    );
    return;
  }
  const backend = await prepareBackend();
  const summary = await join({
    url,
    token,
    backends: [`${backend.name} ${backend.version}`],
    ...(data ? { train: trainingOn(data, options) } : {}),
    ...(validation
      ? {
          evaluate: tfjsEvaluator({ data: validation }),
          oracle: tfjsClientOracle({ data: validation, batchSize: ORACLE_BATCH }),
        }
      : {}),
    ...(options.state ? { storage: stateFolder(options.state) } : {}),
    signal: interruption(),
    ...(options.quiet || options.json ? {} : { onEvent: say }),
  });
  if (!options.quiet) print(summary, options.json, summed);
  if (summary.status === 'failed') process.exitCode = 1;
}

function trainingOn(data: Dataset, { state }: JoinCommandOptions): TrainFunction {
  const train = tfjsTrainer({ data });
  return state ? train : warnedOfLoss(train, warnOfLoss);
}

function warnOfLoss(): void {
  const advice = 'with --state FOLDER it would find that again after a restart';
  process.stderr.write(`warning: the rule of this run keeps vectors on this client; ${advice}\n`);
}

function checked(
  task: Task,
  value: {
    clientId: string;
    runId: string;
    data: DatasetDescription | null;
    validation: DatasetDescription | null;
  },
): string {
  const lines = [`${value.clientId} in run ${value.runId}, task ${task.name}`];
  for (const name of ['data', 'validation'] as const) {
    const described = value[name];
    if (described) lines.push(`${name}: fits the contract`, ...descriptionLines(described));
  }
  return lines.join('\n');
}

function descriptionLines({ size, features, columns, labels }: DatasetDescription): string[] {
  const range = (r: { min: number; max: number; mean: number }): string =>
    `${r.min.toPrecision(4)} to ${r.max.toPrecision(4)}, mean ${r.mean.toPrecision(4)}`;
  return [
    `  examples  ${size}`,
    `  features  ${range(features)}`,
    ...(columns ?? []).map((column) => `    ${column.name.padEnd(14)} ${range(column)}`),
    labels.kind === 'class'
      ? `  classes   ${labels.histogram.map((count, label) => `${label}: ${count}`).join('  ')}`
      : `  values    ${range(labels)}`,
  ];
}

function say(event: ClientEvent): void {
  const line = sentence(event);
  if (line) process.stdout.write(`${line}\n`);
}

function sentence(event: ClientEvent): string | null {
  switch (event.type) {
    case 'connected':
      return `connected as ${event.welcome.clientId} (${event.welcome.role}) to run ${event.welcome.runId}`;
    case 'disconnected':
      return `disconnected: ${event.error.message}; next try in ${(event.delayMs / 1000).toFixed(1)} s`;
    case 'assigned':
      return `round ${event.work.round}: ${event.work.kind === 'train' ? 'training' : 'evaluating'}`;
    case 'sending':
      return event.work.kind === 'train'
        ? `round ${event.work.round}: sending ${bytes(event.bytes)}`
        : null;
    case 'receipt': {
      const { status, error } = event.receipt;
      return `round ${event.work.round}: ${status}${error ? ` (${error.code}: ${error.message})` : ''}`;
    }
    case 'weighed':
      return `round ${event.weighed.round}: committed, weight ${event.weighed.weight.toFixed(4)}`;
    case 'closed':
      return `round ${event.work.round}: ${event.reason}`;
    case 'declined':
      return `round ${event.work.round}: given back: ${event.error.message}`;
    case 'retry':
    case 'problem':
      return `${event.what}: ${event.error.message}`;
    case 'run':
    case 'progress':
    case 'evaluated':
    case 'answered':
      return null;
  }
}

function summed({ status, reason, rounds, bytesUp, bytesDown }: JoinSummary): string {
  const why = reason ? ` (${reason})` : '';
  return `${status}${why}: ${rounds.length} updates accepted, ${bytes(bytesUp)} up, ${bytes(bytesDown)} down`;
}
