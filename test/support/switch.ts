/**
 * A load balancer in a few lines: an address that stays, and passes connections on to whatever it is
 * pointed at.
 */
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export interface Switch {
  readonly port: number;
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /** From now on connections go there; those that went elsewhere are cut. */
  pointAt(target: { readonly port: number }): void;
  close(): Promise<void>;
}

export async function openSwitch(first: { readonly port: number }): Promise<Switch> {
  let { port } = first;
  const open = new Set<Socket>();
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  const server = createServer((here) => {
    const there = connect({ host: '127.0.0.1', port });
    for (const [socket, other] of [
      [here, there],
      [there, here],
    ] as const) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    url: `http://127.0.0.1:${address.port}`,
    pointAt: (target) => {
      port = target.port;
      cut();
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
