/**
 * A run file: a run specification (protocol/run.ts) as JSON, with what is handy on disk.
 *
 * - `task` may be the path of a task file;
 * - `task.model.tensors` may be left out for `tfjs-layers`: they follow from the layers;
 * - `rule`, `optimizer` and each step of `after` may be just a name;
 * - `rule` may be a file of one's own, `"./my-rule.ts"` or `{ "file": "./my-rule.ts", "options": {} }`:
 *   its default export is the rule (docs/write-a-rule.md);
 * - `init` is `{ "seed": 1 }` (the layers' own initialisers), `{ "file": "model.safetensors" }`, or
 *   `{ "blob": sha256 }` for one that the coordinator has already;
 * - `oracle` of kind `proxy` may give its data as `file`.
 *
 * Paths are relative to the run file.
 */
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { initialParams, specFromTopology } from '../../client/tfjs/model.js';
import { encodeParams } from '../../client/params.js';
import { parse } from '../../protocol/errors.js';
import { loadRuleFile } from '../adapters/rule-modules.js';
import { modelSpec } from '../../protocol/model.js';
import type { ModelSpec } from '../../protocol/model.js';
import type { RunSpecInput } from '../../protocol/run.js';
import type { Api } from './api.js';
import { readBytes, readJson } from './json-file.js';
import { RULE_FILE } from './rules/file.js';

const namedOrName = z.union([
  z.string().transform((name) => ({ name })),
  z.looseObject({ name: z.string() }),
]);
const ruleFile = z.union([
  z
    .string()
    .regex(RULE_FILE)
    .transform((file) => ({ file, options: {} })),
  z.strictObject({ file: z.string(), options: z.record(z.string(), z.json()).default({}) }),
]);
const taskBody = z.looseObject({ model: z.looseObject({ format: z.string(), body: z.json() }) });
const initBody = z.union([
  z.strictObject({ seed: z.int().nonnegative() }),
  z.strictObject({ file: z.string() }),
  z.strictObject({ blob: z.string() }),
]);
const runFile = z.looseObject({
  task: z.union([z.string(), taskBody]),
  rule: z.union([ruleFile, namedOrName]),
  optimizer: namedOrName.optional(),
  after: z.array(namedOrName).optional(),
  init: initBody.default({ seed: 0 }),
  oracle: z.looseObject({ kind: z.string(), file: z.string().optional() }).optional(),
});

/** Reads a run file and uploads what it points to. @throws TributaryError `bad_request`. */
export async function loadRunFile(path: string, api: Pick<Api, 'putBlob'>): Promise<RunSpecInput> {
  const file = parse(runFile, await readJson(path), path);
  const near = (name: string): string => resolve(dirname(path), name);
  const read = async (name: string): Promise<Uint8Array> => readBytes(near(name));

  const task =
    typeof file.task === 'string'
      ? parse(taskBody, await readJson(near(file.task)), file.task)
      : file.task;
  const model = await completeModel(task.model);
  const upload = async (): Promise<string> => {
    if ('blob' in file.init) return file.init.blob;
    if ('file' in file.init) return api.putBlob(await read(file.init.file));
    return api.putBlob(encodeParams(model, await initialParams(model, file.init.seed)));
  };
  const init = { blob: await upload() };
  const own = ruleFile.safeParse(file.rule);
  const rule = own.success ? await uploadRule(near(own.data.file), own.data, api) : file.rule;
  const spec: Record<string, unknown> = { ...file, task: { ...task, model }, rule, init };
  if (file.oracle) {
    const { file: dataFile, ...oracle } = file.oracle;
    spec.oracle =
      dataFile === undefined
        ? oracle
        : { ...oracle, data: await api.putBlob(await read(dataFile)) };
  }
  // The coordinator parses it whole, and names the field that is wrong.
  return spec as RunSpecInput;
}

/** What {@link runSpec} says of a rule from a file, its module uploaded. */
async function uploadRule(
  path: string,
  { options }: z.infer<typeof ruleFile>,
  api: Pick<Api, 'putBlob'>,
): Promise<object> {
  const { rule, code } = await loadRuleFile(path);
  return { name: rule.name, options, module: await api.putBlob(code) };
}

async function completeModel(model: z.infer<typeof taskBody>['model']): Promise<ModelSpec> {
  if (model.format === 'tfjs-layers' && !('tensors' in model)) return specFromTopology(model.body);
  return parse(modelSpec, model, 'task.model');
}
