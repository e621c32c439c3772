/** The assignments of this client: which are being worked on, and what became of the others. */
import type { ErrorCode } from '../protocol/errors.js';
import { TributaryError } from '../protocol/errors.js';
import type {
  Assignment,
  Decline,
  Progress as ProgressMessage,
  Welcome,
} from '../protocol/messages.js';
import type { Receipt } from '../protocol/update.js';
import type { Context } from './context.js';
import type { WorkName } from './events.js';
import type { Kept } from './kept.js';
import { throttle } from './throttle.js';
import type { Throttled } from './throttle.js';
import type { Job } from './training.js';
import { cannot, evaluateAndReport, trainAndUpload } from './training.js';
import type { EvaluateFunction, Progress, TrainFunction } from './types.js';
import { Work } from './work.js';

/** Progress is for people to look at: reports are at least so far apart. Milliseconds. */
const PROGRESS_MS = 250;
/** The schema's bound of a reason. */
const MAX_REASON = 500;

/** After these the coordinator waits for nothing more: declining would tell it nothing. */
const settledCodes: ReadonlySet<ErrorCode> = new Set([
  'assignment_used',
  'assignment_unknown',
  'late',
  'run_over',
]);

export interface Abilities {
  readonly train?: TrainFunction | undefined;
  readonly evaluate?: EvaluateFunction | undefined;
}

/** What is told to the coordinator; dropped while there is no connection. */
export interface Outbox {
  progress(message: ProgressMessage): void;
  decline(message: Decline): void;
}

export interface AssignmentsOptions {
  readonly abilities: Abilities;
  readonly kept: Kept;
  readonly context: Context;
  readonly outbox: Outbox;
  readonly onReceipt: (receipt: Receipt) => void;
  /** The token is no longer good: nothing can be done for any assignment. */
  readonly onRefused: (error: TributaryError) => void;
}

/** Whom the coordinator takes this client for. */
export type Self = Pick<Welcome, 'clientId' | 'role'>;

interface OpenWork {
  readonly name: WorkName;
  readonly work: Work;
  readonly done: Promise<void>;
}

export class Assignments {
  readonly #open = new Map<string, OpenWork>();
  /** Reasons, by id: a decline that the coordinator missed is repeated. */
  readonly #declined = new Map<string, string>();
  readonly #finished = new Set<string>();

  constructor(private readonly options: AssignmentsOptions) {}

  /** Begins the work, unless it was begun before: an assignment may come twice, or in a welcome. */
  take(assignment: Assignment, self: Self): void {
    const { id, round, kind } = assignment;
    const reason = this.#declined.get(id);
    if (reason !== undefined) this.options.outbox.decline({ assignmentId: id, reason });
    if (reason !== undefined || this.#open.has(id) || this.#finished.has(id)) return;
    const name = { id, round, kind };
    const work = new Work(this.options.context.environment);
    this.options.context.report({ type: 'assigned', work: name });
    const done = this.#perform(assignment, self, name, work).finally(() => {
      work.settle();
      this.#open.delete(id);
    });
    this.#open.set(id, { name, work, done });
  }

  /**
   * After a connection was lost: begins what the coordinator lists and is not known, stops what it
   * does not list any more. A result that is being sent is not stopped: the coordinator may have
   * taken it while its answer was lost, and sending it again brings the receipt.
   */
  reconcile(listed: readonly Assignment[], self: Self): void {
    const stillOpen = new Set(listed.map(({ id }) => id));
    for (const [id, { work }] of this.#open)
      if (!stillOpen.has(id) && !work.sending)
        this.close(id, 'it was over when the client came back');
    for (const assignment of listed) this.take(assignment, self);
  }

  close(id: string, reason: string): void {
    const open = this.#open.get(id);
    if (!open || open.work.signal.aborted) return;
    open.work.stop(reason);
    this.options.context.report({ type: 'closed', work: open.name, reason });
  }

  stopAll(why: string): void {
    for (const { work } of this.#open.values()) work.stop(why);
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ done }) => done));
  }

  /** Never rejects: whatever goes wrong ends this assignment and no other. */
  async #perform(assignment: Assignment, self: Self, name: WorkName, work: Work): Promise<void> {
    const progress = this.#progressOf(name);
    const job: Job = {
      assignment,
      clientId: self.clientId,
      role: self.role,
      work,
      progress,
      onSending: (bytes) => {
        progress.stop();
        this.options.context.report({ type: 'sending', work: name, bytes });
      },
    };
    try {
      await (assignment.kind === 'train' ? this.#train(job, name) : this.#evaluate(job, name));
      this.#finished.add(name.id);
    } catch (error) {
      if (!work.signal.aborted) this.#failed(name, error);
    } finally {
      progress.stop();
    }
  }

  async #train(job: Job, name: WorkName): Promise<void> {
    const { abilities, kept, context, onReceipt } = this.options;
    if (!abilities.train) throw cannot('train');
    const receipt = await trainAndUpload(job, abilities.train, kept, context);
    onReceipt(receipt);
    context.report({ type: 'receipt', work: name, receipt });
  }

  async #evaluate(job: Job, name: WorkName): Promise<void> {
    const { abilities, context } = this.options;
    if (!abilities.evaluate) throw cannot('evaluate');
    const evaluated = await evaluateAndReport(job, abilities.evaluate, context);
    context.report({ type: 'evaluated', work: name, ...evaluated });
  }

  #failed(name: WorkName, thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const code = error instanceof TributaryError ? error.code : undefined;
    if (error instanceof TributaryError && code === 'unauthorized') {
      this.options.onRefused(error);
    } else if (code !== undefined && settledCodes.has(code)) {
      this.#finished.add(name.id);
      this.options.context.report({
        type: 'problem',
        what: `${name.kind} of round ${name.round}`,
        error,
      });
    } else {
      const reason = error.message.slice(0, MAX_REASON);
      this.#declined.set(name.id, reason);
      this.options.outbox.decline({ assignmentId: name.id, reason });
      this.options.context.report({ type: 'declined', work: name, error });
    }
  }

  #progressOf(name: WorkName): Throttled<Progress> {
    const { context, outbox } = this.options;
    const send = (progress: Progress) => {
      const told = readable(progress);
      if (!told) return;
      outbox.progress({ assignmentId: name.id, ...told });
      context.report({ type: 'progress', work: name, progress: told });
    };
    return throttle(send, PROGRESS_MS, context.environment);
  }
}

/** What the schema takes: a share from 0 to 1, and a loss that JSON can hold. */
function readable({ fraction, loss }: Progress): Progress | undefined {
  if (Number.isNaN(fraction)) return undefined;
  const share = Math.min(1, Math.max(0, fraction));
  return loss !== undefined && Number.isFinite(loss)
    ? { fraction: share, loss }
    : { fraction: share };
}
