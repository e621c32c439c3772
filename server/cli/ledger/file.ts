/** An exported ledger, read again line by line. What is not as an export writes it is told as it is. */
import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { TributaryError } from '../../../protocol/errors.js';
import { event as eventSchema } from '../../../protocol/http.js';
import type { LedgerBreak } from '../../adapters/ledger-chain.js';
import { verifyingKey } from '../../adapters/ledger-key.js';
import type { LedgerEvent } from '../../core/records.js';
import { eventLine, type ExportHeader, exportHeader, headerLine } from './export.js';
import { toLedgerEvent } from './source.js';

/** No event is longer; a file without line ends would otherwise fill the memory. */
const MAX_LINE_BYTES = 64 * 1024 ** 2;
const NEWLINE = 0x0a;

const strictEvent = z.strictObject(eventSchema.shape);

/** A line that no export has; thrown while a file is read. */
export class DamagedLine extends Error {
  /** `seq` counts the header as 0. */
  constructor(readonly at: LedgerBreak) {
    super(at.problem);
  }
}

/**
 * The header and the events of an export.
 * @throws TributaryError `bad_request` where the file cannot be read; {@link DamagedLine}, also while
 * the events are read.
 */
export async function openExport(
  path: string,
): Promise<{ header: ExportHeader; events: AsyncGenerator<LedgerEvent> }> {
  const lines = linesOf(path);
  const first = await lines.next();
  if (first.done) throw new DamagedLine({ seq: 0, problem: 'is missing: the file is empty' });
  return { header: readHeader(first.value), events: eventsOf(lines) };
}

function readHeader(line: string): ExportHeader {
  const header = readLine(line, 0, exportHeader);
  if (headerLine(header) !== line) throw damaged(0);
  const { keyId, publicKey } = header;
  if (publicKey === null && keyId === null) return header;
  if (publicKey === null || keyId === null || !isKey(publicKey, keyId)) {
    throw new DamagedLine({ seq: 0, problem: 'names a key that is none' });
  }
  return header;
}

function isKey(publicKey: string, keyId: string): boolean {
  try {
    const key = verifyingKey(publicKey);
    return key.keyId === keyId && key.publicKey === publicKey;
  } catch {
    return false;
  }
}

async function* eventsOf(lines: AsyncGenerator<string>): AsyncGenerator<LedgerEvent> {
  let seq = 0;
  for await (const line of lines) {
    seq += 1;
    const event = toLedgerEvent(readLine(line, seq, strictEvent));
    // Spelt otherwise, it may say the same and still not be what was written.
    if (Number.isNaN(event.at) || eventLine(event) !== line) throw damaged(seq);
    yield event;
  }
}

function readLine<T>(line: string, seq: number, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(line));
  } catch {
    throw damaged(seq);
  }
}

function damaged(seq: number): DamagedLine {
  return new DamagedLine({ seq, problem: 'is not written as an export writes it' });
}

/** Lines with their line ends; only LF ends one. A last line without it is a line all the same. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
        yield textOf(rest.subarray(0, end + 1));
        rest = rest.subarray(end + 1);
      }
      if (rest.length > MAX_LINE_BYTES) break;
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TributaryError('bad_request', `${path} cannot be read: ${why}`, undefined, { cause });
  }
  if (rest.length > 0) yield textOf(rest);
}

/** Bytes that are not UTF-8 become a character that no line has at its end, and are found so. */
function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : `${text}\uFFFD`;
}
