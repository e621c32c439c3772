/** A folder of the tests' own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';

/** Between {@link useFolder}'s hooks. */
export let folder: string;

/** Makes the folder for all tests of a file or group, or for each anew, and removes it after them. */
export function useFolder(when: 'each' | 'all' = 'all'): void {
  const [before, after] = when === 'each' ? [beforeEach, afterEach] : [beforeAll, afterAll];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-test-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
}
