/** JSON that a command is given, as a file or as the value of an option. */
import { readFile } from 'node:fs/promises';
import { TributaryError } from '../../protocol/errors.js';
import type { Json } from '../core/rules/rule.js';

/** @throws TributaryError `bad_request` where it cannot be read. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    return refuse(`${path} cannot be read`, cause);
  }
}

/** @throws TributaryError `bad_request` where a file cannot be read or is no JSON. */
export async function readJson(path: string): Promise<unknown> {
  // Unlike a Buffer, it passes over the mark that Windows puts before UTF-8.
  return parseJson(new TextDecoder().decode(await readBytes(path)), path);
}

/**
 * The object that an option such as `--options` gives; an empty one where it was not given.
 * @throws TributaryError `bad_request` naming the option `what`.
 */
export function jsonOption(text: string | undefined, what: string): Record<string, Json> {
  const value = parseJson(text ?? '{}', what);
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, Json>;
  throw new TributaryError('bad_request', `${what}: write an object, such as '{"beta": 0.5}'`);
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    return refuse(`${what} is not JSON`, cause);
  }
}

function refuse(problem: string, cause: unknown): never {
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new TributaryError('bad_request', `${problem}: ${why}`, undefined, { cause });
}
