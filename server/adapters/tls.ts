/**
 * Certificate and key from files, read again when they change: certificates last ninety days, and a
 * run goes on for longer.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import { TributaryError } from '../../protocol/errors.js';
import type { Log } from '../engine/engine.js';

/** Where TLS is given by files; each member is told by the variable in {@link variables}. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Certificates of sites are to be signed by one of these. */
  readonly clientCa: string | null;
  readonly clientCerts: ClientCerts;
}

/** Whether sites show a certificate of their own: never asked, checked where shown, or a must. */
export type ClientCerts = 'off' | 'optional' | 'required';

export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly minVersion: 'TLSv1.2';
}

const variables = {
  cert: 'TRIBUTARY_TLS_CERT',
  key: 'TRIBUTARY_TLS_KEY',
  clientCa: 'TRIBUTARY_TLS_CLIENT_CA',
} as const;

const DAY_MS = 86_400_000;
const WARN_BEFORE_MS = 14 * DAY_MS;
const LOOK_EVERY_MS = 5_000;

/**
 * Reads and checks the files.
 *
 * @throws TributaryError `bad_request`, naming the variable and what is wrong with its file.
 */
export function loadTls(files: TlsFiles, now = Date.now()): TlsMaterial {
  const cert = read(files.cert, variables.cert);
  const key = read(files.key, variables.key);
  const ca = files.clientCa === null ? null : read(files.clientCa, variables.clientCa);
  checkDates(certificate(cert, files.cert, variables.cert), files.cert, now);
  if (ca) certificate(ca, files.clientCa ?? '', variables.clientCa);
  checkPair(cert, key, files);
  const material = { cert, key, ...(ca && { ca }), minVersion: 'TLSv1.2' as const };
  try {
    createSecureContext(material);
  } catch (cause) {
    throw wrong(variables.cert, `${files.cert} and its key cannot be used`, cause);
  }
  return material;
}

function read(path: string, variable: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw wrong(variable, `cannot read ${path}`, cause);
  }
}

/** The first certificate of a PEM file; a chain follows it. */
function certificate(pem: Buffer, path: string, variable: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw wrong(variable, `${path} holds no certificate in PEM form`, cause);
  }
}

function checkDates({ validFrom, validTo }: X509Certificate, path: string, now: number): void {
  if (Date.parse(validTo) <= now) {
    throw wrong(variables.cert, `${path} has expired (${validTo}): get a new certificate`);
  }
  if (Date.parse(validFrom) > now) {
    throw wrong(variables.cert, `${path} is not valid before ${validFrom}: check the clock`);
  }
}

function checkPair(cert: Buffer, pem: Buffer, { cert: certPath, key: path }: TlsFiles): void {
  let fits: boolean;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(pem));
  } catch (cause) {
    throw wrong(
      variables.key,
      `${path} holds no private key in PEM form without a passphrase`,
      cause,
    );
  }
  if (!fits) throw wrong(variables.key, `${path} is not the key of the certificate in ${certPath}`);
}

function wrong(variable: string, what: string, cause?: unknown): TributaryError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new TributaryError('bad_request', `${variable}: ${what}${why}`, { variable }, { cause });
}

/**
 * Gives a server new certificates as their files change. Connections that are open stay open; new ones
 * get the new certificate. Files that do not work (half written, the key not there yet) leave the
 * server as it is, and are looked at again.
 *
 * @returns stops it.
 */
export function followFiles(
  server: Pick<Server, 'setSecureContext'>,
  files: TlsFiles,
  log: Log,
  lookEveryMs = LOOK_EVERY_MS,
): () => void {
  let served = stateOf(files);
  let told = '';
  let remindedAt = Date.now();
  const look = (): void => {
    if (Date.now() - remindedAt >= DAY_MS) {
      remindedAt = Date.now();
      remind(files, log);
    }
    const state = stateOf(files);
    if (state === served) return;
    try {
      const material = loadTls(files);
      server.setSecureContext(material);
      served = state;
      log.info({ validTo: validTo(material) }, 'the TLS certificate was read again');
    } catch (error) {
      if (state !== told) log.warn({ err: error }, 'the TLS files changed and cannot be used yet');
      told = state;
    }
  };
  const timer = setInterval(look, lookEveryMs).unref();
  return () => clearInterval(timer);
}

/** Changes whenever a file is written or another one takes its place, by symbolic links too. */
function stateOf({ cert, key, clientCa }: TlsFiles): string {
  return [cert, key, ...(clientCa === null ? [] : [clientCa])].map(fileState).join(' ');
}

/** Never throws: it is asked from a timer, where an error would end the process. */
function fileState(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch (error) {
    // While a renewal swaps folders or links, more may be wrong than that there is no file.
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

function validTo({ cert }: Pick<TlsMaterial, 'cert'>): string {
  return new X509Certificate(cert).validTo;
}

/** Once a day: a coordinator runs for longer than its certificate, and renewals fail unseen. */
function remind(files: TlsFiles, log: Log): void {
  try {
    warnBeforeExpiry({ cert: read(files.cert, variables.cert) }, log);
  } catch {
    // Files that cannot be read are told of when they change.
  }
}

/** Told at the start too, as nobody reads the certificate otherwise until it is too late. */
export function warnBeforeExpiry(
  material: Pick<TlsMaterial, 'cert'>,
  log: Log,
  now = Date.now(),
): void {
  const until = validTo(material);
  if (Date.parse(until) - now > WARN_BEFORE_MS) return;
  log.warn({ validTo: until }, 'the TLS certificate expires soon');
}
