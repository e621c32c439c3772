/** `tributary fuse`: any rule on model files, without a coordinator. */
import type { Command } from 'commander';
import { print } from './output.js';

export interface FuseOptions {
  readonly rule: string;
  readonly options?: string;
  readonly base: string;
  readonly examples?: string;
  readonly facts?: string;
  readonly proxy?: string;
  readonly model?: string;
  readonly batchSize: string;
  readonly optimizer: string;
  readonly optimizerOptions?: string;
  readonly out: string;
  readonly json?: boolean;
}

export function addFuseCommand(program: Command): void {
  program
    .command('fuse <files...>')
    .description('merge safetensors files of one model under a rule, without a coordinator')
    .requiredOption('--rule <name>', 'a rule ("tributary rules" lists them), or ./my-rule.ts')
    .option('--options <json>', 'the rule\'s options, e.g. \'{"granularity":"model"}\'')
    .requiredOption('--base <file>', 'the model that the files were trained from')
    .requiredOption('--out <file>', 'where the fused model goes; none of the inputs')
    .option('--examples <numbers>', 'how many examples each file was trained on: 5,3,2')
    .option('--facts <file>', 'JSON by file name: numExamples, numSteps, role, metrics, vectors')
    .option('--proxy <file>', 'held-out examples (x, y) for rules that need an oracle')
    .option('--model <file>', 'the task, or the layers JSON: roles of tensors, and the oracle')
    .option('--batch-size <number>', 'examples of the proxy set in one question', '128')
    .option('--optimizer <name>', 'server optimizer on top of the rule', 'sgd')
    .option('--optimizer-options <json>', 'its options')
    .option('--json', 'print JSON')
    .action(async (files: string[], options: FuseOptions) => {
      const [{ fuseFiles }, { fused }] = await Promise.all([
        import('./fuse/command.js'),
        import('./fuse/results.js'),
      ]);
      print(await fuseFiles(files, options), options.json, fused);
    });
}
