/** The folder of `tributary join --state`: what a client keeps there over restarts. */
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Kept } from '../../client/kept.js';
import type { Vectors } from '../../client/types.js';
import type { GivenWeight } from '../../protocol/http.js';
import { stateFolder } from '../../server/cli/join/state.js';
import { folder, useFolder } from '../support/folder.js';

describe('the folder of --state', () => {
  useFolder('each');

  const never = (): Promise<GivenWeight> => Promise.reject(new Error('nobody is to be asked'));
  const place = (key: string, assignmentId: string) => ({ key, assignmentId });
  const hash = (digit: number): string => String(digit).repeat(64);
  const vector = (...values: number[]): Vectors => ({ c: { 'a/b': Float32Array.from(values) } });

  it('has nothing at first, then the last that was held', async () => {
    const storage = stateFolder(join(folder, 'made', 'for it'));
    const kept = new Kept(storage);
    expect(await kept.recall(place('run-1.ada', 'first'), never)).toEqual({});
    await kept.hold('first', hash(1), vector(1, 2));
    kept.recorded({ assignmentId: 'first', sha256: hash(1), status: 'accepted' });
    kept.counted('first');
    await kept.hold('second', hash(2), vector(3, 4));
    for (const [weight, expected] of [
      [0, vector(3, 4)],
      [null, vector(1, 2)],
    ] as const) {
      const asked: string[] = [];
      const again = new Kept(storage);
      const found = await again.recall(place('run-1.ada', 'third'), (id) => {
        asked.push(id);
        return Promise.resolve({ weight, sha256: hash(2) });
      });
      expect(found).toEqual(expected);
      expect(asked).toEqual(['second']);
    }
  });

  it('holds one file a client and run, for the user alone', async () => {
    const storage = stateFolder(folder);
    for (const key of ['run-1.ada', 'run-1.Bo', '../run-2.ada']) {
      const kept = new Kept(storage);
      await kept.recall(place(key, 'a1'), never);
      await kept.hold('a1', hash(1), vector(1));
    }
    const files = readdirSync(folder).sort();
    expect(files).toEqual([
      '.._run-2.ada.safetensors',
      'run-1.Bo.safetensors',
      'run-1.ada.safetensors',
    ]);
    for (const file of files) {
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    }
  });

  it('has one file less when a run is over', async () => {
    const storage = stateFolder(folder);
    for (const key of ['run-1.ada', 'run-2.ada']) await storage.save(key, new Uint8Array(3));
    await storage.remove('run-1.ada');
    await storage.remove('run-3.ada');
    expect(readdirSync(folder)).toEqual(['run-2.ada.safetensors']);
    expect(await storage.load('run-1.ada')).toBeNull();
  });

  it('says where it cannot write, or remove', async () => {
    writeFileSync(join(folder, 'file'), '');
    const storage = stateFolder(join(folder, 'file'));
    const refused = { code: 'storage_unavailable' };
    await expect(storage.save('run-1.ada', new Uint8Array(3))).rejects.toMatchObject(refused);
    await expect(storage.remove('run-1.ada')).rejects.toMatchObject(refused);
  });
});
