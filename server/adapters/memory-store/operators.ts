/** Operators in memory. */
import type { OperatorChange, OperatorStore } from '../../core/ports.js';
import type { NewEvent, Operator } from '../../core/records.js';
import { sortedOperators } from '../order.js';
import { conflict, operatorTaken } from '../refusals.js';
import { type State, withEvents } from './state.js';

type Verbs = { [K in keyof OperatorStore]: (...args: Parameters<OperatorStore[K]>) => unknown };

/** The verbs as synchronous functions; the store makes promises of them. */
export function operatorVerbs(state: State) {
  const { operators } = state;
  const byToken = (tokenHash: string): Operator | null =>
    [...operators.values()].find((entry) => entry.tokenHash === tokenHash)?.operator ?? null;
  const note = (event: NewEvent): void => {
    state.coordinatorEvents = withEvents({ events: state.coordinatorEvents }, [event], state.sign);
  };
  return {
    addOperator: (operator: Operator, tokenHash: string, event: NewEvent): void => {
      if (operators.has(operator.name)) throw operatorTaken(operator.name);
      if (byToken(tokenHash)) throw conflict('the token is in use');
      note(event);
      operators.set(operator.name, { operator, tokenHash });
    },
    operatorByToken: byToken,
    operators: () => sortedOperators([...operators.values()].map(({ operator }) => operator)),
    changeOperator: (name: string, { revoked, token }: OperatorChange, event: NewEvent) => {
      const entry = operators.get(name);
      if (!entry) return null;
      if (token && byToken(token.hash)) throw conflict('the token is in use');
      note(event);
      const { operator, tokenHash } = entry;
      const changed: Operator = {
        ...operator,
        revoked: revoked ?? operator.revoked,
        tokenExpiresAt: token ? token.expiresAt : operator.tokenExpiresAt,
      };
      operators.set(name, { operator: changed, tokenHash: token?.hash ?? tokenHash });
      return changed;
    },
  } satisfies Verbs;
}
