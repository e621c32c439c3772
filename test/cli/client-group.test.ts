/** The demonstration's client processes: none may fail, or go on, unheard. */
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { clientGroup } from '../../server/cli/demo/client-group.js';
import type { ClientProcess, Ending } from '../../server/cli/demo/client-process.js';
import { observe } from '../../server/cli/demo/client-process.js';

/** A client that runs a line of JavaScript. */
function client(code: string): ClientProcess {
  return observe(spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'pipe'] }));
}
const FOREVER = 'setInterval(() => 0, 1000)';

/** One that never ends, not even when it is killed. */
function immortal(): ClientProcess & { killed: boolean } {
  return {
    pid: -1,
    ended: new Promise<Ending>(() => undefined),
    complaint: () => '',
    killed: false,
    kill() {
      this.killed = true;
    },
  };
}

describe('a group of client processes', () => {
  it('fails with the complaint of a client that ends with an error', async () => {
    const group = clientGroup();
    group.add('ada', client('process.stderr.write("no data\\n"); process.exitCode = 3'));
    await expect(group.failed).rejects.toThrow('ada ended with code 3\nno data');
  });

  it('fails where a signal ends a client that nobody sacrificed', async () => {
    const group = clientGroup();
    const ada = client(FOREVER);
    group.add('ada', ada);
    ada.kill();
    await expect(group.failed).rejects.toThrow('ada was ended by SIGKILL');
  });

  it('fails where a client cannot be started', async () => {
    const group = clientGroup();
    group.add('ada', observe(spawn('/nonexistent/tributary', { stdio: 'ignore' })));
    await expect(group.failed).rejects.toThrow(/ada could not be started: .*ENOENT/);
  });

  it('does not fail where clients end well or are sacrificed', async () => {
    const group = clientGroup();
    const [ada, bob] = [client(''), client(FOREVER)];
    group.add('ada', ada);
    group.add('bob', bob);
    group.sacrifice(bob);
    await group.settled(60_000);
    const first = await Promise.race([group.failed, Promise.resolve('nothing failed')]);
    expect(first).toBe('nothing failed');
    expect(await bob.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  it('does not wait for ever: it names who is left, and kills them', async () => {
    const group = clientGroup();
    const [ada, bob] = [client(''), immortal()];
    group.add('ada', ada);
    group.add('bob', bob);
    await ada.ended;
    await expect(group.settled(0)).rejects.toThrow(/after the run was over: bob$/);
    expect(bob.killed).toBe(true);
  });
});
