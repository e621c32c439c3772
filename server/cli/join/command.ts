/** What `tributary join` does. */
import { loadDataset } from '../../../client/data/load.js';
import { join } from '../../../client/join.js';
import type { JoinOptions } from '../../../client/join.js';
import {
  prepareBackend,
  tfjsClientOracle,
  tfjsEvaluator,
  tfjsTrainer,
} from '../../../client/lazy.js';
import type { SitePolicy } from '../../../client/policy.js';
import { sitePolicy } from '../../../client/policy.js';
import type { Dataset } from '../../../client/tfjs/dataset.js';
import type { TrainFunction } from '../../../client/types.js';
import { TributaryError, parse } from '../../../protocol/errors.js';
import type { JoinCommandOptions } from '../join.js';
import { interruption } from '../interruption.js';
import { readJson } from '../json-file.js';
import { print } from '../output.js';
import { certificatesOf, environmentWith } from '../tls.js';
import { printCheck } from './check.js';
import { credentialsOf, fetchOwnTask } from './credentials.js';
import { Teller, summed } from './events.js';
import { reviewer } from './review.js';
import { warnedOfLoss } from './state.js';

/** Examples of a validation set that make one batch of the oracle's answers. */
const ORACLE_BATCH = 128;

export async function joinCommand(url: string[], options: JoinCommandOptions): Promise<void> {
  const credentials = credentialsOf(options);
  if (!options.data && !options.validation) {
    throw new TributaryError('bad_request', 'nothing to do: give --data, --validation, or both');
  }
  const policy = await policyOf(options);
  const environment = environmentWith(await certificatesOf(options));
  const signal = interruption();
  const teller = new Teller();
  const silent = options.quiet ?? options.json;
  const onWaiting = silent ? () => undefined : teller.sayWaiting;
  const { task, identity } = await fetchOwnTask(
    credentials,
    { url, signal, onWaiting },
    environment,
  );
  const data = options.data ? await loadDataset(options.data, task.data) : null;
  const validation = options.validation ? await loadDataset(options.validation, task.data) : null;
  if (options.check) {
    printCheck(task, identity, data, validation, options.json);
    return;
  }
  const summary = await join(
    {
      url,
      ...credentials,
      ...(await abilities(data, validation, options)),
      policy,
      ...(options.review ? { review: reviewer(options.yes, signal) } : {}),
      signal,
      ...(silent ? {} : { onEvent: teller.say }),
    },
    environment,
  );
  if (!options.quiet) print(summary, options.json, summed);
  if (summary.status === 'failed' || summary.status === 'refused') process.exitCode = 1;
}

/** @throws TributaryError `bad_request`, naming the field that is wrong. */
async function policyOf({ policy: path }: JoinCommandOptions): Promise<SitePolicy | undefined> {
  return path === undefined ? undefined : parse(sitePolicy, await readJson(path), path);
}

async function abilities(
  data: Dataset | null,
  validation: Dataset | null,
  options: JoinCommandOptions,
): Promise<Pick<JoinOptions, 'backends' | 'train' | 'evaluate' | 'oracle'>> {
  const backend = await prepareBackend();
  return {
    backends: [`${backend.name} ${backend.version}`],
    ...(data ? { train: trainingOn(data, options) } : {}),
    ...(validation
      ? {
          evaluate: tfjsEvaluator({ data: validation }),
          oracle: tfjsClientOracle({ data: validation, batchSize: ORACLE_BATCH }),
        }
      : {}),
  };
}

function trainingOn(data: Dataset, { state }: JoinCommandOptions): TrainFunction {
  const train = tfjsTrainer({ data });
  return state ? train : warnedOfLoss(train, warnOfLoss);
}

function warnOfLoss(): void {
  const advice = 'with --state FOLDER it would find that again after a restart';
  process.stderr.write(`warning: the rule of this run keeps vectors on this client; ${advice}\n`);
}
