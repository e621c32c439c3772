/** Hashes of JSON, by its one form. */
import { createHash } from 'node:crypto';

export { canonicalJson } from '../../protocol/canonical-json.js';

/** sha256 of the text's UTF-8, 64 lower-case hex digits. */
export function sha256OfText(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
