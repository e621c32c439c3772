/**
 * A loss oracle on the validation set of a run's target client. Questions go to it over the socket,
 * parameters and gradients over HTTP; the data never leaves the client.
 */
import { createHash, randomUUID } from 'node:crypto';
import { TributaryError } from '../../protocol/errors.js';
import type { Question } from '../../protocol/messages.js';
import type { TensorSpec } from '../../protocol/model.js';
import type { OracleSpec } from '../../protocol/run.js';
import type { Clock, LossOracle, OracleProvider, Presence } from '../core/ports.js';
import type { Client, Run } from '../core/records.js';
import type { ClientId } from '../core/rules/rule.js';
import { maxAnswerBytes, questionFile, readAnswer } from './client-oracle/files.js';

type Answer = Awaited<ReturnType<LossOracle['lossAndGrad']>>;

/** How questions reach clients, and which clients there are. */
export interface QuestionLine {
  readonly present: (runId: string) => readonly Presence[];
  readonly ask: (runId: string, clientId: ClientId, question: Question) => void;
}

interface Pending {
  readonly id: string;
  readonly client: Client;
  readonly graceMs: number;
  readonly tensors: readonly TensorSpec[];
  readonly file: Uint8Array;
  readonly deadline: number;
  readonly batch: number;
  settle(answer: Answer | TributaryError): void;
  /** Cancels the timer that runs while the client is away. */
  cancelAbsence: () => void;
}

/** Names of what was answered or has lapsed, so that an answer that comes late is told so. */
const REMEMBERED = 1_000;

export class ClientOracles {
  readonly #pending = new Map<string, Pending>();
  readonly #settled = new Map<string, Pick<Pending, 'client' | 'tensors'>>();
  readonly #waiting = new Set<() => void>();
  #closed = false;

  constructor(
    private readonly line: QuestionLine,
    private readonly clock: Clock,
  ) {}

  /** The oracles of runs with `oracle: { kind: 'client' }`. */
  readonly provider: OracleProvider = {
    describe: () => 'client',
    open: async (run, buffers) => {
      const target = await this.#targetOf(run);
      return {
        batches: target.oracleBatches,
        lossAndGrad: (params, batch) => {
          const file = questionFile(run.spec.task.model.tensors, params, buffers);
          return this.#ask(run, target, file, batch);
        },
        close: () => Promise.resolve(),
      };
    },
  };

  /** A target that comes back is asked again what it had not answered. */
  joined({ runId, id }: Client): void {
    for (const pending of this.#pending.values()) {
      if (!isOf(pending, { runId, id })) continue;
      pending.cancelAbsence();
      this.line.ask(runId, id, this.#message(pending));
    }
    for (const lookAgain of [...this.#waiting]) lookAgain();
  }

  left(client: Client): void {
    for (const pending of this.#pending.values()) {
      if (!isOf(pending, client)) continue;
      const until = this.clock.now() + pending.graceMs;
      pending.cancelAbsence = this.clock.wakeAt(until, () => {
        pending.settle(unanswered(`the client "${client.id}" left and did not come back`));
      });
    }
  }

  /** @throws TributaryError `not_found`: the same for a stranger's question as for none. */
  params(client: Client, id: string): Uint8Array {
    const pending = this.#pending.get(id);
    if (pending && isOf(pending, client)) return pending.file;
    throw unknownQuestion(id);
  }

  /** @throws TributaryError `not_found`. */
  maxAnswerBytes(client: Client, id: string): number {
    const question = this.#pending.get(id) ?? this.#settled.get(id);
    if (question && isOf(question, client)) return maxAnswerBytes(question.tensors);
    throw unknownQuestion(id);
  }

  /**
   * Takes an answer; false where it came late or twice. An answer that is wrong ends the question:
   * sent again it would be as wrong.
   */
  answer(client: Client, id: string, file: Uint8Array): boolean {
    const pending = this.#pending.get(id);
    if (!pending || !isOf(pending, client)) {
      this.maxAnswerBytes(client, id);
      return false;
    }
    try {
      pending.settle(readAnswer(pending.tensors, file));
      return true;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      pending.settle(unanswered(`the client "${client.id}" gave a wrong answer: ${why}`));
      throw error;
    }
  }

  /** Ends every question; the rounds that asked are taken up by the next coordinator. */
  close(): void {
    this.#closed = true;
    for (const pending of [...this.#pending.values()]) pending.settle(stopping());
    for (const lookAgain of [...this.#waiting]) lookAgain();
  }

  /** Waits for the target: after a restart of the coordinator it needs a moment to come back. */
  async #targetOf(run: Run): Promise<Presence> {
    const end = this.clock.now() + timeoutOf(run);
    for (;;) {
      if (this.#closed) throw stopping();
      const target = this.line
        .present(run.id)
        .find(({ role, oracleBatches }) => role === 'target' && oracleBatches > 0);
      if (target) return target;
      if (this.clock.now() >= end) throw unanswered('no target client with an oracle is connected');
      await this.#somebodyJoins(end);
    }
  }

  #somebodyJoins(until: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.#waiting.delete(done);
        resolve();
      };
      const cancel = this.clock.wakeAt(until, done);
      this.#waiting.add(done);
    });
  }

  #ask(run: Run, client: Presence, file: Uint8Array, batch: number): Promise<Answer> {
    if (this.#closed) return Promise.reject(stopping());
    const deadline = this.clock.now() + timeoutOf(run);
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        id: randomUUID(),
        client,
        graceMs: run.spec.graceMs,
        tensors: run.spec.task.model.tensors,
        file,
        deadline,
        batch,
        settle: (answer) => {
          cancelDeadline();
          pending.cancelAbsence();
          this.#forget(pending);
          if (answer instanceof TributaryError) reject(answer);
          else resolve(answer);
        },
        cancelAbsence: () => undefined,
      };
      const cancelDeadline = this.clock.wakeAt(deadline, () => {
        pending.settle(unanswered(`the client "${client.id}" did not answer in time`));
      });
      this.#pending.set(pending.id, pending);
      this.line.ask(run.id, client.id, this.#message(pending));
      if (!this.line.present(run.id).some(({ id }) => id === client.id)) this.left(client);
    });
  }

  #message({ id, file, batch, deadline }: Pending): Question {
    return {
      id,
      path: `/v1/questions/${id}/params`,
      sha256: createHash('sha256').update(file).digest('hex'),
      batch,
      answerPath: `/v1/questions/${id}/answer`,
      remainingMs: Math.max(0, deadline - this.clock.now()),
    };
  }

  #forget({ id, client, tensors }: Pending): void {
    this.#pending.delete(id);
    this.#settled.set(id, { client, tensors });
    if (this.#settled.size <= REMEMBERED) return;
    const [oldest] = this.#settled.keys();
    this.#settled.delete(oldest);
  }
}

/** The oracle that a run names: the operator's proxy set, or the target client. */
export function combineOracles(proxy: OracleProvider, client: OracleProvider): OracleProvider {
  const of = ({ spec }: Pick<Run, 'spec'>): OracleProvider => {
    const kinds: Record<OracleSpec['kind'], OracleProvider> = { proxy, client };
    return kinds[spec.oracle?.kind ?? 'proxy'];
  };
  return {
    describe: (run) => of(run).describe(run),
    check: async (run) => of(run).check?.(run),
    open: (run, buffers) => of(run).open(run, buffers),
  };
}

function isOf({ client }: Pick<Pending, 'client'>, { runId, id }: Pick<Client, 'runId' | 'id'>) {
  return client.runId === runId && client.id === id;
}

function timeoutOf({ spec }: Run): number {
  return spec.oracle?.kind === 'client' ? spec.oracle.timeoutMs : 0;
}

/** Not an answer, and not the client's fault: the engine leaves the round as it is. */
function stopping(): TributaryError {
  return new TributaryError('storage_unavailable', 'the coordinator is stopping');
}

function unanswered(why: string): TributaryError {
  return new TributaryError('rule_needs', `the oracle was not answered: ${why}`);
}

function unknownQuestion(id: string): TributaryError {
  return new TributaryError('not_found', `this client was not asked "${id}"`);
}
