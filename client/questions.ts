/** Answers what a rule asks this client's oracle. */
import { TributaryError } from '../protocol/errors.js';
import { evaluationTaken } from '../protocol/http.js';
import type { Question } from '../protocol/messages.js';
import type { Task } from '../protocol/model.js';
import { decodeSafetensors } from '../protocol/safetensors.js';
import { readParams } from './checkpoint.js';
import type { Consent } from './consent.js';
import type { Context } from './context.js';
import { digested } from './digest.js';
import { asError } from './failures.js';
import type { ClientOracle, OpenOracle } from './oracle.js';
import { encodeParams, flatten, sharedTensors, unflatten } from './params.js';
import type { Params } from './types.js';
import { Work } from './work.js';

export class Questions {
  readonly #open = new Map<string, { work: Work; done: Promise<void> }>();
  #oracle: { opened: OpenOracle; buffers: Params } | undefined;

  constructor(
    private readonly oracle: ClientOracle | undefined,
    private readonly consent: Pick<Consent, 'coverAnswer'>,
    private readonly context: Context,
  ) {}

  /** A question that is being answered already is not begun again. */
  take(question: Question, runId: string): void {
    if (this.#open.has(question.id)) return;
    const work = new Work(this.context.environment);
    // Nobody says when a question has lapsed: the coordinator waits for so long and no longer.
    const cancel = this.context.environment.after(question.remainingMs, () =>
      work.stop('the time for the answer is over'),
    );
    const done = this.#answer(question, runId, work).finally(() => {
      cancel();
      work.settle();
      this.#open.delete(question.id);
    });
    this.#open.set(question.id, { work, done });
  }

  stopAll(why: string): void {
    for (const { work } of this.#open.values()) work.stop(why);
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ done }) => done));
  }

  dispose(): void {
    this.#oracle?.opened.dispose?.();
    this.#oracle = undefined;
  }

  /** Never rejects: the coordinator counts an answer that does not come as missing. */
  async #answer(question: Question, runId: string, work: Work): Promise<void> {
    try {
      const loss = await this.#compute(question, runId, work);
      this.context.report({ type: 'answered', question: question.id, loss });
    } catch (error) {
      this.context.report({ type: 'problem', what: 'question', error: asError(error) });
    }
  }

  async #compute(question: Question, runId: string, work: Work): Promise<number> {
    const { context } = this;
    this.consent.coverAnswer(runId);
    const task = await context.task(runId, work.signal);
    const file = await context.verified('question', question, work.signal);
    const shared = sharedTensors(task.model.tensors);
    const params = flatten(readParams(file, shared), shared);
    const { loss, grad } = await context.turns.take(async () => {
      const oracle = await this.#opened(task, buffersIn(file, task));
      return oracle.lossAndGrad(params, question.batch);
    }, work.signal);
    const gradient = unflatten(grad, shared);
    const body = await digested(
      encodeParams({ tensors: [...shared] }, gradient, { loss: String(loss) }),
    );
    work.beginSending();
    const put = () => context.http.putBytes(question.answerPath, body, evaluationTaken, work.wire);
    await context.repeat('answer', put, work.signal);
    return loss;
  }

  async #opened(task: Task, buffers: Params): Promise<OpenOracle> {
    if (this.#oracle && sameValues(this.#oracle.buffers, buffers)) return this.#oracle.opened;
    if (!this.oracle)
      throw new TributaryError('bad_request', 'this client was started without "oracle"');
    this.dispose();
    this.#oracle = { opened: await this.oracle.open(task, buffers), buffers };
    return this.#oracle.opened;
  }
}

/** What came beside the shared tensors. */
function buffersIn(file: Uint8Array, { model }: Task): Params {
  const { tensors } = decodeSafetensors(file);
  const others = model.tensors.filter(
    ({ name, role }) => role !== 'shared' && Object.hasOwn(tensors, name),
  );
  return readParams(file, others);
}

function sameValues(a: Params, b: Params): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => a[name].every((value, index) => Object.is(value, b[name][index])))
  );
}
