/**
 * A process that may not write files longer than its limit (`ulimit -f`), as on a disk that is full:
 * stages argv[3] bytes in the blob store in argv[2] and prints the error's code, that of its cause,
 * and what is left in the spool.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import { createDirectoryBlobStore } from '../../server/adapters/blob-directory.js';

const [, , directory, length] = process.argv;

async function* zeros(): AsyncGenerator<Uint8Array> {
  for (let left = Number(length); left > 0; left -= 65_536) {
    yield await Promise.resolve(new Uint8Array(Math.min(left, 65_536)));
  }
}

const blobs = await createDirectoryBlobStore(directory);
const error: unknown = await blobs.stage(zeros(), Infinity).then(
  () => 'staged',
  (e: unknown) => e,
);
const left = await readdir(join(directory, 'spool'));
const told =
  error instanceof TributaryError
    ? { code: error.code, cause: (error.cause as NodeJS.ErrnoException).code, left }
    : { unexpected: String(error), left };
console.log(JSON.stringify(told));
