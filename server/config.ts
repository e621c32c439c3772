/**
 * The environment of a coordinator, parsed once. Every error names the variable, what is wrong with
 * it and the next thing to try.
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';
import { TributaryError } from '../protocol/errors.js';
import { MIN_TOKEN_LENGTH } from './adapters/operator-token.js';
import type { TlsFiles } from './adapters/tls.js';

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
  /** Files of a certificate, for TLS without a proxy; null for plain HTTP. */
  readonly tls: TlsFiles | null;
  /** null: one is made and kept in the data directory. */
  readonly operatorToken: string | null;
  readonly blobs: 'directory' | 'postgres';
  /** Whether runs may bring a rule of their own; null: where only this machine can connect. */
  readonly ruleFiles: 'allow' | 'refuse' | null;
  /** A file with the private key that signs the ledgers; null: made and kept in the data directory. */
  readonly ledgerKey: string | null;
  /** Who reads /metrics: operators, or whoever reaches it. */
  readonly metrics: 'operators' | 'open';
  readonly logLevel: LogLevel;
  /** How long a coordinator that is not heard of leads on, where several share a database. */
  readonly leaseMs: number;
  /** How long an upload may stand still before it is cut. */
  readonly uploadIdleMs: number;
  /** Greatest length of a blob that an operator uploads. */
  readonly maxBlobBytes: number;
  /** Bytes that blobs and uploads may take together; null for no limit but the disk's. */
  readonly storageLimitBytes: number | null;
  /** Rounds aggregated at once, each in a thread of its own; 0: in the thread that answers requests. */
  readonly aggregationThreads: number;
  /** How long a round may be aggregated, in milliseconds, before its thread is ended. */
  readonly aggregationLimitMs: number;
  /** Runs that may be running or paused at once. */
  readonly maxRuns: number;
  /** Connections that one address may have open. */
  readonly connectionsPerAddress: number;
  /** Sockets of clients that are let in a second; those that come on top are told when to come back. */
  readonly connectionsPerSecond: number;
}

const DEFAULT_BLOB_BYTES = 1024 ** 3;
const DEFAULT_THREADS = Math.min(availableParallelism(), 2);
const DEFAULT_LIMIT_MS = 3_600_000;
const DEFAULT_LEASE_MS = 10_000;
/** What a timer can wait. */
const MAX_LIMIT_MS = 2 ** 31 - 1;

const DEFAULT_MAX_RUNS = 1_000;
/**
 * Wide on purpose: behind one address there may be a hospital, a mobile network, or a proxy that
 * TRIBUTARY_TRUST_PROXY does not name. It keeps one address from taking every file of the process.
 */
const DEFAULT_PER_ADDRESS = 10_000;
const DEFAULT_PER_SECOND = 200;

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
    TRIBUTARY_LEDGER_KEY: variable(z.string().optional()),
    TRIBUTARY_METRICS: variable(oneOf(['operators', 'open']).default('operators')),
    TRIBUTARY_LOG_LEVEL: variable(oneOf(logLevels).default('info')),
    TRIBUTARY_LEASE_MS: variable(
      whole(1000, 600_000, `try ${DEFAULT_LEASE_MS} for ten seconds`).optional(),
    ),
    TRIBUTARY_UPLOAD_IDLE_MS: variable(
      whole(100, 3_600_000, 'try 30000 for half a minute').optional(),
    ),
    TRIBUTARY_MAX_BLOB_BYTES: variable(
      whole(1024, 2 ** 40, `try ${DEFAULT_BLOB_BYTES} for 1 GiB`).optional(),
    ),
    TRIBUTARY_STORAGE_LIMIT_BYTES: variable(
      whole(2 ** 20, 2 ** 49, 'try 100000000000 for 100 GB').optional(),
    ),
    TRIBUTARY_AGGREGATION_THREADS: variable(
      whole(0, 64, 'try 2, or 0 to aggregate in the thread that answers requests').optional(),
    ),
    TRIBUTARY_AGGREGATION_LIMIT_MS: variable(
      whole(1000, MAX_LIMIT_MS, `try ${DEFAULT_LIMIT_MS} for an hour`).optional(),
    ),
    TRIBUTARY_MAX_RUNS: variable(whole(1, 1_000_000, `try ${DEFAULT_MAX_RUNS}`).optional()),
    TRIBUTARY_CONNECTIONS_PER_ADDRESS: variable(
      whole(1, 1_000_000, `try ${DEFAULT_PER_ADDRESS}`).optional(),
    ),
    TRIBUTARY_CONNECTIONS_PER_SECOND: variable(
      whole(1, 1_000_000, `try ${DEFAULT_PER_SECOND}`).optional(),
    ),
    TRIBUTARY_TLS_CERT: variable(z.string().optional()),
    TRIBUTARY_TLS_KEY: variable(z.string().optional()),
    TRIBUTARY_TLS_CLIENT_CA: variable(z.string().optional()),
    TRIBUTARY_TLS_CLIENT_CERTS: variable(oneOf(['off', 'optional', 'required']).optional()),
  })
  .superRefine((env, ctx) => {
    for (const [given, missing, why] of missingTls(env)) {
      ctx.addIssue({ code: 'custom', path: [missing], message: `is missing: ${given} ${why}` });
    }
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
    ledgerKey: env.TRIBUTARY_LEDGER_KEY === undefined ? null : resolve(env.TRIBUTARY_LEDGER_KEY),
    metrics: env.TRIBUTARY_METRICS,
    logLevel: env.TRIBUTARY_LOG_LEVEL,
    leaseMs: env.TRIBUTARY_LEASE_MS ?? DEFAULT_LEASE_MS,
    uploadIdleMs: env.TRIBUTARY_UPLOAD_IDLE_MS ?? 30_000,
    maxBlobBytes: env.TRIBUTARY_MAX_BLOB_BYTES ?? DEFAULT_BLOB_BYTES,
    storageLimitBytes: env.TRIBUTARY_STORAGE_LIMIT_BYTES ?? null,
    aggregationThreads: env.TRIBUTARY_AGGREGATION_THREADS ?? DEFAULT_THREADS,
    aggregationLimitMs: env.TRIBUTARY_AGGREGATION_LIMIT_MS ?? DEFAULT_LIMIT_MS,
    maxRuns: env.TRIBUTARY_MAX_RUNS ?? DEFAULT_MAX_RUNS,
    connectionsPerAddress: env.TRIBUTARY_CONNECTIONS_PER_ADDRESS ?? DEFAULT_PER_ADDRESS,
    connectionsPerSecond: env.TRIBUTARY_CONNECTIONS_PER_SECOND ?? DEFAULT_PER_SECOND,
    tls: tlsOf(env),
  }));

interface TlsVariables {
  readonly TRIBUTARY_TLS_CERT?: string | undefined;
  readonly TRIBUTARY_TLS_KEY?: string | undefined;
  readonly TRIBUTARY_TLS_CLIENT_CA?: string | undefined;
  readonly TRIBUTARY_TLS_CLIENT_CERTS?: TlsFiles['clientCerts'] | undefined;
}

/** Variables that say nothing without another one: which was given, which is missing, and why. */
function missingTls(env: TlsVariables): (readonly [string, keyof TlsVariables, string])[] {
  const pairs = [
    ['TRIBUTARY_TLS_CERT', 'TRIBUTARY_TLS_KEY', 'needs its key'],
    ['TRIBUTARY_TLS_KEY', 'TRIBUTARY_TLS_CERT', 'needs its certificate'],
    ['TRIBUTARY_TLS_CLIENT_CA', 'TRIBUTARY_TLS_CERT', 'works with TLS by files only'],
    ['TRIBUTARY_TLS_CLIENT_CERTS', 'TRIBUTARY_TLS_CLIENT_CA', 'needs the CA that signs them'],
  ] as const;
  return pairs.filter(
    ([given, missing]) =>
      env[given] !== undefined && env[given] !== 'off' && env[missing] === undefined,
  );
}

function tlsOf(env: TlsVariables): TlsFiles | null {
  const { TRIBUTARY_TLS_CERT: cert, TRIBUTARY_TLS_KEY: key } = env;
  const { TRIBUTARY_TLS_CLIENT_CA: ca, TRIBUTARY_TLS_CLIENT_CERTS: certs } = env;
  if (cert === undefined || key === undefined) return null;
  return {
    cert: resolve(cert),
    key: resolve(key),
    clientCa: ca === undefined ? null : resolve(ca),
    clientCerts: certs ?? (ca === undefined ? 'off' : 'optional'),
  };
}

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
