/** The client processes of one run: a failure of any of them is heard at once, and all of them end. */
import { TributaryError } from '../../../protocol/errors.js';
import type { ClientProcess, Ending } from './client-process.js';

export interface ClientGroup {
  add(name: string, client: ClientProcess): void;
  /** Kills a client whose death is no failure. */
  sacrifice(client: ClientProcess): void;
  /** Rejects when a client fails, with its complaint; stays pending otherwise. */
  readonly failed: Promise<never>;
  /** Resolves when all have ended. @throws TributaryError `internal` after `ms`, having killed those left. */
  settled(ms: number): Promise<void>;
  /** What clients wrote to standard error. */
  complaints(): string[];
  killAll(): void;
}

export function clientGroup(): ClientGroup {
  const members = new Map<ClientProcess, string>();
  const sacrificed = new Set<ClientProcess>();
  let fail: (error: TributaryError) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // It may fail when nobody waits for it any more: killAll at the end is no news.
  failed.catch(() => undefined);

  const killAll = (): void => {
    for (const client of members.keys()) client.kill();
  };

  return {
    failed,
    killAll,
    add(name, client) {
      members.set(client, name);
      void client.ended.then((ending) => {
        if (ending.code === 0 || sacrificed.has(client)) return;
        const message = [`${name} ${describe(ending)}`, client.complaint()].filter(Boolean);
        fail(new TributaryError('internal', message.join('\n')));
      });
    },
    sacrifice(client) {
      sacrificed.add(client);
      client.kill();
    },
    async settled(ms) {
      const living = new Map(members);
      const all = Promise.all([...members.keys()].map((c) => c.ended.then(() => living.delete(c))));
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          const names = [...living.values()].join(', ');
          killAll();
          reject(new TributaryError('internal', `still alive after the run was over: ${names}`));
        }, ms);
      });
      await Promise.race([all, late]).finally(() => clearTimeout(timer));
    },
    complaints: () => [...members.keys()].map((client) => client.complaint()).filter(Boolean),
  };
}

function describe({ code, signal, error }: Ending): string {
  if (error) return `could not be started: ${error.message}`;
  return signal ? `was ended by ${signal}` : `ended with code ${code}`;
}
