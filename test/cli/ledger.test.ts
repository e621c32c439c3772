/** `tributary ledger`: exports, and what is found when one is not as it was written. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { appendEvents } from '../../server/adapters/ledger-chain.js';
import { ledgerKeyOf } from '../../server/adapters/ledger-key.js';
import { eventLine, exportLedger, headerLine } from '../../server/cli/ledger/export.js';
import { type Verdict, verdictShown, verified } from '../../server/cli/ledger/verify.js';
import type { Api } from '../../server/cli/api.js';
import type { NewEvent } from '../../server/core/records.js';

const at = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const key = ledgerKeyOf(
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
);
const { publicKey } = key.shown;

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-ledger-'));
  path = join(folder, 'export.jsonl');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function verify(file: string, options: { key?: string[]; head?: string } = {}): Promise<Verdict> {
  return verified(null, { url: 'http://127.0.0.1:1', key: [], file, ...options });
}

describe('an export', () => {
  const bodies: NewEvent['body'][] = [
    { run: 'r1', seed: 7, rule: { name: 'fedavg', options: { momentum: 0.3 } } },
    { given: { anna: 0.1, bert: 1 / 3, 'ä 数字 😀': -1e-7 }, note: 'a "quote" \\ and \u2028' },
    { list: [null, true, 1e21, '', []] },
    null,
  ];
  const events = appendEvents(
    null,
    bodies.map((body, i) => ({ at: at + i, type: i === 0 ? 'run-created' : `type ${i}`, body })),
    key.sign,
  );
  const header = { format: 'tributary-ledger-1', run: 'r1', ...key.shown } as const;
  const file = Buffer.from(headerLine(header) + events.map(eventLine).join(''));

  function everyFifth(end: number): number[] {
    return Array.from({ length: Math.ceil(end / 5) }, (_, i) => 5 * i);
  }

  function written(content: Uint8Array): string {
    writeFileSync(path, content);
    return path;
  }

  it('verifies as it was written, with the key that is given or its own, and tells which', async () => {
    const head = { seq: 4, hash: events[3].hash };
    const given = await verify(written(file), { key: [publicKey], head: `4:${head.hash}` });
    expect(given).toEqual({ run: 'r1', head, unsigned: 0, keysFrom: 'given', broken: null });
    const alone = await verify(path);
    expect(alone).toMatchObject({ keysFrom: 'file', broken: null });
    expect(verdictShown(given)).toContain(`head 4:${head.hash}`);
    expect(verdictShown(given)).not.toContain('proves more');
    expect(verdictShown(alone)).toContain('proves more');
  });

  it('is not believed where any single byte is altered', async () => {
    const flip = fc.record({
      position: fc.nat(file.length - 1),
      mask: fc.integer({ min: 1, max: 255 }),
      key: fc.constantFrom<string[]>([publicKey], []),
    });
    await fc.assert(
      fc.asyncProperty(flip, async ({ position, mask, key }) => {
        const altered = Buffer.from(file);
        altered[position] ^= mask;
        expect((await verify(written(altered), { key })).broken).not.toBeNull();
      }),
      { seed: 11, numRuns: 1500 },
    );
  });

  it('is not believed with the lowest bit of any of its bytes altered', async () => {
    for (let position = 0; position < file.length; position += 1) {
      const altered = Buffer.from(file);
      altered[position] ^= 1;
      const { broken } = await verify(written(altered));
      expect(broken, `byte ${position}`).not.toBeNull();
    }
  });

  it('is not believed where bytes are missing, unless whole events are missing at the end', async () => {
    const ends = [file.length];
    for (let i = file.length - 2; i > 0; i -= 1) if (file[i] === 0x0a) ends.push(i + 1);
    const noted = `4:${events[3].hash}`;
    for (const length of new Set([...ends.slice(1), ...everyFifth(file.length)])) {
      const { broken } = await verify(written(file.subarray(0, length)));
      // A header alone is a run without its creation.
      const wholeEvents = ends.includes(length) && length > ends[ends.length - 1];
      expect(broken === null, `${length} bytes`).toBe(wholeEvents);
      if (wholeEvents) expect((await verify(path, { head: noted })).broken).not.toBeNull();
    }
  });

  it('names the event that was altered, and a file that is of another run or key', async () => {
    const forged = file.toString().replace('"seed":7', '"seed":8');
    expect((await verify(written(Buffer.from(forged)))).broken).toMatchObject({ seq: 1 });
    const spelt = file.toString().replace('0.1', '1e-1');
    const misspelt = await verify(written(Buffer.from(spelt)));
    expect(verdictShown(misspelt)).toMatch(
      /^the ledger of run r1 is broken: event 2 is not written/,
    );
    const other = await verified('r2', { url: '', key: [], file: written(file) });
    expect(other.broken).toMatchObject({ seq: 0 });
    expect(verdictShown(other)).toMatch(
      /^the export is broken: the header says .* of run r1, not /,
    );
    const stranger = generateKeyPairSync('ed25519')
      .publicKey.export({ type: 'spki', format: 'pem' })
      .toString();
    const keyFile = join(folder, 'stranger.pem');
    writeFileSync(keyFile, stranger);
    expect((await verify(path, { key: [keyFile] })).broken).toMatchObject({ seq: 0 });
  });

  it('is not taken for one that was never signed where only its key was taken away', async () => {
    const keyless = headerLine({ ...header, keyId: null, publicKey: null });
    const forged = appendEvents(
      null,
      events.map(({ at, type }) => ({ at, type, body: { run: 'r1' } })),
    ).map((event, i) => ({ ...event, ...key.sign(events[i].hash) }));
    for (const lines of [events, forged].map((each) => each.map(eventLine).join(''))) {
      const { broken, keysFrom } = await verify(written(Buffer.from(keyless + lines)));
      expect(broken).toMatchObject({ seq: 1 });
      expect(broken?.problem).toMatch(/is signed with the key .*, which was not given/);
      expect(keysFrom).toBeNull();
    }
    const unsigned = appendEvents(
      null,
      events.map(({ at, type, body }) => ({ at, type, body })),
    );
    const whole = await verify(written(Buffer.from(keyless + unsigned.map(eventLine).join(''))));
    expect(whole).toMatchObject({ broken: null, keysFrom: null });
    expect(verdictShown(whole)).toContain('it is not signed');
  });

  it('is written page by page, to the same bytes', async () => {
    const many = appendEvents(
      null,
      Array.from({ length: 250 }, (_, i) => ({
        at,
        type: i ? 'more' : 'run-created',
        body: { i },
      })),
      key.sign,
    );
    const asked: number[] = [];
    const api: Pick<Api, 'eventPage' | 'ledgerKey'> = {
      ledgerKey: () => Promise.resolve(key.shown),
      eventPage: (_, from, limit) => {
        asked.push(from);
        const page = many.slice(from - 1, from - 1 + limit);
        return Promise.resolve(page.map((e) => ({ ...e, at: new Date(e.at).toISOString() })));
      },
    };
    expect(await exportLedger(api, 'r1', path)).toBe(250);
    expect(asked).toEqual([1, 101, 201]);
    expect(readFileSync(path, 'utf8')).toBe(headerLine(header) + many.map(eventLine).join(''));
    expect(await verify(path)).toMatchObject({ broken: null, head: { seq: 250 } });
  });

  it('is not begun where the coordinator is lost in the middle', async () => {
    writeFileSync(path, 'of yesterday');
    const [first] = appendEvents(null, [{ at, type: 'run-created', body: {} }]);
    const page = Array.from({ length: 100 }, () => ({ ...first, at: new Date(at).toISOString() }));
    const api: Pick<Api, 'eventPage' | 'ledgerKey'> = {
      ledgerKey: () => Promise.resolve(key.shown),
      eventPage: (_, from) =>
        from === 1
          ? Promise.resolve(page)
          : Promise.reject(new TributaryError('unreachable', 'gone')),
    };
    await expect(exportLedger(api, 'r1', path)).rejects.toThrow('gone');
    expect(readFileSync(path, 'utf8')).toBe('of yesterday');
    expect(readdirSync(dirname(path)).filter((name) => name.endsWith('.part'))).toEqual([]);
    await expect(exportLedger(api, 'r1', '/dev/null')).rejects.toThrow('gone');
    expect(statSync('/dev/null').isFile()).toBe(false);
  });
});
