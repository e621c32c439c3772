/**
 * A ledger as JSON lines, for an auditor: a header that says whose it is and which key signs it, then
 * one event a line. Every line is canonical JSON (RFC 8785), so that each byte of the file is either
 * as it was written or wrong.
 */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { canonicalJson } from '../../adapters/canonical-json.js';
import type { LedgerEvent } from '../../core/records.js';
import { isWrittenInPlace } from '../in-place.js';
import { eventsFrom, type LedgerApi } from './source.js';

export const EXPORT_FORMAT = 'tributary-ledger-1';

/** `run` is null for the coordinator's own ledger, the key where the coordinator has none. */
export const exportHeader = z.strictObject({
  format: z.literal(EXPORT_FORMAT),
  run: z.string().nullable(),
  keyId: z.string().nullable(),
  publicKey: z.string().nullable(),
});
export type ExportHeader = z.infer<typeof exportHeader>;

/**
 * Writes to a file, or to standard output for `-`.
 * @returns how many events there were.
 */
export async function exportLedger(
  api: LedgerApi,
  run: string | null,
  out: string,
): Promise<number> {
  const key = (await api.ledgerKey()) ?? { keyId: null, publicKey: null };
  const header: ExportHeader = { format: EXPORT_FORMAT, run, ...key };
  let count = 0;
  async function* lines(): AsyncGenerator<string> {
    yield headerLine(header);
    for await (const event of eventsFrom(api, run)) {
      count += 1;
      yield eventLine(event);
    }
  }
  if (out === '-') await pipeline(Readable.from(lines()), process.stdout, { end: false });
  else await writeWhole(lines(), out);
  return count;
}

/** A connection that breaks in the middle must not leave a ledger that looks as if it ended there. */
async function writeWhole(lines: AsyncIterable<string>, out: string): Promise<void> {
  const inPlace = await isWrittenInPlace(out);
  const path = inPlace ? out : `${out}.part`;
  try {
    await pipeline(Readable.from(lines), createWriteStream(path));
    if (!inPlace) await rename(path, out);
  } catch (error) {
    if (!inPlace) await rm(path, { force: true });
    throw error;
  }
}

export function headerLine(header: ExportHeader): string {
  return `${canonicalJson(header)}\n`;
}

export function eventLine(event: LedgerEvent): string {
  return `${canonicalJson({ ...event, at: new Date(event.at).toISOString() })}\n`;
}
