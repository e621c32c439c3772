/** What a participant can watch while it takes part, and what it is told at the end. */
import type { Assignment, RunState, Weighed, Welcome } from '../protocol/messages.js';
import type { LiveStatus, Role, RunStatus } from '../protocol/run.js';
import type { EvaluationReport, Receipt } from '../protocol/update.js';
import type { Clipped } from './policy.js';
import type { ReviewRequest } from './review.js';
import type { Progress } from './types.js';

/** Which piece of work an event is about. */
export type WorkName = Pick<Assignment, 'id' | 'round' | 'kind'>;

export type ClientEvent =
  | { readonly type: 'connected'; readonly welcome: Welcome }
  /** The connection was lost, or could not be made; the next attempt follows by itself. */
  | { readonly type: 'disconnected'; readonly error: Error; readonly delayMs: number }
  | { readonly type: 'run'; readonly state: RunState }
  /** Policy and review had their say on what would be done; `refusal` is null where they agreed. */
  | {
      readonly type: 'reviewed';
      readonly request: ReviewRequest;
      readonly refusal: string | null;
    }
  | { readonly type: 'assigned'; readonly work: WorkName }
  | { readonly type: 'progress'; readonly work: WorkName; readonly progress: Progress }
  /**
   * Local work is done and its result, of so many bytes, is on its way. `clipped`: an update that the
   * site's policy scaled down.
   */
  | {
      readonly type: 'sending';
      readonly work: WorkName;
      readonly bytes: number;
      readonly clipped: Clipped | null;
    }
  /** The coordinator's durable answer to an update. */
  | { readonly type: 'receipt'; readonly work: WorkName; readonly receipt: Receipt }
  /** `taken`: false where it came too late to count. */
  | {
      readonly type: 'evaluated';
      readonly work: WorkName;
      readonly report: EvaluationReport;
      readonly taken: boolean;
    }
  | { readonly type: 'answered'; readonly question: string; readonly loss: number }
  /** The round committed; the weight that this client's update was given. */
  | { readonly type: 'weighed'; readonly weighed: Weighed }
  /** The round is over; local work for it was aborted. */
  | { readonly type: 'closed'; readonly work: WorkName; readonly reason: string }
  /** This client gave the assignment back: its function failed, there is none, or the site refused. */
  | { readonly type: 'declined'; readonly work: WorkName; readonly error: Error }
  /** A request failed in passing and will be repeated. */
  | {
      readonly type: 'retry';
      readonly what: string;
      readonly error: Error;
      readonly delayMs: number;
    }
  /** Something went wrong that repeating would not mend; taking part goes on. */
  | { readonly type: 'problem'; readonly what: string; readonly error: Error };

/**
 * How taking part ended. `left`: by the caller's AbortSignal, while the run goes on; `refused`: by the
 * site's policy or review.
 */
export type JoinStatus = Exclude<RunStatus, LiveStatus> | 'left' | 'refused';

export interface JoinSummary {
  readonly status: JoinStatus;
  /** Why the run ended, where the coordinator says so; or why the site refused. */
  readonly reason: string | null;
  /** Null where the caller left before the coordinator had answered. */
  readonly runId: string | null;
  readonly clientId: string | null;
  readonly role: Role | null;
  /** Rounds in which an update of this client was accepted, in order. */
  readonly rounds: readonly number[];
  /** Of every update, in the order in which they came. */
  readonly receipts: readonly Receipt[];
  /** Weights given, of the rounds that committed while this client was there to hear of it. */
  readonly weights: readonly Weighed[];
  /** Bodies of requests and answers by HTTP, repeats included. */
  readonly bytesUp: number;
  readonly bytesDown: number;
}
