/** `tributary run create | list | show | events | enrol | pause | resume | stop`. */
import type { Command } from 'commander';
import { TributaryError } from '../../protocol/errors.js';
import type { Enrolled } from '../../protocol/http.js';
import { MAX_PAGE } from '../../protocol/http.js';
import type { Api } from './api.js';
import type { ConnectionOptions } from './connection.js';
import { connect, operatorCommand } from './connection.js';
import { wholeLedger } from './ledger/source.js';
import { parseRole, wantedClients, wholeNumber } from './options.js';
import type { WantedClient } from './options.js';
import { print } from './output.js';
import { brokenEvent, eventsShown } from './run/events.js';
import { created, listed, shown } from './run/runs.js';
import { roundShown } from './run/round.js';
import { ticketShown } from './site/shown.js';

export function addRunCommands(program: Command): void {
  const run = program.command('run').description('create, list, show, pause and stop runs');

  operatorCommand(run.command('create <file>'))
    .description('create a run from a run file; prints a token for each --client')
    .option('--client <name[:role]>', 'enrol a client; may be repeated', collect, [])
    .action(async (file: string, options: ConnectionOptions & { client: string[] }) => {
      const api = await connect(options);
      const wanted = wantedClients(options.client);
      const { loadRunFile } = await import('./run-file.js');
      const summary = await api.createRun(await loadRunFile(file, api));
      const { clients, failure } = await enrolAll(api, summary.id, wanted);
      print({ ...summary, clients }, options.json, created);
      if (failure) throw failure;
    });

  operatorCommand(run.command('list'))
    .description('all runs, newest first')
    .action(async (options: ConnectionOptions) => {
      const api = await connect(options);
      print(await api.runs(), options.json, listed);
    });

  operatorCommand(run.command('show <id>'))
    .description('one run: its rounds, its clients, what it does now')
    .option('--round <number>', 'one round: who was invited, receipts, weights')
    .option(
      '--from <place>',
      `${MAX_PAGE} rounds from this one on, instead of the newest; the oldest is 1`,
    )
    .action(async (id: string, options: ConnectionOptions & { round?: string; from?: string }) => {
      const { round, from, json } = options;
      const [number, place] = [asked(round, '--round'), asked(from, '--from')];
      const api = await connect(options);
      if (number === undefined) print(await api.run(id, place), json, shown);
      else print(await api.round(id, number), json, roundShown);
    });

  operatorCommand(run.command('events <id>'))
    .description("a run's ledger, from its first event; verifies its hash chain")
    .action(async (id: string, options: ConnectionOptions) => {
      const events = await wholeLedger(await connect(options), id);
      const broken = brokenEvent(events);
      print({ events, broken }, options.json, eventsShown);
      if (broken) process.exitCode = 1;
    });

  operatorCommand(run.command('enrol <id> <name>'))
    .description('register a client and print its token')
    .option('--role <role>', 'source, target or evaluator', 'source')
    .action(async (id: string, name: string, options: ConnectionOptions & { role: string }) => {
      const api = await connect(options);
      const client = await api.enrol(id, name, parseRole(options.role));
      print(client, options.json, (ticket) => ticketShown(ticket, id));
    });

  for (const [verb, description] of controls) {
    operatorCommand(run.command(`${verb} <id>`))
      .description(description)
      .action(async (id: string, options: ConnectionOptions) => {
        const api = await connect(options);
        print(
          await api[verb](id),
          options.json,
          (summary) => `run ${summary.id} is ${summary.status}`,
        );
      });
  }
}

const controls = [
  ['pause', 'begin no more rounds; the one under way ends'],
  ['resume', 'go on with a run that was paused'],
  ['stop', 'end a run; its checkpoints stay'],
] as const;

function asked(text: string | undefined, what: string): number | undefined {
  return text === undefined ? undefined : wholeNumber(text, what);
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

/**
 * Enrols one after the other. Where one fails, the tokens of those before are in `clients`: they are
 * shown only once, so they are to be printed before `failure` is thrown.
 */
async function enrolAll(
  api: Api,
  runId: string,
  wanted: readonly WantedClient[],
): Promise<{ clients: Enrolled[]; failure: TributaryError | null }> {
  const clients: Enrolled[] = [];
  for (const { name, role } of wanted) {
    try {
      clients.push(await api.enrol(runId, name, role));
    } catch (cause) {
      const [code, why] =
        cause instanceof TributaryError
          ? [cause.code, cause.message]
          : ['internal' as const, String(cause)];
      const message = `run ${runId} is created, but "${name}" could not be enrolled: ${why}`;
      return { clients, failure: new TributaryError(code, message, undefined, { cause }) };
    }
  }
  return { clients, failure: null };
}
