/** `tributary join --review`: a person sees what would be run and what would leave, and decides. */
import { createInterface } from 'node:readline/promises';
import type { ReviewFunction, ReviewRequest } from '../../../client/review.js';
import { bytes } from '../output.js';

/** Tensors that are named one by one; a deep network has hundreds. */
const MAX_TENSORS = 40;

/**
 * Prints to standard error, where prompts belong, and asks at the terminal.
 *
 * @param agreed `--yes`: shown, and not asked.
 */
export function reviewer(agreed: boolean | undefined, signal: AbortSignal): ReviewFunction {
  return async (request) => {
    process.stderr.write(`${reviewText(request)}\n`);
    if (agreed) return true;
    if (!process.stdin.isTTY) throw new Error('nobody to ask at a terminal, and no --yes');
    if (await asked('Take part? [y/N] ', signal)) return true;
    throw new Error('declined at the terminal');
  };
}

async function asked(question: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // In raw mode Ctrl-C is a key like any other.
  terminal.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    return /^y(es)?$/i.test((await terminal.question(question, { signal })).trim());
  } finally {
    terminal.close();
  }
}

export function reviewText(request: ReviewRequest): string {
  const { run, role, task, training, modelSha256 } = request;
  const options = JSON.stringify(run.rule.options);
  const facts: [string, string][] = [
    ['run', `${run.id} (${run.name}), join policy: ${run.join}`],
    ['your role', role],
    ['rule', `${run.rule.name} ${options}${run.rule.module ? `, module ${run.rule.module}` : ''}`],
    ['rounds', `${run.rounds}`],
    ['task', `${task.name}, loss ${task.loss}`],
    ['model', `${task.model.format}, sha256 ${modelSha256}`],
    ['layers', layersOf(request)],
    ['training', JSON.stringify(training)],
    ['updates', run.keepUpdates ? 'are KEPT after their round' : 'are deleted after their round'],
  ];
  return [
    'What would be run:',
    ...facts.map(([name, value]) => `  ${name.padEnd(10)} ${value}`),
    'What would leave this site, in every round that invites it:',
    ...leavingLines(request).map((line) => `  ${line}`),
  ].join('\n');
}

/** Names of layers where the model says them. */
function layersOf({ task: { model } }: ReviewRequest): string {
  const shapes = model.tensors.map(({ name, shape }) => `${name} [${shape.join(', ')}]`);
  const shown = shapes.slice(0, MAX_TENSORS).join(', ');
  return shapes.length > MAX_TENSORS ? `${shown}, and ${shapes.length - MAX_TENSORS} more` : shown;
}

function leavingLines({ leaves }: ReviewRequest): string[] {
  const { tensors, facts, metrics, answers, clipNorm } = leaves;
  const shown = tensors.slice(0, MAX_TENSORS);
  return [
    ...shown.map(({ name, shape, bytes: n }) => `${name} [${shape.join(', ')}], ${bytes(n)}`),
    ...(tensors.length > shown.length ? [`and ${tensors.length - shown.length} more tensors`] : []),
    tensors.length > 0 ? `${bytes(leaves.bytes)} in all, float32` : 'no tensors: it does not train',
    `numbers: ${facts.join(', ')}; metrics: ${metrics === null ? 'all that are reported' : metrics.join(', ') || 'none'}`,
    ...(clipNorm === null ? [] : [`scaled down to norm ${clipNorm} where it is longer`]),
    ...(answers ? ['loss and gradient on the validation data, whenever the rule asks'] : []),
  ];
}
