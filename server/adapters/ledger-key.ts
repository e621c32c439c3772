/**
 * The key that signs the ledgers: Ed25519 (RFC 8032) over the hash of every event, as text. The hash
 * binds all events before, so the newest signature is a signed head of the whole ledger. Whoever can
 * write to the database but has not this key cannot make a ledger of their own.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import type { LedgerKey as PublicLedgerKey } from '../../protocol/http.js';
import type { Sign } from './ledger-chain.js';
import { keptSecret } from './secret-file.js';

export interface LedgerKey {
  /** What auditors need to know. */
  readonly shown: PublicLedgerKey;
  readonly sign: Sign;
}

export function ledgerKeyPath(dataDir: string): string {
  return join(dataDir, 'ledger-key.pem');
}

/**
 * The key in `file`, which must be there: coordinators of one database share it. Without one, that of
 * the data directory, made where there is none.
 *
 * @throws TributaryError `bad_request` where `file` is no such key, `storage_unavailable` where the
 * data directory's cannot be kept.
 */
export async function loadLedgerKey(file: string | null, dataDir: string): Promise<LedgerKey> {
  const path = file ?? ledgerKeyPath(dataDir);
  try {
    const pem = file === null ? await keptSecret(path, newKey) : await readFile(path, 'utf8');
    return ledgerKeyOf(pem);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message =
      file === null
        ? `the ledger's key cannot be kept in ${path}: ${why}`
        : `TRIBUTARY_LEDGER_KEY: ${path}: ${why}: try \`openssl genpkey -algorithm ed25519\``;
    const code = file === null ? 'storage_unavailable' : 'bad_request';
    throw new TributaryError(code, message, { path }, { cause });
  }
}

function newKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** @throws Error where the text is no private key of Ed25519; the message repeats nothing of it. */
export function ledgerKeyOf(pem: string): LedgerKey {
  const privateKey = createPrivateKey(pem);
  requireEd25519(privateKey);
  const shown = describe(createPublicKey(privateKey));
  const signed = (hash: string): string =>
    sign(null, Buffer.from(hash), privateKey).toString('base64');
  return { shown, sign: (hash) => ({ signature: signed(hash), keyId: shown.keyId }) };
}

function requireEd25519(key: KeyObject): void {
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('not a key of Ed25519');
}

function describe(key: KeyObject): PublicLedgerKey {
  const der = key.export({ type: 'spki', format: 'der' });
  return {
    keyId: createHash('sha256').update(der).digest('hex').slice(0, 16),
    publicKey: der.toString('base64'),
  };
}

/** A key to hold signatures against. */
export interface VerifyingKey extends PublicLedgerKey {
  verifies(hash: string, signature: string): boolean;
}

/**
 * A public key as `tributary ledger key` prints it (DER in base64), or as PEM.
 *
 * @throws TributaryError `bad_request`.
 */
export function verifyingKey(text: string): VerifyingKey {
  const key = readPublicKey(text.trim());
  return {
    ...describe(key),
    verifies: (hash, signature) => {
      const bytes = Buffer.from(signature, 'base64');
      // Base64 has several spellings of the same bytes; only ours is what was written.
      if (bytes.toString('base64') !== signature) return false;
      return verify(null, Buffer.from(hash), key, bytes);
    },
  };
}

function readPublicKey(text: string): KeyObject {
  try {
    const key = text.startsWith('-----')
      ? createPublicKey(text)
      : createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
    requireEd25519(key);
    return key;
  } catch (cause) {
    const message = 'key: not a public key of Ed25519: give what "tributary ledger key" prints';
    throw new TributaryError('bad_request', message, undefined, { cause });
  }
}
