/** What commands trust and show where a coordinator speaks TLS with certificates of its own. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { Agent } from 'undici';
import type { Certificates, Environment } from '../../client/environment.js';
import { hostEnvironment } from '../../client/environment.js';
import { TributaryError } from '../../protocol/errors.js';

export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export function caOption(command: Command): Command {
  return command.option('--ca <file>', "certificates to trust, in PEM form; else the system's");
}

/** @throws TributaryError `bad_request`, naming the option whose file cannot be read. */
export async function certificatesOf({ ca, cert, key }: TlsOptions): Promise<Certificates> {
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert === undefined ? ['--key', '--cert'] : ['--cert', '--key'];
    throw new TributaryError('bad_request', `${given} needs ${missing}`);
  }
  return {
    ...(ca !== undefined && { ca: await read('--ca', ca) }),
    ...(cert !== undefined && { cert: await read('--cert', cert) }),
    ...(key !== undefined && { key: await read('--key', key) }),
  };
}

async function read(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `${option}: cannot read ${path}`;
    throw new TributaryError('bad_request', message, undefined, { cause });
  }
}

/** Why a certificate was not accepted, with what to do; empty where that is not what failed. */
export function certificateProblem(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : null;
  const code = cause && 'code' in cause ? String(cause.code) : '';
  if (!cause || !/CERT|SIGNATURE|SSL|TLS/.test(code)) return '';
  return `: ${cause.message}; name the authority of its certificate with --ca`;
}

/** The host's own ways, with these certificates; as they are where there are none. */
export function environmentWith(certificates: Certificates): Environment {
  if (Object.keys(certificates).length === 0) return hostEnvironment;
  const dispatcher = new Agent({ connect: { ...certificates } });
  const fetchWith = (url: URL | string, init: RequestInit): Promise<Response> => {
    const request = { ...init, dispatcher };
    return fetch(url, request);
  };
  return { ...hostEnvironment, certificates, fetch: fetchWith };
}
