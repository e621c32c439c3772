/** AssemblyScript: compiled to WASM by scripts/build-kernels.mjs, not by tsc. */
export { apply, check, finish, merge } from './elementwise';
export { gram } from './gram';
export { rankMean } from './rank';
export { readSum } from './read-sum';
export { combine, fold } from './weighted-rows';
