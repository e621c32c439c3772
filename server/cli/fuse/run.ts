/** From files that are open and checked to the fused model. */
import { TributaryError } from '../../../protocol/errors.js';
import { newKernels } from '../../adapters/kernels.js';
import { byClientId } from '../../core/cohort.js';
import type { Kernels } from '../../core/kernels/kernels.js';
import { fedavg } from '../../core/rules/fedavg.js';
import type { Outcome } from '../../core/rules/rule.js';
import type { RunRule } from '../../engine/run-rule.js';
import type { FuseOptions } from '../fuse.js';
import { wholeNumber } from '../options.js';
import type { FuseInput } from './aggregate.js';
import { fuse } from './aggregate.js';
import type { ModelFile } from './model.js';
import { openOracle } from './model.js';
import type { Plan } from './plan.js';
import type { Fused } from './results.js';
import type { TensorFile } from './tensor-file.js';
import type { FileUpdate, OpenClient } from './updates.js';
import { fileUpdate, readBase } from './updates.js';
import { writeFused } from './write.js';

export interface Work {
  readonly options: FuseOptions;
  readonly composed: RunRule;
  readonly base: TensorFile;
  readonly proxy: TensorFile | null;
  readonly clients: readonly OpenClient[];
  readonly plan: Plan;
  readonly model: ModelFile | null;
}

/** Computes, and writes the file. @throws TributaryError as the rule does. */
export async function fuseOpen(work: Work): Promise<Fused> {
  const { options, composed, base, clients, plan } = work;
  const kernels = newKernels();
  const outcome = await runRule(work, kernels);
  const deltas = deltasOf(plan, outcome.delta, await averagedBuffers(work, kernels));
  const written = await writeFused(options.out, base, deltas);
  const { weights, coefficients, diagnostics, matrices } = outcome;
  return {
    rule: composed.inner.name,
    options: composed.innerOptions,
    optimizer: { name: options.optimizer, options: composed.optimizerOptions },
    out: options.out,
    ...written,
    clients: [...clients].sort(byClientId).map(({ clientId, path, numExamples }) => ({
      ...{ client: clientId, file: path, examples: numExamples },
      weight: Object.hasOwn(weights, clientId) ? weights[clientId] : 0,
    })),
    diagnostics,
    ...(coefficients && { coefficients }),
    ...(matrices && { matrices }),
  };
}

async function runRule(work: Work, kernels: Kernels): Promise<Outcome> {
  const { composed, base, clients, plan } = work;
  const oracle = await oracleOf(work);
  try {
    const values = await readBase(base, plan.shared);
    const updates: FileUpdate[] = [];
    for (const client of clients) {
      const needs = composed.needs.vectors ?? [];
      updates.push(await fileUpdate(client, values, plan.shared, needs, kernels));
    }
    return await fuse({
      ...{ rule: composed.rule, options: composed.options, kernels, oracle },
      ...{ model: Float32Array.from(values), layout: plan.shared, updates },
    });
  } finally {
    oracle?.dispose();
  }
}

type Oracle = NonNullable<FuseInput['oracle']> & { dispose(): void };

async function oracleOf({ composed, options, model, proxy, base }: Work): Promise<Oracle | null> {
  if (!composed.needs.oracle || !model || !proxy) return null;
  const batchSize = wholeNumber(options.batchSize, '--batch-size');
  if (batchSize === 0) throw new TributaryError('bad_request', '--batch-size: 1 or more');
  return openOracle(model, proxy, base, batchSize);
}

/** As a coordinator does, whatever the rule: the mean by examples. Its change, over their layout. */
async function averagedBuffers(
  { base, clients, plan }: Work,
  kernels: Kernels,
): Promise<Float64Array> {
  const layout = plan.buffer;
  if (layout.size === 0) return new Float64Array(0);
  const values = await readBase(base, layout);
  const updates: FileUpdate[] = [];
  for (const client of clients) {
    const alone = { ...client, auxiliary: new Map() };
    updates.push(await fileUpdate(alone, values, layout, [], kernels));
  }
  const input = { model: Float32Array.from(values), layout, updates, kernels };
  return (await fuse({ ...input, rule: fedavg, options: {}, oracle: null })).delta;
}

function deltasOf(
  { shared, buffer }: Plan,
  ofShared: Float64Array,
  ofBuffers: Float64Array,
): Map<string, Float64Array> {
  const deltas = new Map<string, Float64Array>();
  for (const [{ tensors }, delta] of [
    [shared, ofShared],
    [buffer, ofBuffers],
  ] as const)
    for (const { name, start, length } of tensors)
      deltas.set(name, delta.subarray(start, start + length));
  return deltas;
}
