/** `tributary site add | list | approve | revoke | rotate`: who takes part in a run. */
import type { Command } from 'commander';
import type { ConnectionOptions } from './connection.js';
import { connect, operatorCommand } from './connection.js';
import { expiryOption, parseExpiry, parseRole } from './options.js';
import { print } from './output.js';
import { siteShown, sitesListed, ticketShown } from './site/shown.js';

type ExpiryOptions = ConnectionOptions & { readonly expires?: string };

export function addSiteCommands(program: Command): void {
  const site = program
    .command('site')
    .description('add, approve and revoke the sites (clients) of a run');

  expiryOption(operatorCommand(site.command('add <run> <name>')))
    .description('register a site and print its token; names are never given twice')
    .option('--role <role>', 'source, target or evaluator', 'source')
    .action(async (run: string, name: string, options: ExpiryOptions & { role: string }) => {
      const role = parseRole(options.role);
      const expiresInMs = parseExpiry(options.expires);
      const api = await connect(options);
      const ticket = await api.addSite(run, { name, role, expiresInMs });
      print(ticket, options.json, (t) => ticketShown(t, run));
    });

  operatorCommand(site.command('list <run>'))
    .description('the sites of a run, their state, and who is connected')
    .action(async (run: string, options: ConnectionOptions) => {
      print(await (await connect(options)).sites(run), options.json, sitesListed);
    });

  operatorCommand(site.command('approve <run> <name>'))
    .description('let a site take part that waits for it (join policy "approved")')
    .action(async (run: string, name: string, options: ConnectionOptions) => {
      print(await (await connect(options)).approveSite(run, name), options.json, siteShown);
    });

  operatorCommand(site.command('revoke <run> <name>'))
    .description('end the part of a site at once; updates that were acknowledged still count')
    .action(async (run: string, name: string, options: ConnectionOptions) => {
      print(await (await connect(options)).revokeSite(run, name), options.json, siteShown);
    });

  expiryOption(operatorCommand(site.command('rotate <run> <name>')))
    .description('give a site a new token, its old one ends; takes a revoked site back')
    .action(async (run: string, name: string, options: ExpiryOptions) => {
      const expiresInMs = parseExpiry(options.expires);
      const ticket = await (await connect(options)).rotateSite(run, name, expiresInMs);
      print(ticket, options.json, (t) => ticketShown(t, run));
    });
}
