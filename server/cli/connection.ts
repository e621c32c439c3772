/** How operator commands find their coordinator and its operator token. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { TributaryError } from '../../protocol/errors.js';
import type { Api } from './api.js';
import { connectApi } from './api.js';
import { caOption, certificatesOf, environmentWith } from './tls.js';

export interface ConnectionOptions {
  readonly url: string;
  readonly token?: string;
  readonly ca?: string;
  readonly json?: boolean;
}

/** Adds the options that every operator command takes. */
export function operatorCommand(command: Command): Command {
  return caOption(command)
    .option(
      '--url <url>',
      'the coordinator',
      fromEnvironment('TRIBUTARY_URL') ?? 'http://127.0.0.1:8080',
    )
    .option(
      '--token <token>',
      'operator token; else $TRIBUTARY_OPERATOR_TOKEN, else <data dir>/operator-token',
    )
    .option('--json', 'print JSON');
}

/** @throws TributaryError `unauthorized` where no operator token is to be found. */
export async function connect(options: ConnectionOptions): Promise<Api> {
  const token =
    options.token ?? fromEnvironment('TRIBUTARY_OPERATOR_TOKEN') ?? (await storedToken());
  const { ca } = options;
  const environment = environmentWith(await certificatesOf(ca === undefined ? {} : { ca }));
  return connectApi(options.url, token, environment);
}

async function storedToken(): Promise<string> {
  const path = join(fromEnvironment('TRIBUTARY_DATA_DIR') ?? '.tributary', 'operator-token');
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    const message = `no operator token: give --token, set TRIBUTARY_OPERATOR_TOKEN, or run where ${path} is readable`;
    throw new TributaryError('unauthorized', message, undefined, { cause });
  }
}

/** A variable that is set to nothing, as compose files and shells do, is as good as not set. */
function fromEnvironment(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}
