import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TributaryError } from '../../protocol/errors.js';
import { withFlags } from '../../server/cli/serve.js';
import { configVariables, ignoredVariables, isLoopback, readConfig } from '../../server/config.js';

function problemOf(env: Record<string, string>): TributaryError {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof TributaryError) return error;
  }
  throw new Error('nothing was refused');
}

describe('configuration', () => {
  it('works without any variable, on loopback and with the embedded database', () => {
    expect(readConfig({})).toEqual({
      databaseUrl: null,
      dataDir: resolve('.tributary'),
      host: '127.0.0.1',
      port: 8080,
      publicUrl: null,
      allowedOrigins: [],
      trustProxy: 0,
      operatorToken: null,
      blobs: 'directory',
      ruleFiles: null,
      ledgerKey: null,
      metrics: 'operators',
      logLevel: 'info',
      leaseMs: 10_000,
      uploadIdleMs: 30_000,
      maxBlobBytes: 1024 ** 3,
      storageLimitBytes: null,
      aggregationThreads: Math.min(availableParallelism(), 2),
      aggregationLimitMs: 3_600_000,
      maxRuns: 1_000,
      connectionsPerAddress: 10_000,
      connectionsPerSecond: 200,
      tls: null,
    });
  });

  it('reads every variable', () => {
    const config = readConfig({
      DATABASE_URL: 'postgres://u:p@db/tributary',
      TRIBUTARY_DATA_DIR: '/data',
      TRIBUTARY_HOST: '0.0.0.0',
      TRIBUTARY_PORT: '0',
      TRIBUTARY_PUBLIC_URL: 'https://fl.example.org/lab/',
      TRIBUTARY_ALLOWED_ORIGINS: 'https://a.example, http://localhost:5173,https://a.example',
      TRIBUTARY_TRUST_PROXY: 'loopback, 10.0.0.0/8',
      TRIBUTARY_OPERATOR_TOKEN: 'sixteen-letters!',
      TRIBUTARY_BLOBS: 'postgres',
      TRIBUTARY_RULE_FILES: 'refuse',
      TRIBUTARY_LEDGER_KEY: '/keys/ledger.pem',
      TRIBUTARY_METRICS: 'open',
      TRIBUTARY_LOG_LEVEL: 'debug',
      TRIBUTARY_LEASE_MS: '5000',
      TRIBUTARY_UPLOAD_IDLE_MS: '1500',
      TRIBUTARY_MAX_BLOB_BYTES: '2048',
      TRIBUTARY_STORAGE_LIMIT_BYTES: '100000000000',
      TRIBUTARY_AGGREGATION_THREADS: '0',
      TRIBUTARY_AGGREGATION_LIMIT_MS: '60000',
      TRIBUTARY_MAX_RUNS: '7',
      TRIBUTARY_CONNECTIONS_PER_ADDRESS: '50',
      TRIBUTARY_CONNECTIONS_PER_SECOND: '20',
      TRIBUTARY_TLS_CERT: '/tls/cert.pem',
      TRIBUTARY_TLS_KEY: '/tls/key.pem',
      TRIBUTARY_TLS_CLIENT_CA: '/tls/sites.pem',
      TRIBUTARY_TLS_CLIENT_CERTS: 'required',
    });
    expect(config).toEqual({
      databaseUrl: 'postgres://u:p@db/tributary',
      dataDir: '/data',
      host: '0.0.0.0',
      port: 0,
      publicUrl: 'https://fl.example.org/lab',
      allowedOrigins: ['https://a.example', 'http://localhost:5173'],
      trustProxy: ['loopback', '10.0.0.0/8'],
      operatorToken: 'sixteen-letters!',
      blobs: 'postgres',
      ruleFiles: 'refuse',
      ledgerKey: '/keys/ledger.pem',
      metrics: 'open',
      logLevel: 'debug',
      leaseMs: 5000,
      uploadIdleMs: 1500,
      maxBlobBytes: 2048,
      storageLimitBytes: 100_000_000_000,
      aggregationThreads: 0,
      aggregationLimitMs: 60_000,
      maxRuns: 7,
      connectionsPerAddress: 50,
      connectionsPerSecond: 20,
      tls: {
        cert: '/tls/cert.pem',
        key: '/tls/key.pem',
        clientCa: '/tls/sites.pem',
        clientCerts: 'required',
      },
    });
  });

  it('takes an empty variable for one that is not there, and trims the rest', () => {
    const env = Object.fromEntries(configVariables.map((name) => [name, ' ']));
    expect(readConfig(env)).toEqual(readConfig({}));
    expect(readConfig({ TRIBUTARY_PORT: ' 99 ' }).port).toBe(99);
  });

  it('prefers TRIBUTARY_PORT to the PORT that hosts set', () => {
    expect(readConfig({ PORT: '3000' }).port).toBe(3000);
    expect(readConfig({ PORT: '3000', TRIBUTARY_PORT: '4000' }).port).toBe(4000);
  });

  it('takes a number of proxies, and * for all origins', () => {
    expect(readConfig({ TRIBUTARY_TRUST_PROXY: '2' }).trustProxy).toBe(2);
    expect(readConfig({ TRIBUTARY_ALLOWED_ORIGINS: '*' }).allowedOrigins).toBe('*');
  });

  it.each([
    ['DATABASE_URL', 'mysql://db/x', /PostgreSQL URL.*postgresql:\/\//],
    ['DATABASE_URL', 'tributary', /PostgreSQL URL/],
    ['TRIBUTARY_HOST', 'http://x', /not a host name.*127\.0\.0\.1/],
    ['PORT', 'http', /whole number.*8080/],
    ['TRIBUTARY_PORT', '65536', /from 0 to 65535/],
    ['TRIBUTARY_PORT', '-1', /whole number/],
    ['TRIBUTARY_PUBLIC_URL', 'fl.example.org', /https:\/\/fl\.example\.org/],
    ['TRIBUTARY_PUBLIC_URL', 'ftp://fl.example.org', /web address/],
    ['TRIBUTARY_PUBLIC_URL', 'https://fl.example.org/?a=1', /web address/],
    ['TRIBUTARY_ALLOWED_ORIGINS', 'https://a.example/page', /try https:\/\/a\.example$/],
    ['TRIBUTARY_ALLOWED_ORIGINS', 'a.example', /not an origin/],
    ['TRIBUTARY_ALLOWED_ORIGINS', 'https://a.example,*', /\* alone/],
    ['TRIBUTARY_ALLOWED_ORIGINS', 'null', /not an origin/],
    ['TRIBUTARY_TRUST_PROXY', 'true', /number of proxies/],
    ['TRIBUTARY_TRUST_PROXY', '10.0.0.0/8,proxy', /"proxy".*number of proxies/],
    ['TRIBUTARY_TRUST_PROXY', '-1', /number of proxies/],
    ['TRIBUTARY_OPERATOR_TOKEN', 'short', /16 characters.*openssl/],
    ['TRIBUTARY_OPERATOR_TOKEN', 'with spaces in between', /without spaces/],
    ['TRIBUTARY_BLOBS', 's3', /directory, postgres/],
    ['TRIBUTARY_RULE_FILES', 'yes', /allow, refuse/],
    ['TRIBUTARY_LOG_LEVEL', 'loud', /silent, fatal, error/],
    ['TRIBUTARY_LEASE_MS', '10', /from 1000/],
    ['TRIBUTARY_UPLOAD_IDLE_MS', '10', /from 100/],
    ['TRIBUTARY_MAX_BLOB_BYTES', '1e9', /whole number/],
    ['TRIBUTARY_STORAGE_LIMIT_BYTES', '10GB', /whole number.*100 GB/],
    ['TRIBUTARY_MAX_RUNS', '0', /from 1/],
    ['TRIBUTARY_CONNECTIONS_PER_SECOND', '0', /from 1/],
    ['TRIBUTARY_TLS_CLIENT_CERTS', 'yes', /off, optional, required/],
  ])('refuses %s=%s, naming it and what to try', (name, value, message) => {
    const problem = problemOf({ [name]: value });
    expect(problem.code).toBe('bad_request');
    expect(problem.message).toMatch(message);
    expect(problem.message.startsWith(`${name} `)).toBe(true);
    expect(problem.details).toEqual({ variables: [name] });
  });

  it.each([
    [{ TRIBUTARY_TLS_CERT: 'c' }, 'TRIBUTARY_TLS_KEY'],
    [{ TRIBUTARY_TLS_KEY: 'k' }, 'TRIBUTARY_TLS_CERT'],
    [{ TRIBUTARY_TLS_CLIENT_CA: 'ca' }, 'TRIBUTARY_TLS_CERT'],
    [
      { TRIBUTARY_TLS_CERT: 'c', TRIBUTARY_TLS_KEY: 'k', TRIBUTARY_TLS_CLIENT_CERTS: 'required' },
      'TRIBUTARY_TLS_CLIENT_CA',
    ],
  ])('refuses %j, naming the variable that is missing', (env, missing) => {
    expect(problemOf(env).message).toMatch(new RegExp(`^${missing} is missing: TRIBUTARY_TLS_`));
  });

  it('asks sites for certificates where it knows who signs them', () => {
    const tls = { TRIBUTARY_TLS_CERT: '/c', TRIBUTARY_TLS_KEY: '/k' };
    expect(readConfig(tls).tls).toEqual({
      ...{ cert: '/c', key: '/k', clientCa: null, clientCerts: 'off' },
    });
    const withCa = readConfig({ ...tls, TRIBUTARY_TLS_CLIENT_CA: '/ca' });
    expect(withCa.tls?.clientCerts).toBe('optional');
  });

  it('names every wrong variable at once', () => {
    const problem = problemOf({ TRIBUTARY_PORT: 'x', TRIBUTARY_BLOBS: 'y' });
    expect(problem.details).toEqual({ variables: ['TRIBUTARY_PORT', 'TRIBUTARY_BLOBS'] });
  });

  it('does not repeat secrets', () => {
    const problem = problemOf({
      DATABASE_URL: 'mysql://user:hunter2@db/x',
      TRIBUTARY_OPERATOR_TOKEN: 'hunter2',
    });
    expect(JSON.stringify(problem.toBody())).not.toContain('hunter2');
  });

  it('tells which variables look like ours and are not read', () => {
    const foreign = { TRIBUTARY_TOKEN: 'x', TRIBUTARY_BACKEND: 'wasm', PATH: '/bin' };
    const env = { TRIBUTARY_PROT: '1', TRIBUTARY_PORT: '1', ...foreign };
    expect(ignoredVariables(env)).toEqual(['TRIBUTARY_PROT']);
  });

  it('takes the flags of `tributary serve` before the environment', () => {
    const env = { TRIBUTARY_PORT: '1', TRIBUTARY_HOST: '::1', TRIBUTARY_LOG_LEVEL: 'warn' };
    const flags = { port: '0', host: '0.0.0.0', dataDir: 'here' };
    expect(readConfig(withFlags(env, flags))).toMatchObject({
      port: 0,
      host: '0.0.0.0',
      dataDir: resolve('here'),
      logLevel: 'warn',
    });
    expect(readConfig(withFlags(env, {}))).toMatchObject({ port: 1, host: '::1' });
  });

  it.each([
    [{ port: '99999' }, /TRIBUTARY_PORT must be from 0 to 65535/],
    [{ port: 'http' }, /TRIBUTARY_PORT is not a whole number/],
    [{ host: 'http://here' }, /TRIBUTARY_HOST is not a host/],
  ])('checks the flags of `tributary serve` as it checks the environment: %j', (flags, message) => {
    expect(() => readConfig(withFlags({}, flags))).toThrow(message);
  });

  it.each([
    ['127.0.0.1', true],
    ['127.1.2.3', true],
    ['localhost', true],
    ['::1', true],
    ['0.0.0.0', false],
    ['::', false],
    ['127.0.0.1.example.org', false],
  ])('knows that %s is loopback: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});
