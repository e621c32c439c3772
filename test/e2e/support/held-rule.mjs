/**
 * Loaded into every thread of a coordinator (`node --import`): FedAvg in two forms that say when they
 * are about to finish, and then keep their thread busy, or end it.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { rules } from '../../../dist/server/core/rules/index.js';

const folder = process.env.HELD_RULE_DIR;
const fedavg = rules.get('fedavg');

function register(name, before) {
  rules.set(name, {
    ...fedavg,
    name,
    finish(acc, ctx) {
      before(ctx);
      return fedavg.finish(acc, ctx);
    },
  });
}

/** Busy until it is let go on, as a very large model would keep it. */
register('held', ({ round }) => {
  writeFileSync(join(folder, `began-${round}`), '');
  while (!existsSync(join(folder, `go-on-${round}`)));
});

/** Ends its thread the first time. */
register('mortal', () => {
  const died = join(folder, 'died');
  if (existsSync(died)) return;
  writeFileSync(died, '');
  process.exit(7);
});
