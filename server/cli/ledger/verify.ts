/** Whether a ledger is whole and untouched: of a coordinator, or from an export. */
import { readFile } from 'node:fs/promises';
import { TributaryError } from '../../../protocol/errors.js';
import { auditLedger, type LedgerAudit } from '../../adapters/ledger-audit.js';
import type { ChainHead, LedgerBreak } from '../../adapters/ledger-chain.js';
import { type VerifyingKey, verifyingKey } from '../../adapters/ledger-key.js';
import type { LedgerEvent } from '../../core/records.js';
import type { ConnectionOptions } from '../connection.js';
import { connect } from '../connection.js';
import { DamagedLine, openExport } from './file.js';
import { eventsFrom, whichLedger } from './source.js';

export interface VerifyOptions extends ConnectionOptions {
  readonly key: readonly string[];
  readonly head?: string;
  readonly file?: string;
  readonly coordinator?: boolean;
  readonly allowUnsigned?: boolean;
}

export interface Verdict {
  /** null: the coordinator's own ledger. */
  readonly run: string | null;
  readonly head: ChainHead;
  /** Events at the beginning without a signature. */
  readonly unsigned: number;
  /** Where the key came from; null where no signature was looked at. */
  readonly keysFrom: 'given' | 'coordinator' | 'file' | null;
  /** The first event that is wrong; 0 is the header of a file. */
  readonly broken: LedgerBreak | null;
}

interface Ledger {
  readonly run: string | null;
  readonly events: AsyncIterable<LedgerEvent>;
  /** The key that comes with the ledger itself, and so proves less. */
  readonly ownKey: string | null;
  readonly from: 'coordinator' | 'file';
}

/** @throws TributaryError `bad_request` for options that make no sense, and what the coordinator answers. */
export async function verified(run: string | null, options: VerifyOptions): Promise<Verdict> {
  const noted = options.head === undefined ? null : notedHead(options.head);
  const given = await Promise.all(options.key.map(readKey));
  let found = run;
  try {
    const ledger = await openLedger(run, options);
    const { ownKey } = ledger;
    found = ledger.run;
    const own = ownKey === null ? [] : [verifyingKey(ownKey)];
    const keys = given.length > 0 ? given : own;
    // No key and no signatures: there never was one. With signatures, it was taken away.
    const allowUnsigned = options.allowUnsigned === true || keys.length === 0;
    const audit = auditLedger({ run: ledger.run, keys, noted, allowUnsigned });
    const keysFrom = keys.length === 0 ? null : given.length > 0 ? 'given' : ledger.from;
    const broken = foreignKey(ledger, given) ?? (await firstBreak(ledger.events, audit));
    const { head, unsigned } = audit;
    return { run: ledger.run, head, unsigned, keysFrom, broken };
  } catch (error) {
    if (!(error instanceof DamagedLine)) throw error;
    return {
      run: found,
      head: { seq: 0, hash: '' },
      unsigned: 0,
      keysFrom: null,
      broken: error.at,
    };
  }
}

async function openLedger(run: string | null, options: VerifyOptions): Promise<Ledger> {
  if (options.file !== undefined) return openFile(options.file, run, options.coordinator);
  const which = whichLedger(run, options.coordinator);
  const api = await connect(options);
  const ownKey = (await api.ledgerKey())?.publicKey ?? null;
  return { run: which, events: eventsFrom(api, which), ownKey, from: 'coordinator' };
}

async function openFile(path: string, run: string | null, coordinator = false): Promise<Ledger> {
  const { header, events } = await openExport(path);
  const asked = coordinator ? null : (run ?? header.run);
  if (header.run !== asked) {
    const problem = `says that the ledger is ${whose(header.run)}, not ${whose(asked)}`;
    throw new DamagedLine({ seq: 0, problem });
  }
  return { run: header.run, events, ownKey: header.publicKey, from: 'file' };
}

/** An export that names another key than those that the auditor trusts is not what it says. */
function foreignKey({ ownKey, from }: Ledger, given: readonly VerifyingKey[]): LedgerBreak | null {
  const known = ownKey === null || given.length === 0 || from === 'coordinator';
  if (known || given.some(({ publicKey }) => publicKey === ownKey)) return null;
  return { seq: 0, problem: 'names a key that was not given' };
}

async function firstBreak(
  events: AsyncIterable<LedgerEvent>,
  audit: LedgerAudit,
): Promise<LedgerBreak | null> {
  for await (const event of events) {
    const broken = audit.take(event);
    if (broken) return broken;
  }
  return audit.end();
}

async function readKey(keyOrFile: string): Promise<VerifyingKey> {
  try {
    return verifyingKey(keyOrFile);
  } catch (error) {
    const text = await readFile(keyOrFile, 'utf8').catch(() => null);
    if (text === null) throw error;
    return verifyingKey(text);
  }
}

function notedHead(text: string): ChainHead {
  const [, seq, hash] = /^(\d{1,9}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (hash) return { seq: Number(seq), hash };
  const message = `--head "${text}": give a head as "ledger verify" prints it, SEQ:HASH`;
  throw new TributaryError('bad_request', message);
}

export function verdictShown(verdict: Verdict): string {
  const { run, head, unsigned, keysFrom, broken } = verdict;
  const ledger = `the ledger ${whose(run)}`;
  // By a header that is wrong nobody knows whose ledger it is.
  if (broken?.seq === 0) return `the export is broken: the header ${broken.problem}`;
  if (broken) return `${ledger} is broken: event ${broken.seq} ${broken.problem}`;
  const lines = [
    `${ledger} is whole: ${head.seq} events, ${keysFrom ? 'chain and signatures hold' : 'its chain holds; it is not signed'}`,
    `head ${head.seq}:${head.hash}`,
    'Note the head down, away from the coordinator: --head finds later whether the end was cut off.',
  ];
  if (keysFrom && unsigned > 0) {
    lines.push(`The first ${unsigned} events have no signature of their own.`);
  }
  if (keysFrom && keysFrom !== 'given') {
    lines.push(`The key came from the ${keysFrom} itself: --key KEY proves more.`);
  }
  return lines.join('\n');
}

function whose(run: string | null): string {
  return run === null ? 'of the coordinator' : `of run ${run}`;
}
