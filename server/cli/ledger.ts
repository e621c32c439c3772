/** `tributary ledger verify | export | key`: for auditors, with or without a coordinator. */
import type { Command } from 'commander';
import type { ConnectionOptions } from './connection.js';
import { connect, operatorCommand } from './connection.js';
import { connectApi } from './api.js';
import type { VerifyOptions } from './ledger/verify.js';
import { print } from './output.js';

export function addLedgerCommands(program: Command): void {
  const ledger = program
    .command('ledger')
    .description('verify and export the record of what happened');

  operatorCommand(ledger.command('verify [run]'))
    .description('check sequence, hash chain and signatures of a ledger, and print its head')
    .option('--key <key>', 'public key, or a file with it; may be repeated', collect, [])
    .option('--head <seq:hash>', 'a head that was noted earlier: it must still be in the ledger')
    .option('--file <export>', 'what "ledger export" wrote; no coordinator is asked')
    .option('--coordinator', "the coordinator's own ledger, instead of a run's")
    .option('--allow-unsigned', 'take a ledger without any signature')
    .action(async (run: string | undefined, options: VerifyOptions) => {
      const { verified, verdictShown } = await import('./ledger/verify.js');
      const verdict = await verified(run ?? null, options);
      print(verdict, options.json, verdictShown);
      if (verdict.broken) process.exitCode = 1;
    });

  operatorCommand(ledger.command('export [run]'))
    .description('write a ledger as JSON lines: a header, then one event a line')
    .option('--coordinator', "the coordinator's own ledger, instead of a run's")
    .requiredOption('--out <file>', 'where to write it; - for standard output')
    .action(async (run: string | undefined, options: ExportOptions) => {
      const { exportLedger } = await import('./ledger/export.js');
      const { whichLedger } = await import('./ledger/source.js');
      const which = whichLedger(run ?? null, options.coordinator);
      const count = await exportLedger(await connect(options), which, options.out);
      if (options.out === '-') return;
      const report = { out: options.out, events: count };
      print(report, options.json, ({ out, events }) => `${out}: ${events} events`);
    });

  operatorCommand(ledger.command('key'))
    .description("the public key that the coordinator's ledgers are signed with; needs no token")
    .action(async ({ url, json }: ConnectionOptions) => {
      const key = await connectApi(url, null).ledgerKey();
      print(key, json, (it) => it?.publicKey ?? 'the ledgers of this coordinator are not signed');
      if (!key) process.exitCode = 1;
    });
}

interface ExportOptions extends ConnectionOptions {
  readonly coordinator?: boolean;
  readonly out: string;
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}
