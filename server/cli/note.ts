/** Progress on standard error, one line that is written over: standard output is the result. */

/** @param text empty to wipe the line. */
export function note(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}
