/** What `tributary demo` does. */
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeDataset, writeDataset } from '../../../client/data/load.js';
import { encodeParams } from '../../../client/params.js';
import { initialParams } from '../../../client/tfjs/model.js';
import { enterableTempDirectory } from '../../adapters/postgres/account.js';
import type { Coordinator } from '../../app.js';
import { createCoordinator } from '../../app.js';
import { domainShift, labelSkew } from '../../simulation/stories.js';
import type { Story } from '../../simulation/stories.js';
import { prepareCommonBackend } from '../backend.js';
import { connectApi } from '../api.js';
import type { DemoOptions } from '../demo.js';
import { interruption } from '../interruption.js';
import { print } from '../output.js';
import { wholeNumber } from '../options.js';
import { play, sharePath } from './play.js';
import type { RunResult } from './results.js';
import { renderResults } from './results.js';

/** Client processes of the label-skew story. */
const CLIENTS = 8;

export async function demo(options: DemoOptions): Promise<void> {
  const started = performance.now();
  const signal = interruption();
  const rounds = wholeNumber(options.rounds, '--rounds');
  const seed = wholeNumber(options.seed, '--seed');
  const backend = await prepareCommonBackend();
  const story = await (options.rule === 'fedgp'
    ? domainShift(seed, rounds)
    : labelSkew(seed, rounds, CLIENTS));
  const folder = await enterableTempDirectory('tributary-demo-');
  const coordinator = await createCoordinator({
    dataDir: join(folder, 'data'),
    port: 0,
    logLevel: 'warn',
  });
  try {
    say(options, `${story.title}; ${story.test.size} held out`);
    say(
      options,
      `coordinator at ${coordinator.url}, embedded PostgreSQL; ${backend.name} ${backend.version}\n`,
    );
    const results = await playAll(story, seed, {
      folder,
      coordinator,
      signal,
      silent: options.json ?? false,
    });
    print(results, options.json, (value) => `\n${renderResults(story, value)}`);
    const seconds = (performance.now() - started) / 1000;
    say(options, `\n${results.length} runs of ${rounds} rounds in ${seconds.toFixed(0)} s`);
    if (options.keep) await keepServing(coordinator, signal);
  } finally {
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface DemoSetting {
  readonly folder: string;
  readonly coordinator: Coordinator;
  readonly signal: AbortSignal;
  readonly silent: boolean;
}

async function playAll(
  story: Story,
  seed: number,
  { folder, coordinator, signal, silent }: DemoSetting,
): Promise<RunResult[]> {
  const api = connectApi(coordinator.url, coordinator.operatorToken);
  for (const { name, data } of story.clients) await writeDataset(sharePath(folder, name), data);
  const { model } = story.task;
  const init = await api.putBlob(encodeParams(model, await initialParams(model, seed)));
  const proxy = story.proxy ? await api.putBlob(encodeDataset(story.proxy)) : null;
  const results: RunResult[] = [];
  for (const [index, run] of story.runs.entries()) {
    // Once is enough to show that a killed client changes nothing.
    const killInRound = index === 0 ? Math.ceil(story.common.rounds / 2) : null;
    const setting = { api, folder, init, proxy, killInRound, signal, silent };
    results.push(await play(story, run, setting));
  }
  return results;
}

function say(options: DemoOptions, text: string): void {
  if (!options.json) process.stdout.write(`${text}\n`);
}

async function keepServing(
  { url, operatorToken }: Coordinator,
  signal: AbortSignal,
): Promise<void> {
  process.stdout.write(`\nserving at ${url} until Ctrl-C; operator token ${operatorToken}\n`);
  if (!signal.aborted) await once(signal, 'abort');
}
