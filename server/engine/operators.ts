/** Operators beside the one whose token is configured: added, revoked, given new tokens. */
import { TributaryError } from '../../protocol/errors.js';
import type { OperatorRole } from '../../protocol/http.js';
import type { Clock, OperatorChange, OperatorStore } from '../core/ports.js';
import type { NewEvent, Operator } from '../core/records.js';
import { operatorStanding } from '../core/standing.js';
import { ITSELF, ROOT } from './membership.js';
import { expiredMessage } from './refusals.js';
import { expiryOf, hashToken, newToken } from './tokens.js';

export interface OperatorTicket {
  readonly operator: Operator;
  readonly token: string;
}

/** `by` is the operator who does it. Every change is in effect when its promise resolves. */
export interface Operators {
  /**
   * The operator that a token belongs to; null for a token that belongs to nobody.
   * @throws TributaryError `revoked`, `token_expired`.
   */
  authenticate(token: string): Promise<Operator | null>;
  /** @throws TributaryError `name_taken`; names are not given twice. */
  add(
    wanted: {
      readonly name: string;
      readonly role: OperatorRole;
      readonly expiresInMs?: number | undefined;
    },
    by: string,
  ): Promise<OperatorTicket>;
  /** By name, without the one of the configuration. */
  list(): Promise<Operator[]>;
  /** For good. No error where it is revoked already. @throws TributaryError `not_found`. */
  revoke(name: string, by: string): Promise<Operator>;
  /** A new token in the place of the old one. @throws TributaryError `not_found`, `conflict`. */
  rotate(name: string, by: string, expiresInMs?: number): Promise<OperatorTicket>;
}

export function createOperators(store: OperatorStore, clock: Clock): Operators {
  const eventOf = (type: string, operator: string, by: string, more = {}): NewEvent => ({
    at: clock.now(),
    type,
    body: { operator, ...more, by },
  });

  const operatorOf = async (name: string): Promise<Operator> => {
    if (name === ROOT) throw configured();
    const found = (await store.operators()).find((operator) => operator.name === name);
    if (found) return found;
    throw new TributaryError('not_found', `there is no operator "${name}"`);
  };

  const change = async (
    name: string,
    wanted: OperatorChange,
    event: NewEvent,
  ): Promise<Operator> => {
    const changed = await store.changeOperator(name, wanted, event);
    if (changed) return changed;
    throw new TributaryError('not_found', `there is no operator "${name}"`);
  };

  return {
    async authenticate(token) {
      const operator = await store.operatorByToken(hashToken(token));
      if (operator) checkStanding(operator, clock.now());
      return operator;
    },

    async add({ name, role, expiresInMs }, by) {
      if (name === ROOT) {
        throw new TributaryError('name_taken', `"${ROOT}" is the operator of the configured token`);
      }
      if (name === ITSELF) {
        const message = `"${ITSELF}" is what the ledger calls a site that enrols itself`;
        throw new TributaryError('name_taken', message);
      }
      const createdAt = clock.now();
      const tokenExpiresAt = expiryOf(createdAt, expiresInMs);
      const operator = { name, role, createdAt, tokenExpiresAt, revoked: false };
      const token = newToken('operator');
      await store.addOperator(
        operator,
        hashToken(token),
        eventOf('operator-added', name, by, { role }),
      );
      return { operator, token };
    },

    list: () => store.operators(),

    async revoke(name, by) {
      const operator = await operatorOf(name);
      if (operator.revoked) return operator;
      return change(name, { revoked: true }, eventOf('operator-revoked', name, by));
    },

    async rotate(name, by, expiresInMs) {
      if ((await operatorOf(name)).revoked) {
        const message = `operator "${name}" was revoked for good: add one under another name`;
        throw new TributaryError('conflict', message);
      }
      const token = newToken('operator');
      const expiresAt = expiryOf(clock.now(), expiresInMs);
      const wanted = { token: { hash: hashToken(token), expiresAt } };
      const operator = await change(name, wanted, eventOf('operator-rotated', name, by));
      return { operator, token };
    },
  };
}

function checkStanding(operator: Operator, now: number): void {
  const whose = `operator "${operator.name}"`;
  switch (operatorStanding(operator, now)) {
    case 'approved':
      return;
    case 'revoked':
      throw new TributaryError('revoked', `${whose} was revoked`);
    case 'expired':
      throw new TributaryError('token_expired', expiredMessage(whose, operator.tokenExpiresAt));
  }
}

function configured(): TributaryError {
  const message = `"${ROOT}" is the operator of the configured token: change TRIBUTARY_OPERATOR_TOKEN, or delete the file operator-token, and start again`;
  return new TributaryError('conflict', message);
}
