/** The kill matrix: a coordinator that is killed at one boundary of a round, again and again. */
import { randomStream } from '../../server/core/random.js';
import type { Boundary, Trap } from './boundaries.js';
import { drawTrap } from './boundaries.js';
import type { Life } from './coordinator.js';
import type { Disturbance, Scene } from './row.js';
import { count, patiently } from './row.js';

/** "Back at work within five seconds of start-up." */
const MOST_RECOVERY_MS = 5_000;

export function killsAt(boundary: Boundary): Disturbance {
  return {
    name: boundary.name,
    limitMs: MOST_RECOVERY_MS,
    play: async ({ times, seed, start, clients, found }) => {
      const random = randomStream('faults', seed, boundary.name);
      for (let n = 0; n < times; n++) {
        const trap = drawTrap(boundary, n, random);
        const life = start({ trap, env: aggregating(n) });
        await requireKilled(life, trap, clients.ended);
        count(found.done, trap.point);
        // The first start recovers from nothing.
        if (n > 0) note(life, found);
      }
      const last = start({ env: aggregating(times) });
      await patiently('the first receipt or commit after the last kill', last.progressed);
      note(last, found);
    },
  };
}

/** A round is folded in a thread in one life and in line in the next. */
function aggregating(n: number): Readonly<Record<string, string>> {
  return { TRIBUTARY_AGGREGATION_THREADS: n % 2 === 0 ? '2' : '0' };
}

/** One that was killed while it recovered has less to say: the next one's times tell. */
function note(life: Life, { readyMs, recoveryMs }: Scene['found']): void {
  const times = life.times();
  if (times.readyMs !== null) readyMs.push(times.readyMs);
  if (times.progressMs !== null) recoveryMs.push(times.progressMs);
}

/** A trap that never fires, or another end than the trap's, would make the table say too much. */
async function requireKilled(life: Life, trap: Trap, clients: Promise<unknown>): Promise<void> {
  const over = clients.then(() => 'over' as const);
  const first = await patiently(`"${trap.point}"`, Promise.race([life.ended, over]));
  if (first === 'over') throw new Error(`the run was over before "${trap.point}" was reached`);
  const point = life.killedAt();
  if (first.signal === 'SIGKILL' && point === trap.point) return;
  const how = JSON.stringify({ ...first, point });
  throw new Error(`not killed at "${trap.point}": ${how}\n${life.complaint()}`);
}
