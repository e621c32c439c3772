/** A coordinator as a process of its own, that tests kill and start again. */
import type { Api } from '../../server/cli/api.js';
import { connectApi } from '../../server/cli/api.js';
import { startEmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';
import type { Finished, Running } from './command.js';
import { startCommand } from './command.js';
import { OPERATOR_TOKEN } from './stage.js';

export interface CoordinatorProcess {
  readonly url: string;
  readonly api: Api;
  readonly pid: number;
  /** kill -9: no goodbye, no clean-up. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Starts it again, on the same port, database and data directory. */
  start(): Promise<void>;
  /** SIGSTOP: it stands still, in the middle of whatever it does. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /** SIGTERM. */
  stop(): Promise<Finished>;
}

export interface ServeOptions {
  readonly dataDir: string;
  /** Without it, the embedded server in the data directory. */
  readonly databaseUrl?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Resolves when it says where it is, which it does when it can be reached. */
export async function serveProcess(options: ServeOptions): Promise<CoordinatorProcess> {
  let running = launch(options, 0);
  const url = await addressOf(running);
  const port = Number(new URL(url).port);
  return {
    url,
    api: connectApi(url, OPERATOR_TOKEN),
    get pid() {
      return running.pid;
    },
    kill: async () => {
      running.signal('SIGKILL');
      await running.ended;
    },
    start: async () => {
      running = launch(options, port);
      await addressOf(running);
    },
    freeze: () => running.signal('SIGSTOP'),
    thaw: () => running.signal('SIGCONT'),
    stop: () => {
      running.signal('SIGTERM');
      return running.ended;
    },
  };
}

function launch({ dataDir, databaseUrl, env }: ServeOptions, port: number): Running {
  return startCommand(['serve'], {
    env: {
      TRIBUTARY_PORT: String(port),
      TRIBUTARY_DATA_DIR: dataDir,
      TRIBUTARY_OPERATOR_TOKEN: OPERATOR_TOKEN,
      TRIBUTARY_LOG_LEVEL: 'warn',
      ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
      ...env,
    },
  });
}

async function addressOf(running: Running): Promise<string> {
  const [, url] = await running.output(/ at (http:\/\/127\.0\.0\.1:\d+)\n/);
  return url;
}

/** Stops the embedded server that a coordinator which was killed for good left running. */
export async function stopLeftPostgres(dataDir: string): Promise<void> {
  const postgres = await startEmbeddedPostgres({ dataDir: `${dataDir}/postgres` });
  await postgres.stop();
}
