/**
 * Two builds, chosen by --mode: `sdk` makes dist/browser/tributary.js, one ESM file with its worker
 * and WebAssembly inside; `dashboard` makes the coordinator's page in dist/dashboard.
 */
import { defineConfig } from 'vite';

/** Larger than all of TF.js's WebAssembly: everything goes into the one file. */
const EVERYTHING = 16 * 1024 * 1024;

export default defineConfig(({ mode }) =>
  mode === 'dashboard'
    ? {
        root: 'server/dashboard',
        base: './',
        build: { outDir: '../../dist/dashboard', emptyOutDir: true, target: 'es2022' },
      }
    : {
        build: {
          target: 'es2022',
          outDir: 'dist/browser',
          emptyOutDir: true,
          assetsInlineLimit: EVERYTHING,
          lib: {
            entry: 'client/browser/index.ts',
            formats: ['es'],
            fileName: () => 'tributary.js',
          },
        },
        worker: { format: 'es' },
      },
);
