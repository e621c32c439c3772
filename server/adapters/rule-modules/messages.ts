/** What esbuild found wrong, in one line. */
import { HOSTED } from './hosted.js';

interface Failure {
  readonly errors: readonly {
    readonly text: string;
    readonly location: { readonly file: string; readonly line: number } | null;
  }[];
}

export function whyNotBuilt(error: unknown): string {
  if (!isFailure(error)) return error instanceof Error ? error.message : String(error);
  const [{ text: found, location }] = error.errors;
  // `No matching export in "hosted:zod"` is about what its author knows as "zod".
  const text = found.replace(`"${HOSTED}:`, '"');
  return location ? `line ${location.line} of ${location.file}: ${text}` : text;
}

function isFailure(error: unknown): error is Failure {
  return (
    error instanceof Error &&
    'errors' in error &&
    Array.isArray(error.errors) &&
    error.errors.length > 0
  );
}
