/** TLS by files: HTTPS and wss on one port, certificates that are renewed, certificates of sites. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { join as joinRun } from '../../client/join.js';
import { errorBody, TributaryError } from '../../protocol/errors.js';
import { followFiles, loadTls } from '../../server/adapters/tls.js';
import type { TlsFiles } from '../../server/adapters/tls.js';
import { connectApi } from '../../server/cli/api.js';
import { certificatesOf, environmentWith } from '../../server/cli/tls.js';
import type { Coordinator } from '../../server/app.js';
import {
  OPERATOR,
  closeCoordinators,
  errorOf,
  initFile,
  runSpec,
  startCoordinator,
} from './support/coordinator.js';
import { Peer, leaveAfterEach } from './support/peer.js';

closeCoordinators('each');
leaveAfterEach();

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

const file = (name: string): string => join(import.meta.dirname, '..', 'fixtures', 'tls', name);
const pem = (name: string): string => readFileSync(file(name), 'utf8');
const ca = pem('ca.pem');
const shown = (name: string) => ({ ca, cert: pem(`${name}.pem`), key: pem(`${name}.key`) });

const files: TlsFiles = {
  cert: file('server.pem'),
  key: file('server.key'),
  clientCa: null,
  clientCerts: 'off',
};

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tributary-tls-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Follows these files until the test ends: the certificates that a server is given, and what is told. */
function followed(live: TlsFiles): { given: string[]; told: string[] } {
  const [given, told]: [string[], string[]] = [[], []];
  const tell = (_facts: object, message: string): void => void told.push(message);
  const server = {
    setSecureContext: ({ cert }: { cert?: unknown }) => void given.push(String(cert)),
  };
  cleanups.push(followFiles(server, live, { info: tell, warn: tell, error: tell }, 10));
  return { given, told };
}

/** A run with two clients, made by an operator who trusts the CA and shows no certificate. */
async function runOn(coordinator: Coordinator) {
  const api = connectApi(coordinator.url, OPERATOR, environmentWith({ ca }));
  await api.putBlob(initFile);
  const run = await api.createRun(runSpec({ cohort: { size: 'all' }, quorum: { min: 1 } }));
  const anna = await api.enrol(run.id, 'anna', 'source');
  const bo = await api.enrol(run.id, 'Bo', 'source');
  return { api, run, anna: anna.token, bo: bo.token };
}

/** Asks who one is, over a connection that shows these certificates. */
function whoAmI(coordinator: Coordinator, token: string, certificates: object): Promise<Response> {
  const { fetch } = environmentWith(certificates);
  const headers = { authorization: `Bearer ${token}` };
  return fetch(new URL('/v1/me', coordinator.url), { headers });
}

const refusalOf = async (peer: Peer): Promise<string> =>
  errorBody.parse((await peer.refused()).data).message;

describe('TLS by files', () => {
  it('serves REST and sockets on one port, to commands and to clients of the SDK', async () => {
    const coordinator = await startCoordinator({ tls: files });
    expect(coordinator.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const { run, anna, api } = await runOn(coordinator);
    const leaving = new AbortController();
    const summary = joinRun(
      {
        url: coordinator.url,
        token: anna,
        train: ({ model }) => Promise.resolve({ params: model, numExamples: 3 }),
        onEvent: (event) => {
          if (event.type === 'connected') leaving.abort();
        },
        signal: leaving.signal,
      },
      environmentWith({ ca }),
    );
    expect((await summary).status).toBe('left');
    expect((await api.run(run.id)).id).toBe(run.id);
  });

  it('works by long polling as well', async () => {
    const coordinator = await startCoordinator({ tls: files });
    const { anna } = await runOn(coordinator);
    const peer = new Peer(coordinator.url, { token: anna }, { ca, transports: ['polling'] });
    expect(await peer.hello()).toMatchObject({ ok: true });
  });

  it('speaks no version below 1.2', async () => {
    const coordinator = await startCoordinator({ tls: files });
    const port = Number(new URL(coordinator.url).port);
    const speak = (maxVersion: 'TLSv1.1' | 'TLSv1.2'): Promise<string> =>
      new Promise((resolve) => {
        const options = { port, host: '127.0.0.1', ca, maxVersion, minVersion: 'TLSv1' } as const;
        const socket: TLSSocket = connect({ ...options, ciphers: 'DEFAULT@SECLEVEL=0' }, () => {
          resolve(socket.getProtocol() ?? 'none');
          socket.destroy();
        });
        socket.on('error', () => resolve('refused'));
      });
    expect(await speak('TLSv1.1')).toBe('refused');
    expect(await speak('TLSv1.2')).toBe('TLSv1.2');
  });

  it('tells an operator whose machine does not know the authority what to do', async () => {
    const coordinator = await startCoordinator({ tls: files });
    const asking = connectApi(coordinator.url, OPERATOR).runs();
    await expect(asking).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('--ca') as string,
    });
  });

  it('is not for a server of somebody else', async () => {
    const { createServer } = await import('node:http');
    const starting = startCoordinator({ tls: files, server: createServer() });
    await expect(starting).rejects.toMatchObject({ code: 'bad_request' });
  });
});

describe('a certificate that is renewed', () => {
  /** The name of the certificate that a new connection is shown. */
  const shownBy = (coordinator: Coordinator): Promise<{ name: string; socket: TLSSocket }> =>
    new Promise((resolve, reject) => {
      const port = Number(new URL(coordinator.url).port);
      const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca }, () => {
        resolve({ name: String(socket.getPeerCertificate().subject.CN), socket });
      });
      socket.on('error', reject);
      cleanups.push(() => socket.destroy());
    });

  it('is served to new connections, and the old ones stay', async () => {
    const dir = folder();
    const live = { ...files, cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') };
    const put = (name: string): void => {
      copyFileSync(file(`${name}.pem`), live.cert);
      copyFileSync(file(`${name}.key`), live.key);
    };
    put('server');
    const coordinator = await startCoordinator({ tls: live });
    const { anna } = await runOn(coordinator);
    const peer = new Peer(coordinator.url, { token: anna }, { ca });
    expect(await peer.hello()).toMatchObject({ ok: true });
    const before = await shownBy(coordinator);
    expect(before.name).toBe('server');
    put('renewed');
    await vi.waitFor(async () => expect((await shownBy(coordinator)).name).toBe('renewed'), {
      timeout: 15_000,
      interval: 250,
    });
    expect(before.socket.destroyed).toBe(false);
    expect(peer.socket.connected).toBe(true);
  });

  it('is left alone while its files do not fit, and read when they do', async () => {
    const dir = folder();
    const live = { ...files, cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') };
    copyFileSync(file('server.pem'), live.cert);
    copyFileSync(file('server.key'), live.key);
    const { given, told } = followed(live);
    writeFileSync(live.cert, pem('renewed.pem').slice(0, 200));
    await vi.waitFor(() => expect(told).toHaveLength(1));
    writeFileSync(live.cert, pem('renewed.pem'));
    await vi.waitFor(() => expect(told).toHaveLength(2));
    expect(given).toEqual([]);
    copyFileSync(file('renewed.key'), live.key);
    await vi.waitFor(() => expect(given).toEqual([pem('renewed.pem')]));
    expect(told).toEqual([
      'the TLS files changed and cannot be used yet',
      'the TLS files changed and cannot be used yet',
      'the TLS certificate was read again',
    ]);
  });

  it('is told of every day, when it will expire soon', () => {
    vi.useFakeTimers();
    cleanups.push(() => vi.useRealTimers());
    const told: string[] = [];
    const tell = (_facts: object, message: string): void => void told.push(message);
    const server = { setSecureContext: () => undefined };
    cleanups.push(followFiles(server, files, { info: tell, warn: tell, error: tell }));
    vi.advanceTimersByTime(48 * 3_600_000);
    expect(told).toEqual([]);
    vi.setSystemTime(Date.UTC(2119, 11, 28));
    vi.advanceTimersByTime(49 * 3_600_000);
    expect(new Set(told)).toEqual(new Set(['the TLS certificate expires soon']));
    expect(told).toHaveLength(3);
  });

  it.each<[string, (path: string) => void]>([
    ['a folder that is a file for a moment', (path) => writeFileSync(path, '')],
    ['links in a circle', (path) => symlinkSync(path, path)],
  ])('survives %s while it is renewed', async (_what, disturb) => {
    const dir = join(folder(), 'live');
    const live = { ...files, cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') };
    const put = (name: string): void => {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      copyFileSync(file(`${name}.pem`), live.cert);
      copyFileSync(file(`${name}.key`), live.key);
    };
    put('server');
    const { given, told } = followed(live);
    rmSync(dir, { recursive: true });
    disturb(dir);
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
    put('renewed');
    await vi.waitFor(() => expect(given).toEqual([pem('renewed.pem')]));
  });
});

describe('files that cannot work are refused at the start, by their variable', () => {
  const problem = (changes: Partial<TlsFiles>, now?: number): string => {
    try {
      loadTls({ ...files, ...changes }, now);
    } catch (error) {
      if (error instanceof TributaryError) return `${error.code} ${error.message}`;
    }
    return 'none';
  };

  it.each<[string, Partial<TlsFiles>, number | undefined, RegExp]>([
    ['no file', { cert: '/nowhere.pem' }, undefined, /TLS_CERT: cannot read \/nowhere.pem/],
    ['no key file', { key: '/nowhere.key' }, undefined, /TLS_KEY: cannot read/],
    ['no certificate', { cert: file('make.sh') }, undefined, /TLS_CERT: .*no certificate in PEM/],
    ['no key', { key: file('server.pem') }, undefined, /TLS_KEY: .*no private key/],
    ['another key', { key: file('anna.key') }, undefined, /TLS_KEY: .*not the key of/],
    ['no authority', { clientCa: file('make.sh') }, undefined, /TLS_CLIENT_CA: .*no certificate/],
    ['expired', {}, Date.UTC(2121, 1), /TLS_CERT: .*has expired \(Jan {2}1 00:00:00 2120 GMT\)/],
    ['of the future', {}, Date.UTC(2019, 1), /TLS_CERT: .*not valid before Jan {2}1/],
  ])('%s', (_what, changes, now, message) => {
    expect(problem(changes, now)).toMatch(message);
    expect(problem(changes, now)).toMatch(/^bad_request TRIBUTARY_/);
  });

  it('also by the coordinator', async () => {
    const starting = startCoordinator({ tls: { ...files, key: file('anna.key') } });
    await expect(starting).rejects.toThrow('TRIBUTARY_TLS_KEY');
  });
});

describe('certificates of sites', () => {
  const asking = (clientCerts: TlsFiles['clientCerts']): Promise<Coordinator> =>
    startCoordinator({ tls: { ...files, clientCa: file('ca.pem'), clientCerts } });

  it('that are required: the one that names the client is let in, by CN or DNS name', async () => {
    const coordinator = await asking('required');
    const { anna, bo } = await runOn(coordinator);
    expect((await whoAmI(coordinator, anna, shown('anna'))).status).toBe(200);
    expect((await whoAmI(coordinator, bo, shown('site-bo'))).status).toBe(200);
    const peer = new Peer(coordinator.url, { token: anna }, shown('anna'));
    expect(await peer.hello()).toMatchObject({ ok: true });
  });

  it.each([
    ['none', { ca }, 'must show a client certificate'],
    ["another site's", shown('site-bo'), 'the client certificate is for somebody, bo.example, Bo'],
    ["another authority's", shown('stranger'), 'is not accepted: UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ])('that are required: %s is refused, on both ways in', async (_what, certificates, message) => {
    const coordinator = await asking('required');
    const { anna } = await runOn(coordinator);
    const response = await whoAmI(coordinator, anna, certificates);
    const error = await errorOf(response);
    expect([response.status, error.code]).toEqual([403, 'forbidden']);
    expect(error.message).toContain(message);
    expect(await refusalOf(new Peer(coordinator.url, { token: anna }, certificates))).toContain(
      message,
    );
  });

  it('that are optional: none is no fault, a wrong one is', async () => {
    const coordinator = await asking('optional');
    const { anna } = await runOn(coordinator);
    expect((await whoAmI(coordinator, anna, { ca })).status).toBe(200);
    expect((await whoAmI(coordinator, anna, shown('anna'))).status).toBe(200);
    expect((await whoAmI(coordinator, anna, shown('site-bo'))).status).toBe(403);
    expect((await whoAmI(coordinator, anna, shown('stranger'))).status).toBe(403);
  });

  it('come from files that the command names, both or none', async () => {
    const paths = { ca: file('ca.pem'), cert: file('anna.pem'), key: file('anna.key') };
    expect(await certificatesOf(paths)).toEqual(shown('anna'));
    expect(await certificatesOf({})).toEqual({});
    await expect(certificatesOf({ cert: paths.cert })).rejects.toThrow('--cert needs --key');
    await expect(certificatesOf({ ca: '/nowhere' })).rejects.toThrow('--ca: cannot read /nowhere');
  });
});
