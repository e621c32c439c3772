/** Errors on their way from one thread to another, which a structured clone would strip of their kind. */
import type { ErrorBody, ErrorCode } from '../../../protocol/errors.js';
import { TributaryError } from '../../../protocol/errors.js';

export interface Failure {
  /** null for an error that is not one of ours. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly details?: ErrorBody['details'];
  /** Where it was thrown, for the log. */
  readonly stack?: string;
}

export function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: null, message: String(error) };
  const { message, stack } = error;
  if (!(error instanceof TributaryError)) return { code: null, message, stack };
  return { code: error.code, message, details: error.details, stack };
}

export function fromFailure({ code, message, details, stack }: Failure): Error {
  const error = code === null ? new Error(message) : new TributaryError(code, message, details);
  if (stack !== undefined) error.stack = stack;
  return error;
}
