/** `tributary run create | list | show | enrol | stop` against a coordinator. */
import type { Command } from 'commander';
import { TributaryError } from '../../protocol/errors.js';
import type { RoundDetail, RoundSummary, RunDetail, RunSummary } from '../../protocol/http.js';
import { role as roleSchema } from '../../protocol/run.js';
import type { Role } from '../../protocol/run.js';
import type { ConnectionOptions } from './connection.js';
import { connect, operatorCommand } from './connection.js';
import { bytes, print, sparkline, table } from './output.js';

export function addRunCommands(program: Command): void {
  const run = program.command('run').description('create, list, show and stop runs');

  operatorCommand(run.command('create <file>'))
    .description('create a run from a run file; prints a token for each --client')
    .option('--client <name[:role]>', 'enrol a client; may be repeated', collect, [])
    .action(async (file: string, options: ConnectionOptions & { client: string[] }) => {
      const api = await connect(options);
      const wanted = options.client.map(nameAndRole);
      const { loadRunFile } = await import('./run-file.js');
      const summary = await api.createRun(await loadRunFile(file, api));
      const clients = [];
      for (const { name, role } of wanted) clients.push(await api.enrol(summary.id, name, role));
      print({ ...summary, clients }, options.json, (value) =>
        [
          `run ${value.id}`,
          ...value.clients.map((c) => `  ${c.clientId} (${c.role})  ${c.token}`),
          ...(value.clients.length > 0 ? ['Each token is shown only this once.'] : []),
        ].join('\n'),
      );
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
    .action(async (id: string, options: ConnectionOptions & { round?: string }) => {
      const api = await connect(options);
      if (options.round === undefined) print(await api.run(id), options.json, shown);
      else
        print(await api.round(id, wholeNumber(options.round, '--round')), options.json, roundShown);
    });

  operatorCommand(run.command('enrol <id> <name>'))
    .description('register a client and print its token')
    .option('--role <role>', 'source, target or evaluator', 'source')
    .action(async (id: string, name: string, options: ConnectionOptions & { role: string }) => {
      const api = await connect(options);
      const client = await api.enrol(id, name, parseRole(options.role));
      print(
        client,
        options.json,
        (c) => `${c.clientId} (${c.role})  ${c.token}\nThe token is shown only this once.`,
      );
    });

  operatorCommand(run.command('stop <id>'))
    .description('end a run; its checkpoints stay')
    .action(async (id: string, options: ConnectionOptions) => {
      const api = await connect(options);
      print(
        await api.stop(id),
        options.json,
        (summary) => `run ${summary.id} is ${summary.status}`,
      );
    });
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

function nameAndRole(text: string): { name: string; role: Role } {
  const [name, role = 'source'] = text.split(':');
  return { name, role: parseRole(role) };
}

function parseRole(text: string): Role {
  const result = roleSchema.safeParse(text);
  if (result.success) return result.data;
  throw new TributaryError(
    'bad_request',
    `"${text}" is not a role: use ${roleSchema.options.join(', ')}`,
  );
}

export function wholeNumber(text: string, what: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new TributaryError('bad_request', `${what}: "${text}" is not a whole number`);
}

function listed(runs: readonly RunSummary[]): string {
  if (runs.length === 0) return 'no runs yet: create one with "tributary run create FILE"';
  const rows = runs.map((r) => [
    r.id,
    r.rule,
    r.status,
    `${r.round}/${r.rounds}`,
    r.createdAt.slice(0, 16).replace('T', ' '),
  ]);
  return table(['run', 'rule', 'status', 'round', 'created (UTC)'], rows);
}

function shown(run: RunDetail): string {
  const { spec } = run;
  const committed = run.history.filter((round) => round.evaluation);
  const accuracy = committed
    .map((round) => round.evaluation!.pooled.accuracy)
    .filter(Number.isFinite);
  return [
    `run ${run.id}: ${spec.task.name} under ${run.rule}, seed ${spec.seed}`,
    `${run.status}${run.reason ? ` (${run.reason})` : ''}: ${run.now}`,
    ...(accuracy.length > 0
      ? [`accuracy ${sparkline(accuracy)} ${accuracy.at(-1)!.toFixed(4)}`]
      : []),
    '',
    table(
      ['round', 'try', 'phase', 'invited', 'accepted', 'bytes', 'accuracy', 'checkpoint'],
      run.history.map(roundRow),
    ),
    ...run.history
      .filter((round) => round.reason)
      .map((round) => `round ${round.round}, try ${round.attempt}: ${round.reason!}`),
    '',
    table(
      ['client', 'role', 'present'],
      run.clients.map((c) => [c.id, c.role, c.present ? 'yes' : 'no']),
    ),
  ].join('\n');
}

function roundRow(round: RoundSummary): (string | number)[] {
  const accuracy = round.evaluation?.pooled.accuracy;
  return [
    round.round,
    round.attempt,
    round.phase,
    round.invited,
    round.accepted,
    bytes(round.bytes),
    accuracy === undefined ? '' : accuracy.toFixed(4),
    round.checkpointSha256?.slice(0, 12) ?? '',
  ];
}

function roundShown(round: RoundDetail): string {
  const rows = round.updates.map((u) => [
    u.clientId,
    u.kind,
    u.state,
    u.receipt?.code ?? '',
    u.numExamples ?? '',
    u.norm?.toPrecision(4) ?? '',
    u.weight?.toFixed(6) ?? '',
    u.receipt?.sha256.slice(0, 12) ?? '',
  ]);
  const diagnostics = Object.entries(round.diagnostics).map(
    ([name, value]) => `${name} ${value.toPrecision(6)}`,
  );
  return [
    `round ${round.round}, try ${round.attempt}: ${round.phase}${round.reason ? ` (${round.reason})` : ''}`,
    table(['client', 'kind', 'state', 'code', 'examples', 'norm', 'weight', 'update'], rows),
    ...diagnostics,
  ].join('\n');
}
