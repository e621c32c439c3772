/** Plays one run of a story on a live coordinator, with client processes of its own. */
import { join as joinPath } from 'node:path';
import { join } from '../../../client/join.js';
import { tfjsEvaluator } from '../../../client/tfjs/trainer.js';
import type { JoinSummary } from '../../../client/events.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { Api } from '../api.js';
import type { ClientProcess } from './client-process.js';
import { startClient } from './client-process.js';
import { noProgress, showProgress } from './progress.js';
import type { ProgressView } from './progress.js';
import type { RunResult } from './results.js';
import type { Story, StoryRun } from '../../simulation/stories.js';
import { specOf } from '../../simulation/stories.js';

export interface Stage {
  readonly api: Api;
  readonly folder: string;
  readonly init: string;
  /** sha256 of the uploaded proxy set; null where the story has none. */
  readonly proxy: string | null;
  /** Kill one client in the middle of this round, and replace it; null for never. */
  readonly killInRound: number | null;
  /** Ends the run early, its processes with it. */
  readonly signal: AbortSignal;
  /** Shows no progress. */
  readonly silent: boolean;
}

const EVALUATOR = 'held-out';

export async function play(story: Story, run: StoryRun, stage: Stage): Promise<RunResult> {
  const { api } = stage;
  const { id } = await api.createRun(specOf(story, run, stage));
  const processes: ClientProcess[] = [];
  const start = (token: string, name: string): ClientProcess => {
    const started = startClient(api.url, token, sharePath(stage.folder, name));
    processes.push(started);
    return started;
  };
  const enrolled = new Map<string, string>();
  for (const { name, role } of story.clients) {
    enrolled.set(name, (await api.enrol(id, name, role)).token);
  }
  const evaluator = await api.enrol(id, EVALUATOR, 'evaluator');
  const view = stage.silent ? noProgress : showProgress(run.label, story.common.rounds);
  try {
    const running = [...enrolled].map(([name, token]) => ({
      name,
      token,
      process: start(token, name),
    }));
    const victim = running[Math.floor(running.length / 2)];
    const replace = (): void => {
      victim.process.kill();
      const { pid } = start(victim.token, victim.name);
      view.say(
        `${victim.name} killed (kill -9, pid ${victim.process.pid}); replaced by pid ${pid}`,
      );
    };
    const summary = await watch(story, evaluator.token, stage, view, replace);
    stage.signal.throwIfAborted();
    if (summary.status !== 'completed') {
      const complaints = processes.map((p) => p.complaint()).filter(Boolean);
      throw new TributaryError(
        'internal',
        [`run ${id} ${summary.status}: ${summary.reason ?? ''}`, ...complaints].join('\n'),
      );
    }
    await Promise.all(processes.map(({ ended }) => ended));
    const detail = await api.run(id);
    return { run, detail, last: await api.round(id, detail.round) };
  } finally {
    for (const started of processes) started.kill();
    view.end();
  }
}

/** Joins as the evaluator with the held-out digits, and shows what it hears until the run is over. */
async function watch(
  story: Story,
  token: string,
  stage: Stage,
  view: ProgressView,
  replace: () => void,
): Promise<JoinSummary> {
  let replaced = stage.killInRound === null;
  return join({
    url: stage.api.url,
    token,
    evaluate: tfjsEvaluator({ data: story.test }),
    signal: stage.signal,
    onEvent: (event) => {
      if (event.type === 'evaluated') {
        const { sums, numExamples } = event.report;
        view.round(event.work.round, sums.accuracy / numExamples);
      }
      if (event.type === 'run' && !replaced && event.state.round === stage.killInRound) {
        replaced = true;
        replace();
      }
    },
  });
}

export function sharePath(folder: string, name: string): string {
  return joinPath(folder, `${name}.safetensors`);
}
