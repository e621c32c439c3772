/** `tributary serve`: the coordinator, until a signal stops it. */
import type { Command } from 'commander';

export interface ServeOptions {
  readonly port?: string;
  readonly host?: string;
  readonly dataDir?: string;
}

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('run the coordinator; the environment configures it (docs/configuration.md)')
    .option('--port <number>', 'port to listen on; 0 for any free one (TRIBUTARY_PORT)')
    .option('--host <address>', 'address to listen on (TRIBUTARY_HOST)')
    .option('--data-dir <folder>', 'database, blobs, operator token (TRIBUTARY_DATA_DIR)')
    .action(async (options: ServeOptions) => {
      const { serve } = await import('../main.js');
      await serve(withFlags(process.env, options));
    });
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The environment with the command's flags in it, so that both are checked before anything starts. */
export function withFlags(env: Environment, { port, host, dataDir }: ServeOptions): Environment {
  return {
    ...env,
    ...(port === undefined ? {} : { TRIBUTARY_PORT: port }),
    ...(host === undefined ? {} : { TRIBUTARY_HOST: host }),
    ...(dataDir === undefined ? {} : { TRIBUTARY_DATA_DIR: dataDir }),
  };
}
