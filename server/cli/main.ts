/**
 * The command `tributary`. One file a command. What a command works with is loaded when it runs: TF.js
 * and the database client take most of a second, and `tributary run list` needs neither.
 */
import { Command } from 'commander';
import { explain } from './api.js';
import { addBenchmarkCommand } from './benchmark.js';
import { addCompareCommand } from './compare.js';
import { addDemoCommand } from './demo.js';
import { addFuseCommand } from './fuse.js';
import { addGridCommand } from './grid.js';
import { addJoinCommand } from './join.js';
import { addLedgerCommands } from './ledger.js';
import { addModelCommands } from './model.js';
import { addOperatorCommands } from './operator.js';
import { addRulesCommands } from './rules.js';
import { addRunCommands } from './run.js';
import { addServeCommand } from './serve.js';
import { addSiteCommands } from './site.js';
import { addSimulateCommand } from './simulate.js';
import { packageVersion } from '../version.js';

const program = new Command('tributary')
  .description('A federated-learning coordinator: exact, durable, replayable rounds')
  .version(packageVersion)
  .showHelpAfterError('(tributary --help lists the commands)');

addServeCommand(program);
addJoinCommand(program);
addRunCommands(program);
addSiteCommands(program);
addOperatorCommands(program);
addLedgerCommands(program);
addRulesCommands(program);
addModelCommands(program);
addDemoCommand(program);
addFuseCommand(program);
addCompareCommand(program);
addSimulateCommand(program);
addBenchmarkCommand(program);
addGridCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`tributary: ${explain(error)}\n`);
  process.exitCode = 1;
}
