/**
 * Where uploads arrive: a file for each, hashed while it is written. A spooled file counts for
 * nothing until a blob store takes it. Names carry the process and its thread, so that what a crash
 * leaves behind is told from what another coordinator on the same directory is still writing.
 */
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { TributaryError } from '../../protocol/errors.js';
import { onStorage } from './blob-files.js';
import { markIsAlive, thisProcess } from './postgres/processes.js';

export interface SpooledFile {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

export interface Spool {
  /**
   * Writes a stream to a file and syncs it. Leaves nothing where that fails.
   *
   * @throws TributaryError `too_large` past `maxBytes`, `storage_full`, `storage_unavailable`;
   * whatever the source throws.
   */
  receive(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<SpooledFile>;
  /** Removes what processes that ended left. */
  tidy(): Promise<void>;
}

/** Makes the directory and removes what processes that ended left in it. */
export async function openSpool(directory: string): Promise<Spool> {
  await onStorage(`make the spool directory ${directory}`, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await removeLeftovers(directory);
  });
  return {
    receive: (source, maxBytes) => receive(directory, source, maxBytes),
    tidy: () =>
      onStorage(`tidy the spool directory ${directory}`, () => removeLeftovers(directory)),
  };
}

/** Host names may hold anything; containers that share a volume differ in theirs. */
const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 12);
/** After this long, a file of another host belongs to nobody: no upload takes a day. */
const foreignLifeMs = 24 * 60 * 60 * 1000;
/** Host, process, thread (not in names of earlier versions), and what makes it one of many. */
const spoolName = /^([0-9a-f]{12})\.(\d+-\d+)(?:\.\d+)?\.[0-9a-f-]{36}$/;

async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const parts = spoolName.exec(name);
    if (!parts) continue;
    const [, itsHost, mark] = parts;
    const path = join(directory, name);
    const abandoned = itsHost === host ? !markIsAlive(mark) : await isOld(path);
    if (abandoned) await rm(path, { force: true });
  }
}

/** Process numbers of another host say nothing here: only age does. */
async function isOld(path: string): Promise<boolean> {
  // Its owner may take the file away while we look.
  const modified = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Infinity,
  );
  return Date.now() - modified > foreignLifeMs;
}

/**
 * Removes what a thread of this process was writing when it ended; the next start of a coordinator
 * would find its process alive and leave it. Thread numbers are never given twice.
 */
export async function removeSpooledBy(thread: number, directory: string): Promise<void> {
  const left = (await readdir(directory)).filter((name) => name.startsWith(prefixOf(thread)));
  await Promise.all(left.map((name) => rm(join(directory, name), { force: true })));
}

function prefixOf(thread: number): string {
  return `${host}.${thisProcess()}.${thread}.`;
}

async function receive(
  directory: string,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<SpooledFile> {
  const path = join(directory, `${prefixOf(threadId)}${randomUUID()}`);
  const file = await onStorage('spool an upload', () => open(path, 'wx', 0o600));
  try {
    const received = await copyHashing(source, file, maxBytes);
    await onStorage('sync an upload', () => file.sync());
    await file.close();
    return { path, ...received };
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(path, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function copyHashing(
  source: AsyncIterable<Uint8Array>,
  file: FileHandle,
  maxBytes: number,
): Promise<Omit<SpooledFile, 'path'>> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.byteLength;
    requireSize(bytes, maxBytes);
    hash.update(chunk);
    await onStorage('spool an upload', () => file.writeFile(chunk));
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** @throws TributaryError `too_large` */
export function requireSize(bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw new TributaryError('too_large', `more than ${maxBytes} bytes`, { maxBytes });
  }
}
