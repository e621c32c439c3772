/**
 * Rules that operators bring along (docs/decisions/0010): read from a file on the operator's side,
 * uploaded as a blob, and loaded from it by the coordinator and by whatever aggregates for it.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { TributaryError } from '../../protocol/errors.js';
import type { BlobStore, RuleModules } from '../core/ports.js';
import type { AnyRule } from '../core/rules/rule.js';
import { readAll } from '../engine/checkpoints.js';
import { bundleRule } from './rule-modules/bundle.js';
import { linkRule } from './rule-modules/link.js';

/** A rule's module is read into memory: more than a hundred times what one with helpers takes. */
const MAX_BYTES = 4 * 1024 * 1024;

export interface RuleFile {
  readonly rule: AnyRule;
  /** The module, as it is uploaded. */
  readonly code: Uint8Array;
  readonly sha256: string;
}

/**
 * Reads a rule from a file (`.ts`, `.js` or `.mjs`) whose default export it is.
 * @throws TributaryError `bad_request` naming the file, the line and what is wrong; `too_large`.
 */
export async function loadRuleFile(file: string): Promise<RuleFile> {
  const code = await bundleRule(file);
  checkSize(basename(file), code.byteLength);
  return { rule: await linkRule(code, basename(file)), code, sha256: hash(code) };
}

/** By the sha256 of the module, whichever store it came from: the bytes are the same. */
const loaded = new Map<string, Promise<AnyRule>>();

/** Loads rules from blobs, each once in this process. */
export function storedRuleModules(blobs: Pick<BlobStore, 'open'>): RuleModules {
  return {
    load(sha256) {
      const present = loaded.get(sha256);
      if (present) return present;
      const loading = linked(blobs, sha256);
      loaded.set(sha256, loading);
      // A storage that is away comes back: a failure is not kept.
      loading.catch(() => loaded.delete(sha256));
      return loading;
    },
  };
}

/** Where runs may not bring rules of their own. */
export const noRuleModules: RuleModules = {
  load: () =>
    Promise.reject(
      new TributaryError(
        'rule_unknown',
        'rule.module: this coordinator takes no rules from files, as is the default where other machines can reach it: start it with TRIBUTARY_RULE_FILES=allow if its operators may run code in it',
      ),
    ),
};

async function linked(blobs: Pick<BlobStore, 'open'>, sha256: string): Promise<AnyRule> {
  const name = `rule.module ${sha256.slice(0, 12)}`;
  const blob = await blobs.open(sha256);
  checkSize(name, blob.bytes);
  const code = await readAll(blob);
  if (hash(code) !== sha256) {
    throw new TributaryError(
      'blob_damaged',
      `${name}: blob ${sha256} in ${blob.where} has other bytes`,
    );
  }
  return linkRule(code, name);
}

function checkSize(name: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  const size = `it has ${bytes} bytes with all that it imports, over ${MAX_BYTES}`;
  throw new TributaryError('too_large', `${name}: ${size}: import fewer packages, or smaller ones`);
}

function hash(code: Uint8Array): string {
  return createHash('sha256').update(code).digest('hex');
}
