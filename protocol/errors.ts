/**
 * Every error that crosses the wire: its HTTP status, whether sending the same thing again can
 * help, and what to do next. The table is the single source: REST bodies, Socket.IO
 * acknowledgements, receipts and the documentation all read it.
 */
import { z } from 'zod';
import { clip, printable } from './text.js';

interface ErrorKind {
  readonly status: number;
  /** True where the same request, sent again later, may succeed. */
  readonly retryable: boolean;
  /** The next thing to try, in one sentence. */
  readonly help: string;
}

const kinds = {
  // The request itself
  bad_request: { status: 400, retryable: false, help: 'Correct the field that the message names.' },
  not_found: { status: 404, retryable: false, help: 'Check the address and the id.' },
  protocol_version: {
    status: 426,
    retryable: false,
    help: 'Install the SDK version that this coordinator serves.',
  },
  conflict: { status: 409, retryable: false, help: 'Load the present state and decide again.' },
  rate_limited: { status: 429, retryable: true, help: 'Wait for the time in Retry-After.' },
  too_many_runs: {
    status: 409,
    retryable: false,
    help: 'Stop a run that is no longer needed, or raise TRIBUTARY_MAX_RUNS.',
  },
  gone: {
    status: 410,
    retryable: false,
    help: 'Ask for a newer version, or keep more of them in the next run ("keepCheckpoints").',
  },

  // Identity
  unauthorized: {
    status: 401,
    retryable: false,
    help: 'Send a valid token as "Authorization: Bearer …".',
  },
  token_expired: {
    status: 401,
    retryable: false,
    help: 'Ask the operator for a new token ("tributary site rotate").',
  },
  forbidden: { status: 403, retryable: false, help: 'Use a token that is meant for this action.' },
  not_approved: {
    status: 403,
    retryable: true,
    help: 'Wait: the operator has not approved this site yet ("tributary site approve").',
  },
  revoked: {
    status: 403,
    retryable: false,
    help: 'Ask the operator: this token may not be used any more.',
  },
  origin_refused: {
    status: 403,
    retryable: false,
    help: "Add the page's origin to TRIBUTARY_ALLOWED_ORIGINS.",
  },
  replaced: {
    status: 409,
    retryable: false,
    help: 'Run each client once: another process connected with the same token.',
  },
  name_taken: { status: 409, retryable: false, help: 'Enrol the client under another name.' },

  // Runs
  run_not_found: {
    status: 404,
    retryable: false,
    help: 'List the runs with "tributary run list".',
  },
  run_over: { status: 409, retryable: false, help: 'Create a new run to go on training.' },
  rule_unknown: { status: 422, retryable: false, help: 'Choose one of the rules that are listed.' },
  rule_options: {
    status: 422,
    retryable: false,
    help: 'Correct the option of the rule that the message names.',
  },
  rule_needs: {
    status: 422,
    retryable: false,
    help: 'Provide what the rule needs, or choose a rule that does without it.',
  },
  bad_model: {
    status: 422,
    retryable: false,
    help: 'Make the tensors of the model specification and of the file agree.',
  },

  // Transport of an update: none of these uses the assignment up
  truncated: { status: 400, retryable: true, help: 'Send the whole body again.' },
  wrong_hash: {
    status: 400,
    retryable: true,
    help: 'Send the body again with the sha256 of exactly these bytes.',
  },
  too_large: {
    status: 413,
    retryable: false,
    help: 'Send only the tensors that the task asks for.',
  },
  too_slow: { status: 408, retryable: true, help: 'Send the body again over a faster connection.' },

  // Content of an update: a rejection uses the assignment up
  bad_safetensors: {
    status: 422,
    retryable: false,
    help: 'Write the update with encodeSafetensors, or with the safetensors library.',
  },
  wrong_tensors: {
    status: 422,
    retryable: false,
    help: 'Send every tensor that the task names, and no other.',
  },
  wrong_shape: {
    status: 422,
    retryable: false,
    help: "Send every tensor in the task's shape, without broadcasting.",
  },
  wrong_dtype: { status: 422, retryable: false, help: 'Send float32 tensors.' },
  not_finite: {
    status: 422,
    retryable: false,
    help: 'Look for NaN or infinity in training: lower the learning rate or clip gradients.',
  },
  bad_facts: {
    status: 422,
    retryable: false,
    help: 'Report a positive whole number of examples and of steps, and finite metrics.',
  },
  over_cap: {
    status: 422,
    retryable: false,
    help: "Lower the number that the message names below the run's cap, or raise the cap in a new run.",
  },
  missing_vector: {
    status: 422,
    retryable: false,
    help: 'Send the auxiliary vectors that the rule asks this role for.',
  },

  // Standing of an assignment
  assignment_unknown: {
    status: 404,
    retryable: false,
    help: 'Upload only to an assignment that this client was given.',
  },
  assignment_used: {
    status: 409,
    retryable: false,
    help: 'Nothing to do: another update was already taken for this assignment.',
  },
  late: { status: 410, retryable: false, help: 'Wait for the next invitation.' },

  // The coordinator
  unreachable: {
    status: 503,
    retryable: true,
    help: 'Start the coordinator with "tributary serve", or name it with --url.',
  },
  storage_unavailable: {
    status: 503,
    retryable: true,
    help: 'Try again when the storage is back.',
  },
  storage_full: {
    status: 507,
    retryable: true,
    help: 'Free space on the disk, or raise TRIBUTARY_STORAGE_LIMIT_BYTES; then send it again.',
  },
  blob_damaged: {
    status: 503,
    retryable: true,
    help: 'Restore the blob from a backup; what waits for it goes on by itself.',
  },
  standby: {
    status: 503,
    retryable: true,
    help: 'Connect to the coordinator that leads, or wait until this one does.',
  },
  busy: { status: 503, retryable: true, help: 'Try again after the time in Retry-After.' },
  schema_mismatch: {
    status: 503,
    retryable: false,
    help: 'Start the version of Tributary that fits the database.',
  },
  shutting_down: { status: 503, retryable: true, help: 'Connect again in a few seconds.' },
  internal: {
    status: 500,
    retryable: true,
    help: "Try again; if it stays, look for the request id in the coordinator's log.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof kinds;
export const errorKinds: Readonly<Record<ErrorCode, ErrorKind>> = kinds;
export const errorCode = z.enum(Object.keys(kinds) as [ErrorCode, ...ErrorCode[]]);

/** The body of every failed REST call and of every negative acknowledgement. */
export const errorBody = z.object({
  code: errorCode,
  message: z.string(),
  help: z.string(),
  retryable: z.boolean(),
  /** When to try again at the earliest; spread by chance, so that many do not come back as one. */
  retryAfterMs: z.int().nonnegative().optional(),
  /** Where it failed, as a path into what was sent; and other facts worth showing. */
  details: z.record(z.string(), z.json()).optional(),
});
export type ErrorBody = z.infer<typeof errorBody>;

const MAX_MESSAGE = 1000;

/** An error with a code from the table above. The only kind that is shown to a peer. */
export class TributaryError extends Error {
  override readonly name = 'TributaryError';
  /** See {@link errorBody}. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details?: ErrorBody['details'],
    options?: ErrorOptions & { readonly retryAfterMs?: number | undefined },
  ) {
    // A message may repeat a peer's words: they must not break a terminal, a log or a database.
    super(clip(printable(message), MAX_MESSAGE), options);
    this.retryAfterMs = options?.retryAfterMs;
  }

  get status(): number {
    return errorKinds[this.code].status;
  }

  get retryable(): boolean {
    return errorKinds[this.code].retryable;
  }

  toBody(): ErrorBody {
    const { help, retryable } = errorKinds[this.code];
    const { code, message, details, retryAfterMs } = this;
    return {
      ...{ code, message, help, retryable },
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(details && { details }),
    };
  }

  static fromBody(body: ErrorBody): TributaryError {
    const { code, message, details, retryAfterMs } = body;
    return new TributaryError(code, message, details, { retryAfterMs });
  }
}

/**
 * Parses what came from outside.
 *
 * @throws TributaryError `bad_request` (or `code`), naming the first field that is wrong.
 */
export function parse<T>(
  schema: z.ZodType<T>,
  value: unknown,
  what: string,
  code: ErrorCode = 'bad_request',
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = clip(printable(issue.path.map(String).join('.')));
  throw new TributaryError(code, `${what}${path ? `: ${path}` : ''}: ${issue.message}`, { path });
}
