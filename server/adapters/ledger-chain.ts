/**
 * The ledger's hash chain: each event is bound to the one before, so that nobody can change, drop,
 * add or reorder events in the middle without every later hash telling.
 *
 * An auditor can follow it from what psql shows: `hash` is the sha256 of `prev_hash` followed by
 * the canonical JSON of `{"at":…,"body":…,"seq":…,"type":…}`, `at` in milliseconds since 1970.
 */
import type { LedgerEvent, NewEvent } from '../core/ports.js';
import { canonicalJson, sha256OfText } from './canonical-json.js';
import { storableJson, storableText } from './storable.js';

/** What the first event has before it. */
export const GENESIS_HASH = '0'.repeat(64);

/** The end of a chain. */
export type ChainHead = Pick<LedgerEvent, 'seq' | 'hash'>;

/**
 * The events, numbered (from 1) and hashed as they follow `head`; null where there is none before.
 * What cannot be stored is cleaned out first: the hash is over what will be read again.
 */
export function appendEvents(head: ChainHead | null, events: readonly NewEvent[]): LedgerEvent[] {
  let { seq, hash } = head ?? { seq: 0, hash: GENESIS_HASH };
  return events.map(({ at, type, body }) => {
    const event = {
      seq: ++seq,
      at,
      type: storableText(type),
      body: storableJson(body, `ledger event ${type}`),
      prevHash: hash,
    };
    hash = hashOf(event);
    return { ...event, hash };
  });
}

/** The first event that breaks the chain, and how; null where it holds. `events` in order, from the first. */
export function verifyChain(
  events: readonly LedgerEvent[],
): { readonly seq: number; readonly problem: string } | null {
  let head: ChainHead = { seq: 0, hash: GENESIS_HASH };
  for (const event of events) {
    const problem = problemOf(event, head);
    if (problem) return { seq: event.seq, problem };
    head = event;
  }
  return null;
}

function problemOf(event: LedgerEvent, before: ChainHead): string | null {
  if (event.seq !== before.seq + 1) return `follows event ${before.seq}`;
  if (event.prevHash !== before.hash) return 'does not name the hash of the event before';
  if (event.hash !== hashOf(event)) return 'is not what was hashed';
  return null;
}

function hashOf({ prevHash, seq, at, type, body }: Omit<LedgerEvent, 'hash'>): string {
  return sha256OfText(prevHash + canonicalJson({ seq, at, type, body }));
}
