/**
 * A simulation file (simulation/simulation-file.ts) as JSON, with rules from files: `"./my-rule.ts"` or
 * `{ "file": "./my-rule.ts", "options": {} }`. Paths are relative to the simulation file.
 */
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { parse } from '../../../protocol/errors.js';
import type { Simulation } from '../../simulation/simulation-file.js';
import { simulationFile } from '../../simulation/simulation-file.js';
import { runsOf } from '../../simulation/simulation.js';
import { readJson } from '../json-file.js';
import { isRuleFile } from '../rules/file.js';
import { takeRuleFile } from '../rules/own.js';

const ownRule = z.preprocess(
  (given) => (typeof given === 'string' && isRuleFile(given) ? { file: given } : given),
  z.looseObject({ file: z.string() }),
);
const withRules = z.looseObject({
  rule: z.unknown().optional(),
  rules: z.array(z.unknown()).optional(),
});

/**
 * Reads a simulation and the rules that it brings along, and checks all of it.
 * @throws TributaryError `bad_request`, `rule_unknown`, `rule_options`, `rule_needs`.
 */
export async function loadSimulation(path: string): Promise<Simulation> {
  const file = parse(withRules, await readJson(path), path);
  const near = (name: string): string => resolve(dirname(path), name);
  const loaded: Record<string, unknown> = { ...file };
  if (file.rule !== undefined) loaded.rule = await withOwnRule(file.rule, near);
  if (file.rules) {
    loaded.rules = await Promise.all(file.rules.map((rule) => withOwnRule(rule, near)));
  }
  const simulation = parse(simulationFile, loaded, path);
  runsOf(simulation);
  return simulation;
}

async function withOwnRule(given: unknown, near: (name: string) => string): Promise<unknown> {
  const own = ownRule.safeParse(given);
  if (!own.success) return given;
  const { file, ...rest } = own.data;
  return { ...rest, ...(await takeRuleFile(near(file))) };
}
