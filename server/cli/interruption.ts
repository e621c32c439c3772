/** Ctrl-C and SIGTERM as a signal that work can watch, so that it ends in order. */

/** Aborted at the first interruption; a second one ends the process as it would have without this. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new Error('interrupted'));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  return controller.signal;
}
