/** What failed at the site: its own people see all of it, the coordinator only what kind it was. */
import { TributaryError } from '../protocol/errors.js';
import type { Assignment } from '../protocol/messages.js';
import { SiteRefusal } from './consent.js';
import { HeldBack } from './policy.js';

/** What a function of the site threw. Its words may quote the data: a row, a name, a path. */
export class SiteFailure extends Error {
  override readonly name = 'SiteFailure';

  constructor(override readonly cause: Error) {
    super(cause.message, { cause });
  }
}

/** What was thrown: functions of the site may throw anything. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Calls a function of the site's own. @throws SiteFailure. */
export async function ofSite<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw new SiteFailure(asError(thrown));
  }
}

/** Why an assignment is given back, as the coordinator is told. */
export function reasonOf(kind: Assignment['kind'], error: Error): string {
  const isOurs = [TributaryError, SiteRefusal, HeldBack].some((known) => error instanceof known);
  if (isOurs) return error.message;
  const cause = error instanceof SiteFailure ? error.cause : error;
  const work = kind === 'train' ? 'training' : 'evaluation';
  return `${work} failed at the site (${kindOf(cause)})`;
}

/** A code of ours, or the name of a class: names that are none could be words of the site's. */
function kindOf(error: Error): string {
  if (error instanceof TributaryError) return error.code;
  return /^[A-Z]\w{0,63}$/.test(error.name) ? error.name : 'Error';
}
