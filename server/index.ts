/**
 * `tributary-fl`: embed a coordinator in your own server, or write an aggregation rule.
 *
 *     const coordinator = await createCoordinator({ server, basePath: '/fl' });
 */
export { createCoordinator } from './app.js';
export type { Coordinator, CoordinatorOptions, Limits } from './app.js';
export { readConfig } from './config.js';
export type { Config } from './config.js';
export type { Engine } from './engine/engine.js';
export type * from './core/ports.js';
export { packageVersion } from './version.js';

// For authors of rules
export { rules } from './core/rules/index.js';
export type * from './core/rules/rule.js';
export { combinationRule } from './core/rules/families/combination.js';
export { coordinateRule } from './core/rules/families/coordinate.js';
export { linearRule } from './core/rules/families/linear.js';
