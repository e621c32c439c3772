/** One participation in a run, over however many connections: what came in, what became of it. */
import type { TributaryError } from '../protocol/errors.js';
import type {
  Assignment,
  Closed,
  Decline,
  Heartbeat,
  Progress,
  Question,
  RunState,
  Weighed,
  Welcome,
} from '../protocol/messages.js';
import type { RunStatus } from '../protocol/run.js';
import { isLive } from '../protocol/run.js';
import type { Receipt } from '../protocol/update.js';
import type { Abilities } from './assignments.js';
import { Assignments } from './assignments.js';
import type { Connection, Inbox } from './connection.js';
import type { Consent } from './consent.js';
import type { Context } from './context.js';
import type { JoinStatus, JoinSummary } from './events.js';
import { asError } from './failures.js';
import type { ClientOracle } from './oracle.js';
import { Kept, keptKey } from './kept.js';
import { Questions } from './questions.js';
import type { ClientStorage } from './types.js';

/** How long a site that refuses tries to tell the coordinator so. Milliseconds. */
const TELL_MS = 5_000;

export interface Ending {
  readonly status: JoinStatus;
  readonly reason: string | null;
}

/** Whether the run itself is over, and not only this client's part in it. */
export function isOver({ status }: Ending): boolean {
  return status !== 'left' && status !== 'refused';
}

export class Participation implements Inbox {
  /** Resolves when the run is over; rejects where this client may no longer take part. */
  readonly ended: Promise<Ending>;
  #end!: (ending: Ending) => void;
  #refuse!: (error: TributaryError) => void;

  readonly #kept: Kept;
  readonly #assignments: Assignments;
  readonly #questions: Questions;
  #connection: Connection | undefined;
  #cancelTelling: (() => void) | undefined;
  #welcome: Welcome | undefined;
  readonly #receipts: Receipt[] = [];
  /** By assignment: the coordinator may tell a weight twice. */
  readonly #weights = new Map<string, Weighed>();

  constructor(
    abilities: Abilities & {
      readonly oracle?: ClientOracle | undefined;
      readonly storage?: ClientStorage | undefined;
    },
    private readonly consent: Consent,
    private readonly context: Context,
  ) {
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#refuse = reject;
    });
    this.#kept = new Kept(abilities.storage);
    this.#assignments = new Assignments({
      abilities,
      kept: this.#kept,
      consent,
      context,
      outbox: this,
      onReceipt: (receipt) => this.#receipts.push(receipt),
      onRefused: (error) => this.#refuse(error),
      onSiteRefusal: () => void this.#endRefused(),
    });
    this.#questions = new Questions(abilities.oracle, consent, context);
  }

  /** How many there are. */
  get receipts(): number {
    return this.#receipts.length;
  }

  /** A connection was made, the first or another: takes up what is open. */
  welcomed(connection: Connection, welcome: Welcome): void {
    this.#connection = connection;
    this.#welcome = welcome;
    this.context.report({ type: 'connected', welcome });
    this.#assignments.reconcile(welcome.assignments, welcome);
    connection.deliver();
    this.#endIfOver(welcome.status, null);
    // What was listed is declined by then; there may have been nothing to decline.
    if (this.consent.refusal !== null) void this.#assignments.idle().then(() => this.#endRefused());
  }

  /** The site takes no part: ends when the coordinator knows, and soon where it cannot be told. */
  refused(): void {
    const end = () => this.#end({ status: 'refused', reason: this.consent.refusal });
    this.#cancelTelling ??= this.context.environment.after(TELL_MS, end);
  }

  async #endRefused(): Promise<void> {
    this.refused();
    await this.#assignments.told();
    this.#end({ status: 'refused', reason: this.consent.refusal });
  }

  // Inbox

  assignment(message: Assignment): void {
    if (this.#welcome) this.#assignments.take(message, this.#welcome);
  }

  closed({ assignmentId, reason }: Closed): void {
    this.#assignments.close(assignmentId, reason);
  }

  weighed(weighed: Weighed): void {
    this.#weights.set(weighed.assignmentId, weighed);
    this.#kept.counted(weighed.assignmentId);
    this.context.report({ type: 'weighed', weighed });
  }

  run(state: RunState): void {
    this.context.report({ type: 'run', state });
    this.#endIfOver(state.status, state.reason ?? null);
  }

  question(question: Question): void {
    if (this.#welcome) this.#questions.take(question, this.#welcome.runId);
  }

  misunderstood(event: string, error: Error): void {
    this.context.report({ type: 'problem', what: `message "${event}"`, error });
  }

  // Outbox

  progress(message: Progress): void {
    this.#connection?.progress(message);
  }

  async decline(message: Decline): Promise<void> {
    await this.#connection?.decline(message);
  }

  heartbeat(message: Heartbeat, onRefused: (error: TributaryError) => void): void {
    this.#connection?.heartbeat(message, onRefused);
  }

  /**
   * Stops local work. What is being sent is given a short time to arrive; whose answer was lost is
   * asked for, unless the client is in a hurry.
   */
  async windDown(why: string, hurried: boolean): Promise<void> {
    this.#assignments.stopAll(why, hurried);
    this.#questions.stopAll(why);
    await this.#assignments.idle();
    await this.#questions.idle();
  }

  /**
   * Removes what was kept for a run that is over: one file a run, as large as the model, would fill a
   * disk. To be called when the local work has stopped. Never rejects.
   */
  async forget(ending: Ending): Promise<void> {
    if (!isOver(ending) || !this.#welcome) return;
    const { runId, clientId } = this.#welcome;
    try {
      await this.#kept.forget(keptKey(runId, clientId));
    } catch (error) {
      const what = 'removing what was kept';
      this.context.report({ type: 'problem', what, error: asError(error) });
    }
  }

  dispose(): void {
    this.#cancelTelling?.();
    this.#questions.dispose();
  }

  summary({ status, reason }: Ending): JoinSummary {
    const accepted = this.#receipts.filter((receipt) => receipt.status === 'accepted');
    const rounds = new Set(accepted.map((receipt) => receipt.round));
    return {
      status,
      reason,
      runId: this.#welcome?.runId ?? null,
      clientId: this.#welcome?.clientId ?? null,
      role: this.#welcome?.role ?? null,
      rounds: [...rounds].toSorted((a, b) => a - b),
      receipts: [...this.#receipts],
      weights: [...this.#weights.values()],
      ...this.context.http.traffic,
    };
  }

  #endIfOver(status: RunStatus, reason: string | null): void {
    if (!isLive(status)) this.#end({ status, reason });
  }
}
