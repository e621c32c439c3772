/** `tributary operator add | list | revoke | rotate`: who may use the operators' side. */
import type { Command } from 'commander';
import type { OperatorInfo, OperatorToken } from '../../protocol/http.js';
import type { ConnectionOptions } from './connection.js';
import { connect, operatorCommand } from './connection.js';
import { expiryOption, parseExpiry, parseOperatorRole } from './options.js';
import { print, table } from './output.js';
import { minuteOf } from './site/shown.js';

type ExpiryOptions = ConnectionOptions & { readonly expires?: string };

export function addOperatorCommands(program: Command): void {
  const operator = program
    .command('operator')
    .description('add and revoke operators; takes the role admin, as the configured token has it');

  expiryOption(operatorCommand(operator.command('add <name>')))
    .description('add an operator and print the token')
    .option('--role <role>', 'viewer reads, operator also runs, admin also does this', 'viewer')
    .action(async (name: string, options: ExpiryOptions & { role: string }) => {
      const role = parseOperatorRole(options.role);
      const expiresInMs = parseExpiry(options.expires);
      const added = await (await connect(options)).addOperator({ name, role, expiresInMs });
      print(added, options.json, ticketShown);
    });

  operatorCommand(operator.command('list'))
    .description('all operators but "root", which is the configured token')
    .action(async (options: ConnectionOptions) => {
      print(await (await connect(options)).operators(), options.json, listed);
    });

  operatorCommand(operator.command('revoke <name>'))
    .description('end what an operator may do, at once and for good')
    .action(async (name: string, options: ConnectionOptions) => {
      const revoked = await (await connect(options)).revokeOperator(name);
      print(revoked, options.json, (o) => `${o.name} (${o.role}) is revoked`);
    });

  expiryOption(operatorCommand(operator.command('rotate <name>')))
    .description('give an operator a new token; the old one ends')
    .action(async (name: string, options: ExpiryOptions) => {
      const expiresInMs = parseExpiry(options.expires);
      const rotated = await (await connect(options)).rotateOperator(name, expiresInMs);
      print(rotated, options.json, ticketShown);
    });
}

function ticketShown({ name, role, token, tokenExpiresAt }: OperatorToken): string {
  return [
    `${name} (${role})  ${token}`,
    'The token is shown only this once.',
    ...(tokenExpiresAt === null ? [] : [`It expires ${minuteOf(tokenExpiresAt)}.`]),
  ].join('\n');
}

function listed(operators: readonly OperatorInfo[]): string {
  if (operators.length === 0) {
    return 'no operators beside the configured token: add one with "tributary operator add NAME"';
  }
  const rows = operators.map(({ name, role, revoked, createdAt, tokenExpiresAt }) => [
    name,
    role,
    revoked ? 'revoked' : 'active',
    minuteOf(createdAt),
    tokenExpiresAt === null ? 'never' : minuteOf(tokenExpiresAt),
  ]);
  return table(['operator', 'role', 'state', 'added', 'token expires'], rows);
}
