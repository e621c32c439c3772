/** What `tributary fuse` does, but for printing. */
import { TributaryError } from '../../../protocol/errors.js';
import type { FuseOptions } from '../fuse.js';
import type { ClientFile } from './facts.js';
import { clientFiles } from './facts.js';
import { readModelFile } from './model.js';
import { checkNeeds } from './needs.js';
import type { Plan } from './plan.js';
import { checkCovers, checkSame, planOf } from './plan.js';
import type { Fused } from './results.js';
import { ruleToFuse } from './rule.js';
import { fuseOpen } from './run.js';
import type { TensorFile } from './tensor-file.js';
import { openTensorFile } from './tensor-file.js';
import type { OpenClient } from './updates.js';
import { checkOut } from './write.js';

/** Everything that can be wrong is looked at before anything is computed. */
export async function fuseFiles(paths: readonly string[], options: FuseOptions): Promise<Fused> {
  const composed = await ruleToFuse(options);
  const known = await clientFiles(paths, options);
  if (options.proxy !== undefined && options.model === undefined)
    throw new TributaryError('bad_request', '--proxy: give the model too, as --model FILE');
  checkNeeds(composed.inner.name, composed.needs, known, options.proxy !== undefined);
  const model = options.model === undefined ? null : await readModelFile(options.model);

  const opened: TensorFile[] = [];
  const open = async (path: string): Promise<TensorFile> => {
    const file = await openTensorFile(path);
    opened.push(file);
    return file;
  };
  try {
    const base = await open(options.base);
    const proxy = options.proxy === undefined ? null : await open(options.proxy);
    const clients = await openAll(known, open);
    await checkOut(options.out, opened);
    const plan = await planOf(base, model?.spec.tensors);
    await checkFiles(plan, base, clients);
    const work = { options, composed, base, proxy, clients, plan, model };
    return await fuseOpen(work);
  } finally {
    for (const file of opened) await file.close();
  }
}

async function openAll(
  known: readonly ClientFile[],
  open: (path: string) => Promise<TensorFile>,
): Promise<OpenClient[]> {
  const clients: OpenClient[] = [];
  for (const client of known) {
    const auxiliary = new Map<string, TensorFile>();
    for (const [name, path] of Object.entries(client.vectors))
      auxiliary.set(name, await open(path));
    clients.push({ ...client, file: await open(client.path), auxiliary });
  }
  return clients;
}

async function checkFiles(
  plan: Plan,
  base: TensorFile,
  clients: readonly OpenClient[],
): Promise<void> {
  for (const { file, auxiliary } of clients) {
    await checkSame(base, file);
    for (const vector of auxiliary.values()) await checkCovers(plan, base, vector);
  }
}
