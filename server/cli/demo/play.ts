/** Plays one run of a story on a live coordinator, with client processes of its own. */
import { join as joinPath } from 'node:path';
import { join } from '../../../client/join.js';
import { tfjsEvaluator } from '../../../client/tfjs/trainer.js';
import type { JoinSummary } from '../../../client/events.js';
import { TributaryError } from '../../../protocol/errors.js';
import type { RunDetail } from '../../../protocol/http.js';
import type { Api } from '../api.js';
import { clientGroup } from './client-group.js';
import type { ClientGroup } from './client-group.js';
import type { ClientProcess } from './client-process.js';
import { startClient } from './client-process.js';
import { noProgress, showProgress } from './progress.js';
import type { ProgressView } from './progress.js';
import type { RunResult } from './results.js';
import type { Story, StoryRun } from '../../simulation/stories.js';
import { specOf } from '../../simulation/stories.js';

export interface RunSetting {
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

/** A client that heard the end of its run has only to disconnect and to leave. */
const LEAVE_MS = 30_000;

/** @throws TributaryError `internal` where the run does not complete, or a client fails, with its complaint. */
export async function play(story: Story, run: StoryRun, setting: RunSetting): Promise<RunResult> {
  const { api } = setting;
  const { id } = await api.createRun(specOf(story, run, setting));
  const enrolled: { name: string; token: string }[] = [];
  for (const { name, role } of story.clients) {
    enrolled.push({ name, token: (await api.enrol(id, name, role)).token });
  }
  const evaluator = await api.enrol(id, EVALUATOR, 'evaluator');
  const view = setting.silent ? noProgress : showProgress(run.label, story.common.rounds);
  const group = clientGroup();
  const start = (name: string, token: string): ClientProcess => {
    const started = startClient(api.url, token, sharePath(setting.folder, name));
    group.add(name, started);
    return started;
  };
  try {
    const running = enrolled.map((client) => ({
      ...client,
      process: start(client.name, client.token),
    }));
    const victim = running[Math.floor(running.length / 2)];
    const replace = (): void => {
      group.sacrifice(victim.process);
      const { pid } = start(victim.name, victim.token);
      view.say(
        `${victim.name} killed (kill -9, pid ${victim.process.pid}); replaced by pid ${pid}`,
      );
    };
    // A run that lost a client waits for it, by default for its deadline: hear of it here.
    const summary = await withFailure(group, setting.signal, (signal) =>
      watch(story, evaluator.token, { ...setting, signal }, view, replace),
    );
    setting.signal.throwIfAborted();
    if (summary.status !== 'completed') {
      throw new TributaryError(
        'internal',
        [`run ${id} ${summary.status}: ${summary.reason ?? ''}`, ...group.complaints()].join('\n'),
      );
    }
    await group.settled(LEAVE_MS);
    const detail = await wholeRun(api, id);
    return { run, detail, last: await api.round(id, detail.round) };
  } finally {
    group.killAll();
    view.end();
  }
}

/** A run with all its rounds, which come in pages. */
async function wholeRun(api: Api, id: string): Promise<RunDetail> {
  const detail = await api.run(id, 1);
  const history = [...detail.history];
  while (history.length < detail.roundsInAll) {
    history.push(...(await api.run(id, history.length + 1)).history);
  }
  return { ...detail, history };
}

/** Does `work` until a client fails; then it is told to stop, and the failure is thrown. */
async function withFailure<T>(
  group: ClientGroup,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  try {
    return await Promise.race([work(AbortSignal.any([signal, over.signal])), group.failed]);
  } catch (error) {
    // Ctrl-C reaches the clients too: their end is then no failure of theirs.
    signal.throwIfAborted();
    throw error;
  } finally {
    over.abort();
  }
}

/** Joins as the evaluator with the held-out digits, and shows what it hears until the run is over. */
async function watch(
  story: Story,
  token: string,
  setting: RunSetting,
  view: ProgressView,
  replace: () => void,
): Promise<JoinSummary> {
  let replaced = setting.killInRound === null;
  return join({
    url: setting.api.url,
    token,
    evaluate: tfjsEvaluator({ data: story.test }),
    signal: setting.signal,
    onEvent: (event) => {
      // Told to stop: a process that is started now would be left behind.
      if (setting.signal.aborted) return;
      if (event.type === 'evaluated') {
        const { sums, numExamples } = event.report;
        view.round(event.work.round, sums.accuracy / numExamples);
      }
      if (event.type === 'run' && !replaced && event.state.round === setting.killInRound) {
        replaced = true;
        replace();
      }
    },
  });
}

export function sharePath(folder: string, name: string): string {
  return joinPath(folder, `${name}.safetensors`);
}
