/**
 * The environment of a coordinator, parsed once. Every error names the variable, what is wrong with
 * it and the next thing to try.
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';
import { TributaryError } from '../protocol/errors.js';
import { MIN_TOKEN_LENGTH } from './adapters/operator-token.js';

export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What Express takes as its `trust proxy`: a number of hops, or addresses and networks. */
export type TrustProxy = number | readonly string[];

export interface Config {
  /** A PostgreSQL URL; null starts the embedded server. */
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Where peers reach the coordinator, where that is not its own host and port. No slash at the end. */
  readonly publicUrl: string | null;
  /** Origins of other sites' pages that may talk to the coordinator; `*` for every site. */
  readonly allowedOrigins: readonly string[] | '*';
  readonly trustProxy: TrustProxy;
  /** null: one is made and kept in the data directory. */
  readonly operatorToken: string | null;
  readonly blobs: 'directory' | 'postgres';
  /** Whether runs may bring a rule of their own; null: where only this machine can connect. */
  readonly ruleFiles: 'allow' | 'refuse' | null;
  readonly logLevel: LogLevel;
  /** How long an upload may stand still before it is cut. */
  readonly uploadIdleMs: number;
  /** Greatest length of a blob that an operator uploads. */
  readonly maxBlobBytes: number;
  /** Rounds aggregated at once, each in a thread of its own; 0: in the thread that answers requests. */
  readonly aggregationThreads: number;
  /** How long a round may be aggregated, in milliseconds, before its thread is ended. */
  readonly aggregationLimitMs: number;
}

const DEFAULT_BLOB_BYTES = 1024 ** 3;
const DEFAULT_THREADS = Math.min(availableParallelism(), 2);
const DEFAULT_LIMIT_MS = 3_600_000;
/** What a timer can wait. */
const MAX_LIMIT_MS = 2 ** 31 - 1;

/** A value that was left out, and one that a shell or compose file left empty, are the same. */
const variable = <T extends z.ZodType>(inner: T) =>
  z.preprocess((value) => (typeof value === 'string' ? value.trim() || undefined : value), inner);

const whole = (from: number, to: number, hint: string) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `is not a whole number: ${hint}`)
    .transform(Number)
    .refine((n) => n >= from && n <= to, `must be from ${from} to ${to}: ${hint}`);

const port = whole(0, 65535, 'try 8080, or 0 for any free port');

const databaseUrl = z
  .string()
  .refine(
    (value) => /^postgres(ql)?:$/.test(parseUrl(value)?.protocol ?? ''),
    'is not a PostgreSQL URL: try postgresql://user:password@localhost:5432/tributary, or leave it out for the embedded server',
  );

const publicUrl = z
  .string()
  .refine((value) => {
    const url = parseUrl(value);
    return url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '';
  }, 'is not a web address: try https://fl.example.org, with a path if the proxy adds one')
  .transform((value) => value.replace(/\/+$/, ''));

const allowedOrigins = z.string().transform((value, ctx): readonly string[] | '*' => {
  const parts = listOf(value);
  if (parts.length === 1 && parts[0] === '*') return '*';
  const wrong = parts.find((part) => parseUrl(part)?.origin !== part || part === 'null');
  if (wrong === undefined) return [...new Set(parts)];
  ctx.addIssue({ code: 'custom', message: whyNoOrigin(wrong) });
  return z.NEVER;
});

function whyNoOrigin(part: string): string {
  if (part === '*') return 'has * beside other origins: give * alone, or a list of origins';
  const origin = parseUrl(part)?.origin;
  const hint = origin && origin !== 'null' ? origin : 'https://lab.example.org';
  return `has ${JSON.stringify(part)}, which is not an origin: try ${hint}`;
}

const NETWORK = /^(loopback|linklocal|uniquelocal|[0-9a-fA-F.:]+(\/\d{1,3})?)$/;
const trustProxy = z.string().transform((value, ctx): TrustProxy => {
  if (/^\d{1,2}$/.test(value)) return Number(value);
  const parts = listOf(value);
  const wrong = parts.find((part) => !NETWORK.test(part) || !/[.:l]/.test(part));
  if (wrong === undefined && parts.length > 0) return parts;
  ctx.addIssue({
    code: 'custom',
    message: `has ${JSON.stringify(wrong ?? value)}: give the number of proxies in front (1), or their addresses (loopback, 10.0.0.0/8)`,
  });
  return z.NEVER;
});

const operatorToken = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces: try `openssl rand -hex 32`')
  .min(
    MIN_TOKEN_LENGTH,
    `is shorter than ${MIN_TOKEN_LENGTH} characters: try \`openssl rand -hex 32\``,
  );

const oneOf = <T extends string>(values: readonly [T, ...T[]]) =>
  z.enum(values, `must be one of ${values.join(', ')}`);

const environment = z
  .object({
    DATABASE_URL: variable(databaseUrl.optional()),
    TRIBUTARY_DATA_DIR: variable(z.string().default('./.tributary')),
    TRIBUTARY_HOST: variable(
      z
        .string()
        .regex(/^[^\s/]+$/, 'is not a host name or address: try 127.0.0.1, or 0.0.0.0 for all')
        .default('127.0.0.1'),
    ),
    PORT: variable(port.optional()),
    TRIBUTARY_PORT: variable(port.optional()),
    TRIBUTARY_PUBLIC_URL: variable(publicUrl.optional()),
    TRIBUTARY_ALLOWED_ORIGINS: variable(allowedOrigins.optional()),
    TRIBUTARY_TRUST_PROXY: variable(trustProxy.optional()),
    TRIBUTARY_OPERATOR_TOKEN: variable(operatorToken.optional()),
    TRIBUTARY_BLOBS: variable(oneOf(['directory', 'postgres']).default('directory')),
    TRIBUTARY_RULE_FILES: variable(oneOf(['allow', 'refuse']).optional()),
    TRIBUTARY_LOG_LEVEL: variable(oneOf(logLevels).default('info')),
    TRIBUTARY_UPLOAD_IDLE_MS: variable(
      whole(100, 3_600_000, 'try 30000 for half a minute').optional(),
    ),
    TRIBUTARY_MAX_BLOB_BYTES: variable(
      whole(1024, 2 ** 40, `try ${DEFAULT_BLOB_BYTES} for 1 GiB`).optional(),
    ),
    TRIBUTARY_AGGREGATION_THREADS: variable(
      whole(0, 64, 'try 2, or 0 to aggregate in the thread that answers requests').optional(),
    ),
    TRIBUTARY_AGGREGATION_LIMIT_MS: variable(
      whole(1000, MAX_LIMIT_MS, `try ${DEFAULT_LIMIT_MS} for an hour`).optional(),
    ),
  })
  .transform((env): Config => ({
    databaseUrl: env.DATABASE_URL ?? null,
    dataDir: resolve(env.TRIBUTARY_DATA_DIR),
    host: env.TRIBUTARY_HOST,
    port: env.TRIBUTARY_PORT ?? env.PORT ?? 8080,
    publicUrl: env.TRIBUTARY_PUBLIC_URL ?? null,
    allowedOrigins: env.TRIBUTARY_ALLOWED_ORIGINS ?? [],
    trustProxy: env.TRIBUTARY_TRUST_PROXY ?? 0,
    operatorToken: env.TRIBUTARY_OPERATOR_TOKEN ?? null,
    blobs: env.TRIBUTARY_BLOBS,
    ruleFiles: env.TRIBUTARY_RULE_FILES ?? null,
    logLevel: env.TRIBUTARY_LOG_LEVEL,
    uploadIdleMs: env.TRIBUTARY_UPLOAD_IDLE_MS ?? 30_000,
    maxBlobBytes: env.TRIBUTARY_MAX_BLOB_BYTES ?? DEFAULT_BLOB_BYTES,
    aggregationThreads: env.TRIBUTARY_AGGREGATION_THREADS ?? DEFAULT_THREADS,
    aggregationLimitMs: env.TRIBUTARY_AGGREGATION_LIMIT_MS ?? DEFAULT_LIMIT_MS,
  }));

/** The names that {@link readConfig} reads. */
export const configVariables: readonly string[] = Object.keys(environment.in.shape);

/** Read by commands, examples and TF.js's backends, not here. */
const foreign = ['TRIBUTARY_URL', 'TRIBUTARY_TOKEN', 'TRIBUTARY_BACKEND', 'TRIBUTARY_SHARED_DATA'];

/** Variables that look like ours and are not read: most likely misspelt. */
export function ignoredVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.keys(env).filter(
    (name) =>
      name.startsWith('TRIBUTARY_') && !configVariables.includes(name) && !foreign.includes(name),
  );
}

/**
 * Parses the environment. TRIBUTARY_PORT goes before PORT, which many hosts set.
 *
 * @throws TributaryError `bad_request`, one line for each variable that is wrong; a database URL and
 * a token are not repeated in it.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const result = environment.safeParse(env);
  if (result.success) return result.data;
  const { issues } = result.error;
  const lines = issues.map((issue) => `${String(issue.path[0])} ${issue.message}`);
  throw new TributaryError('bad_request', lines.join('\n'), {
    variables: issues.map((issue) => String(issue.path[0])),
  });
}

/** True where only this machine can connect. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function listOf(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function parseUrl(value: string): URL | null {
  return URL.canParse(value) ? new URL(value) : null;
}
