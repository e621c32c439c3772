/** Who takes part in a simulated run: evaluators, honest clients and attackers. */
import { tfjsEvaluator, tfjsTrainer } from '../../client/tfjs/trainer.js';
import type { TrainFunction } from '../../client/types.js';
import { TributaryError } from '../../protocol/errors.js';
import type { RunState } from '../../protocol/messages.js';
import { isLive } from '../../protocol/run.js';
import type { Receipt } from '../../protocol/update.js';
import type { Run } from '../core/records.js';
import { Coalition } from './coalition.js';
import type { SimulatedNetwork } from './simulated-client.js';
import { simulatedClients } from './simulated-client.js';
import type { Story, StoryClient } from './stories.js';

/** The name of the client that holds the test set. */
const EVALUATOR = 'held-out';

export interface Connected {
  /** Resolves when the run is over; rejects where a client fails or training diverges. */
  readonly over: Promise<RunState>;
  /** Updates of attackers that admission refused so far. */
  readonly refused: () => number;
}

/** Enrols and connects every evaluator and client of a story. */
export async function connectAll(
  story: Story,
  run: Run,
  network: SimulatedNetwork,
): Promise<Connected> {
  const clients = simulatedClients(network);
  const { promise: over, resolve: ended, reject: failed } = deferred<RunState>();
  const onRun = (state: RunState): void => {
    if (!isLive(state.status)) ended(state);
  };
  // A result without one of its clients, or without its evaluation, must not pass for one.
  const onFailure = (error: unknown): void => failed(error);
  for (const { name, data } of story.sites ?? [{ name: EVALUATOR, data: story.test }]) {
    const { client } = await network.engine.enrol(run.id, name, 'evaluator');
    await clients.connect({ client, evaluate: tfjsEvaluator({ data }), onFailure, onRun });
  }
  let refused = 0;
  const onReceipt = ({ clientId, status, error }: Receipt): void => {
    if (status !== 'rejected') return;
    if (story.attack?.attackers.has(clientId)) refused++;
    else failed(error ? TributaryError.fromBody(error) : new TributaryError('internal', clientId));
  };
  const trainOf = trainers(story, run);
  for (const storyClient of story.clients) {
    const { client } = await network.engine.enrol(run.id, storyClient.name, storyClient.role);
    await clients.connect({ client, ...trainOf(storyClient), onReceipt, onFailure });
  }
  return { over, refused: () => refused };
}

type Trainer = (client: StoryClient) => { readonly train: TrainFunction; readonly last: boolean };

/** How each client of a story trains: attackers after the others, which they have overheard. */
function trainers({ attack, task, clients }: Story, { spec }: Run): Trainer {
  if (!attack) return ({ data }) => ({ train: tfjsTrainer({ data }), last: false });
  const { size } = spec.cohort;
  const cohort = size === 'all' ? clients.length : size;
  const coalition = new Coalition(attack.attack, task.model.tensors, cohort);
  return ({ name, data }) => {
    const last = attack.attackers.has(name);
    const train = tfjsTrainer({ data: last ? attack.attack.poison(data) : data });
    return { last, train: last ? coalition.attacking(train) : coalition.overheard(name, train) };
  };
}

function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  // It may fail while clients still connect, before anybody waits for it.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
