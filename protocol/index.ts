/** The wire contract of Tributary. */
export * from './errors.js';
export * from './http.js';
export * from './messages.js';
export * from './model.js';
export * from './run.js';
export * from './safetensors.js';
export * from './update.js';
