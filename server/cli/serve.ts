/** `tributary serve`: the coordinator, until a signal stops it. */
import type { Command } from 'commander';
import { wholeNumber } from './run.js';

interface ServeOptions {
  readonly port?: string;
  readonly host?: string;
  readonly dataDir?: string;
}

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('run the coordinator; the environment configures it (docs/configuration.md)')
    .option('--port <number>', 'port to listen on; 0 for any free one')
    .option('--host <address>', 'address to listen on')
    .option('--data-dir <folder>', 'embedded database, blobs and operator token')
    .action(async ({ port, host, dataDir }: ServeOptions) => {
      const { serve } = await import('../main.js');
      await serve(process.env, {
        ...(port === undefined ? {} : { port: wholeNumber(port, '--port') }),
        ...(host === undefined ? {} : { host }),
        ...(dataDir === undefined ? {} : { dataDir }),
      });
    });
}
