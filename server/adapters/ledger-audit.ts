/**
 * Whether a ledger is whole and untouched, told event by event, so that one of any length can be
 * checked in little memory. It trusts nothing but the keys that it is given: not the database, and
 * not the coordinator.
 */
import type { LedgerEvent } from '../core/records.js';
import { CHAIN_START, type ChainHead, chainProblem, type LedgerBreak } from './ledger-chain.js';
import type { VerifyingKey } from './ledger-key.js';

export interface AuditOptions {
  /** The run that the ledger is said to be of; null: the coordinator's own. */
  readonly run: string | null;
  /** Keys that events may be signed with. */
  readonly keys: readonly VerifyingKey[];
  /** A head that was noted earlier: it must still be there, else the end was cut off or rewritten. */
  readonly noted?: ChainHead | null;
  /** Takes a ledger in which no event is signed, such as one from before there were keys. */
  readonly allowUnsigned?: boolean;
}

export interface LedgerAudit {
  /** The next event, from the first on. @returns how it breaks the ledger; stop then. */
  take(event: LedgerEvent): LedgerBreak | null;
  /** After the last event: what is missing. */
  end(): LedgerBreak | null;
  /** The newest event so far. */
  readonly head: ChainHead;
  /** Events at the beginning that have no signature; the chain binds them to the first that has one. */
  readonly unsigned: number;
}

export function auditLedger(options: AuditOptions): LedgerAudit {
  let head = CHAIN_START;
  let unsigned = 0;
  return {
    take(event) {
      const signedBefore = head.seq > unsigned;
      const problem =
        chainProblem(event, head) ??
        originProblem(event, options) ??
        signatureProblem(event, signedBefore, options) ??
        notedProblem(event, options);
      if (problem) return { seq: event.seq, problem };
      if (event.signature === null) unsigned += 1;
      head = { seq: event.seq, hash: event.hash };
      return null;
    },
    end: () => missing(head, unsigned === head.seq, options),
    get head() {
      return head;
    },
    get unsigned() {
      return unsigned;
    },
  };
}

/** All ledgers begin alike, so that without this one could stand in another's place. */
function originProblem({ seq, type, body }: LedgerEvent, { run }: AuditOptions): string | null {
  if (seq !== 1) return null;
  if ((type === 'run-created') !== (run !== null)) return `is not how this ledger begins: ${type}`;
  const named = typeof body === 'object' && body !== null && 'run' in body ? body.run : run;
  return run === null || named === run ? null : `is of another run: ${JSON.stringify(named)}`;
}

function signatureProblem(
  { hash, signature, keyId }: LedgerEvent,
  signedBefore: boolean,
  { keys }: AuditOptions,
): string | null {
  if (signature === null) {
    if (keyId !== null) return 'names a key, and has no signature';
    return signedBefore ? 'has no signature, while the one before has' : null;
  }
  const key = keys.find((known) => known.keyId === keyId);
  if (!key) return `is signed with the key ${String(keyId)}, which was not given`;
  return key.verifies(hash, signature) ? null : 'has a signature that is not of its hash';
}

function notedProblem({ seq, hash }: LedgerEvent, { noted }: AuditOptions): string | null {
  return noted?.seq === seq && noted.hash !== hash
    ? 'is another than the head that was noted'
    : null;
}

function missing(
  { seq }: ChainHead,
  allUnsigned: boolean,
  { run, noted, allowUnsigned }: AuditOptions,
): LedgerBreak | null {
  const first = Math.max(noted?.seq ?? 0, run === null ? 0 : 1);
  if (seq < first) return { seq: seq + 1, problem: `is missing, as all after event ${seq}` };
  if (allUnsigned && seq > 0 && !allowUnsigned) {
    return { seq, problem: 'has no signature, and none before it has one' };
  }
  return null;
}
