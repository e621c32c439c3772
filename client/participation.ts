/** One participation in a run, over however many connections: what came in, what became of it. */
import type { TributaryError } from '../protocol/errors.js';
import type {
  Assignment,
  Closed,
  Decline,
  Progress,
  Question,
  RunState,
  Weighed,
  Welcome,
} from '../protocol/messages.js';
import type { RunStatus } from '../protocol/run.js';
import type { Receipt } from '../protocol/update.js';
import type { Abilities } from './assignments.js';
import { Assignments } from './assignments.js';
import type { Connection, Inbox } from './connection.js';
import type { Context } from './context.js';
import type { JoinStatus, JoinSummary } from './events.js';
import type { ClientOracle } from './oracle.js';
import { Kept, keptKey } from './kept.js';
import { Questions } from './questions.js';
import type { ClientStorage } from './types.js';

export interface Ending {
  readonly status: JoinStatus;
  readonly reason: string | null;
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
  #welcome: Welcome | undefined;
  readonly #receipts: Receipt[] = [];
  /** By assignment: the coordinator may tell a weight twice. */
  readonly #weights = new Map<string, Weighed>();

  constructor(
    abilities: Abilities & {
      readonly oracle?: ClientOracle | undefined;
      readonly storage?: ClientStorage | undefined;
    },
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
      context,
      outbox: this,
      onReceipt: (receipt) => this.#receipts.push(receipt),
      onRefused: (error) => this.#refuse(error),
    });
    this.#questions = new Questions(abilities.oracle, context);
  }

  /** A connection was made, the first or another: takes up what is open. */
  welcomed(connection: Connection, welcome: Welcome): void {
    this.#connection = connection;
    this.#welcome = welcome;
    this.context.report({ type: 'connected', welcome });
    this.#assignments.reconcile(welcome.assignments, welcome);
    connection.deliver();
    this.#endIfOver(welcome.status, null);
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

  decline(message: Decline): void {
    this.#connection?.decline(message);
  }

  /** Stops local work. What is being sent is given a short time to arrive. */
  async windDown(why: string): Promise<void> {
    this.#assignments.stopAll(why);
    this.#questions.stopAll(why);
    await this.#assignments.idle();
    await this.#questions.idle();
  }

  /**
   * Removes what was kept for a run that is over: one file a run, as large as the model, would fill a
   * disk. To be called when the local work has stopped. Never rejects.
   */
  async forget({ status }: Ending): Promise<void> {
    if (status === 'left' || !this.#welcome) return;
    const { runId, clientId } = this.#welcome;
    try {
      await this.#kept.forget(keptKey(runId, clientId));
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.context.report({ type: 'problem', what: 'removing what was kept', error });
    }
  }

  dispose(): void {
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
    if (status !== 'running') this.#end({ status, reason });
  }
}
