/** `tributary model get`: the global model of a run as safetensors. */
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ConnectionOptions } from './connection.js';
import { connect, operatorCommand } from './connection.js';
import { bytes, print } from './output.js';
import { wholeNumber } from './options.js';

interface ModelOptions extends ConnectionOptions {
  readonly round?: string;
  readonly average?: boolean;
  readonly out: string;
}

export function addModelCommands(program: Command): void {
  const model = program.command('model').description('models of a run');
  operatorCommand(model.command('get <run>'))
    .description('write a model of a run to a safetensors file')
    .option('--round <number>', 'the model after this round; 0 is the start; default the newest')
    .option('--average', 'the moving average up to there, of a run with the step "ema"')
    .requiredOption('--out <file>', 'where to write it')
    .action(async (run: string, options: ModelOptions) => {
      const api = await connect(options);
      const version =
        options.round === undefined ? 'newest' : wholeNumber(options.round, '--round');
      const content = await api.model(run, version, options);
      await writeFile(options.out, content);
      print(
        { out: options.out, bytes: content.byteLength },
        options.json,
        (value) => `${value.out}: ${bytes(value.bytes)}`,
      );
    });
}
