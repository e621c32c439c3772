/**
 * The ledger's hash chain: each event is bound to the one before, so that nobody can change, drop,
 * add or reorder events in the middle without every later hash telling.
 *
 * An auditor can follow it from what psql shows: `hash` is the sha256 of `prev_hash` followed by
 * the canonical JSON of `{"at":…,"body":…,"seq":…,"type":…}`, `at` in milliseconds since 1970.
 * `signature` is over `hash` (ledger-key.ts): who can write to the database alone cannot make a
 * chain of their own.
 */
import type { LedgerEvent, NewEvent } from '../core/records.js';
import { canonicalJson, sha256OfText } from './canonical-json.js';
import { storableJson, storableText } from './storable.js';

/** What the first event has before it. */
export const GENESIS_HASH = '0'.repeat(64);

/** Signs the hash of an event; null makes events without a signature. */
export type Sign = (hash: string) => Pick<LedgerEvent, 'signature' | 'keyId'>;

const UNSIGNED = { signature: null, keyId: null };

/** The end of a chain. */
export type ChainHead = Pick<LedgerEvent, 'seq' | 'hash'>;

/** What the first event follows. */
export const CHAIN_START: ChainHead = { seq: 0, hash: GENESIS_HASH };

/**
 * The events, numbered (from 1) and hashed as they follow `head`; null where there is none before.
 * What cannot be stored is cleaned out first: the hash is over what will be read again.
 */
export function appendEvents(
  head: ChainHead | null,
  events: readonly NewEvent[],
  sign: Sign | null = null,
): LedgerEvent[] {
  let { seq, hash } = head ?? CHAIN_START;
  return events.map(({ at, type, body }) => {
    const event = {
      seq: ++seq,
      at,
      type: storableText(type),
      body: storableJson(body, `ledger event ${type}`),
      prevHash: hash,
    };
    hash = hashOf(event);
    return { ...event, hash, ...(sign?.(hash) ?? UNSIGNED) };
  });
}

/** An event that breaks its ledger, and how: `it ${problem}`. */
export interface LedgerBreak {
  readonly seq: number;
  readonly problem: string;
}

/** The first event that breaks the chain; null where it holds. `events` in order, from the first. */
export function verifyChain(events: readonly LedgerEvent[]): LedgerBreak | null {
  let head: ChainHead = CHAIN_START;
  for (const event of events) {
    const problem = chainProblem(event, head);
    if (problem) return { seq: event.seq, problem };
    head = event;
  }
  return null;
}

/** How an event does not follow the one before; null where it does. */
export function chainProblem(event: LedgerEvent, before: ChainHead): string | null {
  if (event.seq !== before.seq + 1) return `follows event ${before.seq}`;
  if (event.prevHash !== before.hash) return 'does not name the hash of the event before';
  if (event.hash !== hashOf(event)) return 'is not what was hashed';
  return null;
}

type Hashed = Pick<LedgerEvent, 'prevHash' | 'seq' | 'at' | 'type' | 'body'>;

function hashOf({ prevHash, seq, at, type, body }: Hashed): string {
  return sha256OfText(prevHash + canonicalJson({ seq, at, type, body }));
}
