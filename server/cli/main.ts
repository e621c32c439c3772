/**
 * The command `tributary`. One file a command. What a command works with is loaded when it runs: TF.js
 * and the database client take most of a second, and `tributary run list` needs neither.
 */
import { Command } from 'commander';
import { explain } from './api.js';
import { addCompareCommand } from './compare.js';
import { addDemoCommand } from './demo.js';
import { addJoinCommand } from './join.js';
import { addModelCommands } from './model.js';
import { addRunCommands } from './run.js';
import { addServeCommand } from './serve.js';
import { packageVersion } from '../version.js';

const program = new Command('tributary')
  .description('A federated-learning coordinator: exact, durable, replayable rounds')
  .version(packageVersion)
  .showHelpAfterError('(tributary --help lists the commands)');

addServeCommand(program);
addJoinCommand(program);
addRunCommands(program);
addModelCommands(program);
addDemoCommand(program);
addCompareCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`tributary: ${explain(error)}\n`);
  process.exitCode = 1;
}
