/**
 * The SDK for pages: one ESM file, its worker and its WebAssembly inside.
 *
 * ```html
 * <script type="module">
 *   import { join, workerTrainer } from 'https://fl.example.org/sdk/tributary.js';
 *   const { train } = await workerTrainer({ data: { features, labels, size } });
 *   await join({ url: 'https://fl.example.org', token, train });
 * </script>
 * ```
 */
export { join } from '../join.js';
export type { JoinOptions } from '../join.js';
export { sitePolicy } from '../policy.js';
export type { SitePolicy } from '../policy.js';
export type { Leaves, ReviewFunction, ReviewRequest } from '../review.js';
export type { ClientEvent, JoinSummary } from '../events.js';
export { enrol } from '../enrol.js';
export type { EnrolOptions } from '../enrol.js';
export { fetchTask } from '../fetch-task.js';
export { datasetOf } from '../tfjs/dataset.js';
export type { Dataset } from '../tfjs/dataset.js';
export type * from '../types.js';
export { TributaryError } from '../../protocol/errors.js';
export { decodeSafetensors } from '../../protocol/safetensors.js';
export { workerTrainer } from './worker-trainer.js';
export type { WorkerTrainer, WorkerTrainerOptions } from './worker-trainer.js';
