import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { createMemoryBlobStore } from '../../server/adapters/blob-memory.js';
import { createMemoryStore } from '../../server/adapters/memory-store.js';
import { readinessCheck, type ReadinessParts } from '../../server/adapters/readiness.js';

/** A coordinator in memory that leads, and how often its database was asked. */
function parts(changes: Partial<ReadinessParts> = {}) {
  const store = createMemoryStore();
  const asked = { times: 0 };
  return {
    asked,
    parts: {
      store: {
        run: (id: string) => {
          asked.times += 1;
          return store.run(id);
        },
      },
      blobs: createMemoryBlobStore(),
      room: { complaint: null },
      leadership: { leader: () => 'this coordinator leads' },
      ...changes,
    },
  };
}

describe('readiness', () => {
  it('says what was found, and looks once however many ask', async () => {
    const { asked, parts: all } = parts();
    const check = readinessCheck(all);
    const answers = await Promise.all(Array.from({ length: 50 }, () => check()));
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toEqual({
      database: 'answers',
      storage: 'can be written',
      leadership: 'this coordinator leads',
    });
    expect(asked.times).toBe(1);
  });

  it('tells why uploads are refused, while everything else works', async () => {
    const check = readinessCheck(parts({ room: { complaint: 'no room for 9 bytes' } }).parts);
    expect(await check()).toMatchObject({ storage: 'no room for 9 bytes' });
  });

  it('is refused where the database or the storage fails, with the state of each', async () => {
    const blobs = createMemoryBlobStore();
    const away = new TributaryError('storage_unavailable', 'no database');
    const full = new TributaryError('storage_full', 'the disk is full');
    const withoutDatabase = parts({ store: { run: () => Promise.reject(away) } });
    await expect(readinessCheck(withoutDatabase.parts)()).rejects.toMatchObject({
      code: 'storage_unavailable',
      details: { checks: { database: 'no database', storage: 'can be written' } },
    });
    const withoutDisk = parts({ blobs: { ...blobs, stage: () => Promise.reject(full) } });
    await expect(readinessCheck(withoutDisk.parts)()).rejects.toMatchObject({
      code: 'storage_full',
      details: { checks: { database: 'answers', storage: 'the disk is full' } },
    });
  });
});
