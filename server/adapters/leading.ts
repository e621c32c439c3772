/** What a coordinator does when it begins to lead, while it leads, and when it ceases to. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../protocol/errors.js';
import type { Change, Clock, LedgerStore, Notifications } from '../core/ports.js';
import { backOff } from '../engine/back-off.js';
import type { Engine, Log } from '../engine/engine.js';
import type { Closers } from './closers.js';
import type { Leadership } from './leadership.js';
import { jittered } from './pace.js';

export interface LeadingParts {
  readonly leadership: Leadership;
  readonly notifications: Notifications;
  readonly engine: Pick<Engine, 'start' | 'rest' | 'look'>;
  readonly gateway: {
    /** Ends the connections of all clients, each with a reason of its own. */
    dismiss(why: () => TributaryError): void;
  };
  readonly store: Pick<LedgerStore, 'appendCoordinatorEvents'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** A notice may be lost with the process that was about to send it. */
const LOOK_AGAIN_MS = 5_000;

/**
 * Leads whenever this coordinator is the one that does. Resolves when it does, or another one.
 *
 * @throws TributaryError `storage_unavailable` where the runs cannot be taken up at the start; later
 * on that is tried again.
 */
export async function leadInTurn(parts: LeadingParts, closers: Closers): Promise<void> {
  const { leadership, notifications, engine, gateway, log } = parts;
  const stopListening = notifications.onChange((change) => heed(change, parts));
  const looking = setInterval(() => heed({ kind: 'anything' }, parts), LOOK_AGAIN_MS);
  looking.unref();
  closers.add('listening to other coordinators', () => {
    clearInterval(looking);
    stopListening();
    return Promise.resolve();
  });
  let started = false;
  await leadership.start({
    won: async (epoch) => {
      await (started ? takeUp(parts) : engine.start());
      log.info({ epoch }, 'this coordinator leads');
      await noteLeader(epoch, parts);
    },
    lost: async (why) => {
      log.warn({ why }, 'this coordinator stands by');
      const resting = engine.rest();
      gateway.dismiss(() => leadership.refusal() ?? takenOver());
      await resting;
    },
  });
  started = true;
}

function heed(change: Change, { engine, log }: LeadingParts): void {
  if (change.kind !== 'run' && change.kind !== 'anything') return;
  engine.look(change.kind === 'run' ? change.runId : undefined).catch((err: unknown) => {
    log.warn({ err }, 'what was stored elsewhere could not be looked at; looking again soon');
  });
}

/** Where it leads again before all goodbyes are said. */
function takenOver(): TributaryError {
  const message = 'this coordinator did not lead for a moment: connect again';
  return new TributaryError('standby', message, undefined, { retryAfterMs: jittered(500) });
}

/** Tries until it is done, or until somebody else leads. */
async function takeUp({ leadership, engine, log }: LeadingParts): Promise<void> {
  for (let failures = 1; leadership.refusal() === null; failures++) {
    try {
      await engine.start();
      return;
    } catch (err) {
      log.error({ err }, 'the runs could not be taken up; trying again');
      await sleep(backOff(failures), null, { ref: false });
    }
  }
}

async function noteLeader(epoch: number, parts: LeadingParts): Promise<void> {
  const { leadership, store, clock, log } = parts;
  if (leadership.holder === null) return;
  const body = { holder: leadership.holder, epoch, url: leadership.address() };
  try {
    await store.appendCoordinatorEvents([{ at: clock.now(), type: 'leader-changed', body }]);
  } catch (err) {
    log.warn({ err, epoch }, 'the change of the leader is not in the ledger');
  }
}
