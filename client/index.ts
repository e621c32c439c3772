/**
 * The client SDK, for Node and for bundlers: `import { join } from 'tributary-fl/client'`.
 *
 * ```ts
 * await join({ url, token, train: async ({ model, config, signal, progress }) => {
 *   const params = await myTraining(model, config, signal, progress);
 *   return { params, numExamples: 1200 };
 * } });
 * ```
 *
 * Importing it loads no TF.js: `tfjsTrainer` and the other functions of `lazy.ts` load it when they
 * are first used, as a chunk of its own where a bundler splits code.
 */
export { join } from './join.js';
export type { JoinOptions } from './join.js';
export { sitePolicy } from './policy.js';
export type { SitePolicy } from './policy.js';
export type { Leaves, ReviewFunction, ReviewRequest } from './review.js';
export type { ClientEvent, JoinStatus, JoinSummary, WorkName } from './events.js';
export { enrol } from './enrol.js';
export type { EnrolOptions } from './enrol.js';
export { fetchTask } from './fetch-task.js';
export type { FetchTaskOptions } from './fetch-task.js';
export type { Certificates, Environment } from './environment.js';
export { hostEnvironment } from './environment.js';
export type { ClientOracle, OpenOracle } from './oracle.js';
export type * from './types.js';
export {
  initialParams,
  modelSpecOf,
  prepareBackend,
  tfjsClientOracle,
  tfjsEvaluator,
  tfjsTrainer,
} from './lazy.js';
export type { Backend, TfjsOptions } from './lazy.js';
export { checkDataset, datasetOf, subset } from './tfjs/dataset.js';
export type { Dataset } from './tfjs/dataset.js';
export { decodeParams, encodeParams } from './params.js';
export { TributaryError } from '../protocol/errors.js';
export { decodeSafetensors, encodeSafetensors } from '../protocol/safetensors.js';
export { SDK_VERSION } from './version.js';
