/** Who takes part in a run, as operators decide it. */
import type { EnrolledClient } from '../core/records.js';
import type { Role } from '../../protocol/run.js';

/** The operator whose token is configured. */
export const ROOT = 'root';
/** Who enrolled a client that nobody else did, as the ledger has it; the name of no operator. */
export const ITSELF = 'itself';

export interface EnrolOptions {
  /** How long the token is good for; without it, until it is revoked. */
  readonly expiresInMs?: number | undefined;
  /** The operator who does it, for the ledger; the configured one if nothing is said. */
  readonly by?: string | undefined;
}

/** A client and its token, which is shown now and never again: only its hash is stored. */
export interface Ticket {
  readonly client: EnrolledClient;
  readonly token: string;
}

/**
 * Every change is stored with its event, and in effect when its promise resolves: on connections to
 * other coordinators as soon as they hear of it. Every method throws `run_not_found`, and `not_found`
 * for a client that the run does not have.
 */
export interface Membership {
  /**
   * Registers a client. Where the run's join policy is `approved` it is pending until somebody
   * approves it.
   * @throws TributaryError `name_taken`, `run_over`, `conflict` for a second target.
   */
  enrol(runId: string, name: string, role: Role, options?: EnrolOptions): Promise<Ticket>;
  /**
   * A client registers itself, as a `source`; without a name it is given one. With the same `key`, a
   * secret of the client's own, the same call again gives the same ticket.
   * @throws TributaryError `forbidden` where the run takes only whom an operator enrols, or has as
   * many clients as an open run may; `busy` where too many wait for approval; `name_taken`, `run_over`.
   */
  enrolItself(runId: string, name?: string, key?: string): Promise<Ticket>;
  /** No error where it is approved already. @throws TributaryError `conflict` where it was revoked. */
  approve(runId: string, id: string, by?: string): Promise<EnrolledClient>;
  /** Ends its part: connections, open work, token. What it has a receipt for counts. */
  revoke(runId: string, id: string, by?: string): Promise<EnrolledClient>;
  /**
   * A new token in the place of the old one. A client that was revoked is then where a new one would
   * be: approved, or pending where the join policy is `approved`.
   */
  rotate(runId: string, id: string, options?: EnrolOptions): Promise<Ticket>;
  /**
   * The client that a token belongs to, which may take part; null for a token that belongs to nobody.
   * @throws TributaryError `not_approved`, `revoked`, `token_expired`.
   */
  authenticate(token: string): Promise<EnrolledClient | null>;
}
