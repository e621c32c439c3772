/**
 * `tributary-fl`: embed a coordinator in your own server, or write an aggregation rule.
 *
 *     const coordinator = await createCoordinator({ server, basePath: '/fl' });
 */
export { createCoordinator } from './app.js';
export type { Coordinator } from './app.js';
export type { CoordinatorOptions, Limits } from './settings.js';
export { readConfig } from './config.js';
export type { Config } from './config.js';
export type { Engine } from './engine/engine.js';
export type * from './core/ports.js';
export type * from './core/records.js';
export { packageVersion } from './version.js';

// For authors of rules: docs/write-a-rule.md
export * from './core/authoring.js';
export type * from './core/rules/rule.js';
export type {
  Combination,
  CombinationContext,
  CombinationDefinition,
} from './core/rules/families/combination.js';
export type { CoordinateDefinition } from './core/rules/families/coordinate.js';
export type { Gram, Granularity, VectorRef } from './core/rules/families/gram.js';
export type {
  LinearContext,
  LinearDefinition,
  LinearSums,
  VectorSums,
  WeighContext,
  Weighed,
} from './core/rules/families/linear.js';
export type { Workspace } from './core/rules/families/workspace.js';
export type { Kernels, RankWindow } from './core/kernels/kernels.js';
export type { Ranked } from './core/kernels/ranking.js';
export type { Layout } from './core/layout.js';
export type { ErrorCode } from '../protocol/errors.js';
export type { Metrics } from '../protocol/metrics.js';
export type { Role } from '../protocol/run.js';
// What a rule's file is made of: to test one of yours in your own suite
export { loadRuleFile } from './adapters/rule-modules.js';
export type { RuleFile } from './adapters/rule-modules.js';
