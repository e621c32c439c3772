/** One address for a database that is killed, and comes back on another port. */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export interface DatabaseProxy {
  readonly port: number;
  /** Where connections go from now on. */
  target(port: number): void;
  close(): Promise<void>;
}

export async function databaseProxy(first: number): Promise<DatabaseProxy> {
  let current = first;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(current, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.once('close', () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    target: (port) => (current = port),
    close: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
