/** AssemblyScript: compiled to WASM by scripts/build-kernels.mjs, not by tsc. */
export { apply, check, combine, finish, merge } from './elementwise';
export { fold } from './fold';
export { gram } from './gram';
export { rankMean } from './rank';
export { readSum } from './read-sum';
