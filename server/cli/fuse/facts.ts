/** What is known of each file that is fused: who it is, and what a client would have reported. */
import { basename, dirname, resolve } from 'node:path';
import { z } from 'zod';
import { TributaryError, parse } from '../../../protocol/errors.js';
import { metrics } from '../../../protocol/metrics.js';
import { suggestion } from '../../core/suggest.js';
import { readJson } from '../json-file.js';

const ofClient = z.strictObject({
  numExamples: z.int().positive().optional(),
  numSteps: z.int().positive().default(1),
  role: z.enum(['source', 'target']).default('source'),
  metrics: metrics.default({}),
  staleness: z.int().nonnegative().default(0),
  /** Auxiliary vectors: files with the tensors of the base, relative to the file of facts. */
  vectors: z.record(z.string(), z.string()).default({}),
});
const factsFile = z.record(z.string(), ofClient);

export interface ClientFile extends Required<z.infer<typeof ofClient>> {
  readonly clientId: string;
  readonly path: string;
}

export interface FactsOptions {
  /** `5,3,2`, in the order of the files. */
  readonly examples?: string;
  /** The path of a JSON file, by client. */
  readonly facts?: string;
}

/** @throws TributaryError `bad_request`, naming what is wrong. */
export async function clientFiles(
  paths: readonly string[],
  options: FactsOptions,
): Promise<ClientFile[]> {
  const ids = clientIds(paths);
  const counts = options.examples === undefined ? [] : countsOf(options.examples, ids.length);
  const known = options.facts === undefined ? {} : await readFacts(options.facts, ids);
  return paths.map((path, i) => {
    const clientId = ids[i];
    const told = Object.hasOwn(known, clientId) ? known[clientId] : ofClient.parse({});
    if (counts.length > 0 && told.numExamples !== undefined)
      refuse(`--examples: ${String(options.facts)} gives numExamples of "${clientId}" already`);
    const numExamples = told.numExamples ?? counts.at(i) ?? 1;
    return { ...told, clientId, path, numExamples };
  });
}

/** Names of files without their extension, told apart by numbers where two are the same. */
export function clientIds(paths: readonly string[]): string[] {
  const names = paths.map((path) => basename(path).replace(/\.safetensors$/, ''));
  const numbered = names.map((name, i) => {
    if (names.indexOf(name) === names.lastIndexOf(name)) return name;
    return `${name}-${names.slice(0, i + 1).filter((other) => other === name).length}`;
  });
  const isUnique = new Set(numbered).size === numbered.length;
  return isUnique ? numbered : names.map((_, i) => `client-${i + 1}`);
}

function countsOf(text: string, files: number): number[] {
  const parts = text.split(',').map((part) => part.trim());
  const bad = parts.find((part) => !/^[1-9]\d{0,8}$/.test(part));
  if (bad !== undefined) refuse(`--examples: "${bad}" is not a whole number of 1 or more`);
  if (parts.length !== files) refuse(`--examples: ${parts.length} numbers for ${files} files`);
  return parts.map(Number);
}

async function readFacts(path: string, ids: readonly string[]): Promise<z.infer<typeof factsFile>> {
  const facts = parse(factsFile, await readJson(path), path);
  const stranger = Object.keys(facts).find((id) => !ids.includes(id));
  if (stranger !== undefined)
    refuse(`${path}: there is no file of "${stranger}"${suggestion(stranger, ids)}`);
  const near = (file: string): string => resolve(dirname(path), file);
  return Object.fromEntries(
    Object.entries(facts).map(([id, told]) => {
      const vectors = Object.entries(told.vectors).map(([name, file]) => [name, near(file)]);
      return [id, { ...told, vectors: Object.fromEntries(vectors) as Record<string, string> }];
    }),
  );
}

function refuse(problem: string): never {
  throw new TributaryError('bad_request', problem);
}
