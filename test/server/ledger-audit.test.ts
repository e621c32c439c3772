import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AuditOptions, auditLedger } from '../../server/adapters/ledger-audit.js';
import { appendEvents, type LedgerBreak } from '../../server/adapters/ledger-chain.js';
import {
  ledgerKeyOf,
  ledgerKeyPath,
  loadLedgerKey,
  verifyingKey,
} from '../../server/adapters/ledger-key.js';
import type { LedgerEvent, NewEvent } from '../../server/core/records.js';
import { folder, useFolder } from '../support/folder.js';

const at = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function newPem(type: 'ed25519' | 'x25519' = 'ed25519'): string {
  const { privateKey } =
    type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

describe('the key of the ledgers', () => {
  useFolder('each');

  it('is made once, for its owner only, and the same from then on', async () => {
    const dataDir = join(folder, 'not', 'there', 'yet');
    const [first, second] = await Promise.all([
      loadLedgerKey(null, dataDir),
      loadLedgerKey(null, dataDir),
    ]);
    expect(second.shown).toEqual(first.shown);
    expect(statSync(ledgerKeyPath(dataDir)).mode & 0o777).toBe(0o600);
    expect((await loadLedgerKey(ledgerKeyPath(dataDir), folder)).shown).toEqual(first.shown);
    expect((await loadLedgerKey(null, join(folder, 'other'))).shown).not.toEqual(first.shown);
  });

  it('is refused where the file that is named has none, without a word of what it has', async () => {
    const path = join(folder, 'key.pem');
    await expect(loadLedgerKey(path, folder)).rejects.toMatchObject({ code: 'bad_request' });
    for (const content of ['', 'no key at all', newPem('x25519')]) {
      writeFileSync(path, content);
      const error: unknown = await loadLedgerKey(path, folder).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'bad_request' });
      const line = content.split('\n').at(1);
      if (line) expect(String(error)).not.toContain(line);
    }
  });

  it('stops a start where its own file is damaged, instead of making another', async () => {
    await loadLedgerKey(null, folder);
    const path = ledgerKeyPath(folder);
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, 60));
    await expect(loadLedgerKey(null, folder)).rejects.toMatchObject({
      code: 'storage_unavailable',
    });
  });

  it('signs so that its public half verifies, and nothing else does', () => {
    const key = ledgerKeyOf(newPem());
    const hash = 'a'.repeat(64);
    const { signature, keyId } = key.sign(hash);
    const verifying = verifyingKey(key.shown.publicKey);
    expect(verifying.keyId).toBe(keyId);
    expect(verifying.verifies(hash, signature!)).toBe(true);
    expect(verifying.verifies('b'.repeat(64), signature!)).toBe(false);
    expect(verifyingKey(ledgerKeyOf(newPem()).shown.publicKey).verifies(hash, signature!)).toBe(
      false,
    );
    // The last digit before the padding has bits that no byte needs: another spelling of the same.
    const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    const last = digits[digits.indexOf(signature![85]) + 1];
    expect(verifying.verifies(hash, `${signature!.slice(0, 85)}${last}==`)).toBe(false);
    expect(() => verifyingKey('AAAA')).toThrow(/tributary ledger key/);
  });
});

describe('an audit', () => {
  const key = ledgerKeyOf(newPem());
  const keys = [verifyingKey(key.shown.publicKey)];
  const created: NewEvent = { at, type: 'run-created', body: { run: 'r1', seed: 3 } };
  const more = (count: number): NewEvent[] =>
    Array.from({ length: count }, (_, i) => ({ at: at + i, type: `t${i}`, body: { i } }));
  const ledger = appendEvents(null, [created, ...more(5)], key.sign);

  function audit(events: readonly LedgerEvent[], options: Partial<AuditOptions> = {}) {
    const running = auditLedger({ run: 'r1', keys, ...options });
    let broken: LedgerBreak | null = null;
    for (const event of events) broken ??= running.take(event);
    return { broken: broken ?? running.end(), head: running.head, unsigned: running.unsigned };
  }

  it('passes a ledger that is whole, and says its head', () => {
    expect(audit(ledger)).toEqual({
      broken: null,
      head: { seq: 6, hash: ledger[5].hash },
      unsigned: 0,
    });
  });

  it('finds an end that was cut off, by a head that was noted', () => {
    const noted = { seq: 6, hash: ledger[5].hash };
    expect(audit(ledger, { noted }).broken).toBeNull();
    expect(audit(ledger.slice(0, 4)).broken).toBeNull();
    expect(audit(ledger.slice(0, 4), { noted }).broken).toMatchObject({ seq: 5 });
    const grown = [...ledger, ...appendEvents(ledger[5], more(1), key.sign)];
    expect(audit(grown, { noted }).broken).toBeNull();
  });

  it('finds an end that was written anew with the key, by a head that was noted', () => {
    const rewritten = [...ledger.slice(0, 4), ...appendEvents(ledger[3], more(3), key.sign)];
    expect(audit(rewritten).broken).toBeNull();
    const noted = { seq: 6, hash: ledger[5].hash };
    expect(audit(rewritten, { noted }).broken).toMatchObject({ seq: 6 });
  });

  it('finds a ledger that was written anew without the key', () => {
    const other = ledgerKeyOf(newPem());
    expect(audit(appendEvents(null, [created, ...more(5)], other.sign)).broken?.seq).toBe(1);
    const unsigned = appendEvents(null, [created, ...more(5)]);
    expect(audit(unsigned).broken?.seq).toBe(6);
    expect(audit(unsigned, { allowUnsigned: true }).broken).toBeNull();
    const tail = appendEvents(ledger[2], more(2));
    expect(audit([...ledger.slice(0, 3), ...tail]).broken?.seq).toBe(4);
    const stolen = unsigned.with(5, { ...unsigned[5], ...key.sign(ledger[4].hash) });
    expect(audit(stolen).broken?.seq).toBe(6);
  });

  it('takes events from before there was a key, and ones under a key that came later', () => {
    const before = appendEvents(null, [created, ...more(2)]);
    const middle = appendEvents(before[2], more(2), key.sign);
    expect(audit([...before, ...middle])).toMatchObject({ broken: null, unsigned: 3 });
    const next = ledgerKeyOf(newPem());
    const after = appendEvents(middle[1], more(2), next.sign);
    const all = [...before, ...middle, ...after];
    expect(audit(all).broken?.seq).toBe(6);
    expect(audit(all, { keys: [...keys, verifyingKey(next.shown.publicKey)] }).broken).toBeNull();
  });

  it('finds a ledger in the place of another, and a run without any event', () => {
    expect(audit(ledger, { run: 'r2' }).broken?.seq).toBe(1);
    expect(audit(ledger, { run: null }).broken?.seq).toBe(1);
    expect(audit(ledger.slice(0, 0)).broken?.seq).toBe(1);
    expect(audit([], { run: null }).broken).toBeNull();
    expect(audit(appendEvents(null, more(2), key.sign), { run: null }).broken).toBeNull();
  });
});
