/** The coordinator as a process: reads the environment, starts, tells how to join, stops on a signal. */
import { operatorTokenPath } from './adapters/operator-token.js';
import type { Coordinator } from './app.js';
import { createCoordinator } from './app.js';
import type { Config } from './config.js';
import { ignoredVariables, readConfig } from './config.js';
import { packageVersion } from './version.js';

const EXIT_FORCED = 130;

/**
 * Serves until SIGTERM or SIGINT, and stops cleanly; a second signal does not wait.
 *
 * @throws TributaryError where the coordinator cannot start.
 */
export async function serve(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<void> {
  const config = readConfig(env);
  const stopping = firstSignal();
  for (const name of ignoredVariables(env)) {
    process.stderr.write(`tributary: ${name} is not a variable of the coordinator: ignored\n`);
  }
  const coordinator = await createCoordinator(config);
  process.stdout.write(banner(coordinator, config));
  const signal = await stopping;
  process.stdout.write(`\n${signal}: stopping; once more to stop at once\n`);
  await coordinator.close();
}

/** Resolves with the first signal; from then on the next one ends the process where it stands. */
function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let signalled = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (signalled) process.exit(EXIT_FORCED);
      signalled = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

function banner({ url }: Coordinator, config: Config): string {
  const tokenIn =
    config.operatorToken === null ? operatorTokenPath(config.dataDir) : 'TRIBUTARY_OPERATOR_TOKEN';
  return `Tributary ${packageVersion} at ${url}

  create a run    tributary run create FILE --url ${url}
  join it         tributary join ${url} --token CLIENT_TOKEN --data FILE
  health          ${url}/readyz

  The operator token is in ${tokenIn}.
`;
}
