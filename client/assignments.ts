/** The assignments of this client: which are being worked on, and what became of the others. */
import type { ErrorCode } from '../protocol/errors.js';
import { TributaryError } from '../protocol/errors.js';
import type {
  Assignment,
  Decline,
  Heartbeat,
  Progress as ProgressMessage,
  Welcome,
} from '../protocol/messages.js';
import type { Receipt } from '../protocol/update.js';
import type { Consent } from './consent.js';
import { SiteRefusal } from './consent.js';
import type { Context } from './context.js';
import type { WorkName } from './events.js';
import { asError, reasonOf, SiteFailure } from './failures.js';
import type { Heart } from './heartbeat.js';
import { startHeart } from './heartbeat.js';
import type { Kept } from './kept.js';
import { outgoingProgress } from './outgoing.js';
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

/** After these nothing will be taken from this client, whatever the assignment. */
const banishingCodes: ReadonlySet<ErrorCode> = new Set([
  'unauthorized',
  'token_expired',
  'revoked',
]);

/** What a heartbeat is answered with where nobody waits for the result any more. */
const outdatedCodes: ReadonlySet<ErrorCode> = new Set(['assignment_unknown', 'late']);

export interface Abilities {
  readonly train?: TrainFunction | undefined;
  readonly evaluate?: EvaluateFunction | undefined;
}

/** What is told to the coordinator; dropped while there is no connection. */
export interface Outbox {
  progress(message: ProgressMessage): void;
  /** Resolves when it has arrived, or will not arrive. */
  decline(message: Decline): Promise<void>;
  heartbeat(message: Heartbeat, onRefused: (error: TributaryError) => void): void;
}

export interface AssignmentsOptions {
  readonly abilities: Abilities;
  readonly kept: Kept;
  readonly consent: Consent;
  readonly context: Context;
  readonly outbox: Outbox;
  readonly onReceipt: (receipt: Receipt) => void;
  /** The token is no longer good: nothing can be done for any assignment. */
  readonly onRefused: (error: TributaryError) => void;
  /** The site takes no part any more; every assignment was declined. */
  readonly onSiteRefusal: () => void;
}

/** Whom the coordinator takes this client for. */
export type Self = Pick<Welcome, 'clientId' | 'role'>;

interface OpenWork {
  readonly name: WorkName;
  readonly work: Work;
  readonly heart: Heart;
  readonly done: Promise<void>;
}

export class Assignments {
  readonly #open = new Map<string, OpenWork>();
  /** Reasons, by id: a decline that the coordinator missed is repeated. */
  readonly #declined = new Map<string, string>();
  readonly #finished = new Set<string>();
  /** Declines that are on their way. */
  readonly #tellings = new Set<Promise<void>>();

  constructor(private readonly options: AssignmentsOptions) {}

  /** Begins the work, unless it was begun before: an assignment may come twice, or in a welcome. */
  take(assignment: Assignment, self: Self): void {
    const { id, round, kind } = assignment;
    const reason = this.#declined.get(id);
    if (reason !== undefined) this.#tellDecline(id, reason);
    if (reason !== undefined || this.#open.has(id) || this.#finished.has(id)) return;
    const name = { id, round, kind };
    const work = new Work(this.options.context.environment);
    this.options.context.report({ type: 'assigned', work: name });
    const heart = this.#heartOf(assignment, work);
    const done = this.#perform(assignment, self, name, work).finally(() => {
      heart.stop();
      work.settle();
      this.#open.delete(id);
    });
    this.#open.set(id, { name, work, heart, done });
  }

  /**
   * After a connection was lost: begins what the coordinator lists and is not known, stops what it
   * does not list any more, and says of the rest that it goes on: while the client was away its lease
   * ran. A result that is being sent is not stopped: the coordinator may have
   * taken it while its answer was lost, and sending it again brings the receipt.
   */
  reconcile(listed: readonly Assignment[], self: Self): void {
    const stillOpen = new Set(listed.map(({ id }) => id));
    for (const [id, { work, heart }] of this.#open) {
      if (stillOpen.has(id)) heart.beatNow();
      else if (!work.sending) this.close(id, 'it was over when the client came back');
    }
    for (const assignment of listed) this.take(assignment, self);
  }

  close(id: string, reason: string): void {
    const open = this.#open.get(id);
    if (!open || open.work.signal.aborted) return;
    open.work.stop(reason);
    this.options.context.report({ type: 'closed', work: open.name, reason });
  }

  stopAll(why: string, hurried: boolean): void {
    for (const { work } of this.#open.values()) work.stop(why, hurried);
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ done }) => done));
  }

  /** Resolves when what was declined was told. */
  async told(): Promise<void> {
    await Promise.all(this.#tellings);
  }

  /** Never rejects: whatever goes wrong ends this assignment and no other. */
  async #perform(assignment: Assignment, self: Self, name: WorkName, work: Work): Promise<void> {
    const { consent, context } = this.options;
    const progress = this.#progressOf(name);
    const job: Job = {
      assignment,
      clientId: self.clientId,
      role: self.role,
      work,
      policy: consent.policy,
      progress,
      onSending: (bytes, clipped = null) => {
        progress.stop();
        context.report({ type: 'sending', work: name, bytes, clipped });
      },
    };
    try {
      await consent.cover(assignment, work.signal);
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
    const error = asError(thrown);
    const code = error instanceof TributaryError ? error.code : undefined;
    if (error instanceof SiteRefusal) {
      this.#declineAll(error);
      this.options.onSiteRefusal();
    } else if (error instanceof TributaryError && banishingCodes.has(error.code)) {
      this.options.onRefused(error);
    } else if (code !== undefined && settledCodes.has(code)) {
      this.#finished.add(name.id);
      this.options.context.report({
        type: 'problem',
        what: `${name.kind} of round ${name.round}`,
        error,
      });
    } else {
      this.#decline(name, error);
    }
  }

  #decline(name: WorkName, error: Error): void {
    const reason = reasonOf(name.kind, error).slice(0, MAX_REASON);
    this.#declined.set(name.id, reason);
    this.#tellDecline(name.id, reason);
    const whole = error instanceof SiteFailure ? error.cause : error;
    this.options.context.report({ type: 'declined', work: name, error: whole });
  }

  #tellDecline(assignmentId: string, reason: string): void {
    const telling = this.options.outbox
      .decline({ assignmentId, reason })
      .finally(() => this.#tellings.delete(telling));
    this.#tellings.add(telling);
  }

  /** What is being sent was agreed to before. */
  #declineAll(refusal: SiteRefusal): void {
    for (const { name, work } of this.#open.values()) {
      if (work.sending || work.signal.aborted) continue;
      this.#decline(name, refusal);
      work.stop(refusal.message);
    }
  }

  #heartOf({ id: assignmentId, leaseMs }: Assignment, work: Work): Heart {
    const { outbox, context } = this.options;
    const onRefused = (error: TributaryError) => {
      if (!outdatedCodes.has(error.code)) return;
      heart.stop();
      // What is being sent may have been taken: its own answer says so.
      if (!work.sending) this.close(assignmentId, error.message);
    };
    const beat = () => {
      // Behind a computation that hangs nothing will come of it: somebody else is to be invited.
      if (context.turns.blocked && !work.sending) return;
      outbox.heartbeat({ assignmentId }, onRefused);
    };
    const heart = startHeart(leaseMs, beat, context.environment);
    work.signal.addEventListener('abort', () => heart.stop());
    return heart;
  }

  #progressOf(name: WorkName): Throttled<Progress> {
    const { consent, context, outbox } = this.options;
    const send = (progress: Progress) => {
      const whole = readable(progress);
      if (!whole) return;
      const told = outgoingProgress(whole, consent.policy);
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
