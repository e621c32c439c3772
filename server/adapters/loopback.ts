/**
 * Clients in the coordinator's own process, without sockets: for simulation and tests. The same
 * messages in the same order as over the gateway, and the same rule of one connection a client.
 */
import type { Assignment, Closed, Goodbye, RunState, Weighed } from '../../protocol/messages.js';
import { TributaryError } from '../../protocol/errors.js';
import type { Presence, Transport } from '../core/ports.js';
import type { Client } from '../core/records.js';
import type { Engine } from '../engine/engine.js';

/** What a client hears. Handlers must not throw: there is nobody to tell. */
export interface LoopbackHandlers {
  /** May name an assignment again that the client has already: after it connected anew. */
  assignment(message: Assignment): void;
  closed(message: Closed): void;
  weighed(message: Weighed): void;
  run(message: RunState): void;
  /** Why the connection ends: another one of the same client took its place. */
  goodbye(message: Goodbye): void;
}

/** What a client says of itself when it connects, as `hello` does. */
export type Abilities = Pick<Presence, 'trains' | 'evaluates' | 'oracleBatches'>;

export interface Loopback {
  readonly transport: Transport;
  /** The engine that the clients talk to. Engine and transport need each other: call this once. */
  bind(engine: Engine): void;
  /**
   * Makes the client present and tells it what it has to work on. Resolves with a function that
   * disconnects it.
   */
  connect(client: Client, abilities: Abilities, handlers: LoopbackHandlers): Promise<() => void>;
}

interface Connection {
  readonly presence: Presence;
  readonly handlers: LoopbackHandlers;
}

export function createLoopback(): Loopback {
  const connections = new Map<string, Connection>();
  let bound: Engine | undefined;

  const engine = (): Engine => {
    if (bound) return bound;
    throw new TributaryError('internal', 'the loopback is not bound to an engine yet');
  };

  const inRun = (runId: string): Connection[] =>
    [...connections.values()].filter(({ presence }) => presence.runId === runId);

  /** Later, as over a network: a client that answers at once must not re-enter the engine. */
  const tell = (runId: string, clientId: string, message: (to: LoopbackHandlers) => void): void => {
    const connection = connections.get(keyOf(runId, clientId));
    if (connection) later(connection, message);
  };
  const later = (connection: Connection, message: (to: LoopbackHandlers) => void): void => {
    const { runId, id } = connection.presence;
    queueMicrotask(() => {
      if (connections.get(keyOf(runId, id)) === connection) message(connection.handlers);
    });
  };

  const transport: Transport = {
    present: (runId) => inRun(runId).map(({ presence }) => presence),
    assign: (clientId, assignment) =>
      tell(assignment.runId, clientId, (to) => to.assignment(assignment)),
    closed: (runId, clientId, assignmentId, reason) =>
      tell(runId, clientId, (to) => to.closed({ assignmentId, reason })),
    weighed: (runId, clientId, message) => tell(runId, clientId, (to) => to.weighed(message)),
    announce: (runId, state) => {
      for (const connection of inRun(runId)) later(connection, (to) => to.run(state));
    },
  };

  return {
    transport,
    bind(to) {
      bound = to;
    },
    async connect(client, abilities, handlers) {
      const key = keyOf(client.runId, client.id);
      const connection = { presence: { ...client, ...abilities }, handlers };
      const former = connections.get(key);
      connections.set(key, connection);
      if (former) {
        const message = `client "${client.id}" connected again`;
        former.handlers.goodbye(new TributaryError('replaced', message).toBody());
      }
      engine().joined(connection.presence);
      for (const assignment of (await engine().welcome(client)).assignments) {
        tell(client.runId, client.id, (to) => to.assignment(assignment));
      }
      return () => {
        // A connection that was replaced has nothing to say: the client is still here.
        if (connections.get(key) !== connection) return;
        connections.delete(key);
        engine().left(client);
      };
    },
  };
}

/** Client ids are unique within a run only, and have no blanks. */
function keyOf(runId: string, clientId: string): string {
  return `${runId} ${clientId}`;
}
